"""Treats the server as its users will: many at once, impatient, with broken requests and huge images."""

from __future__ import annotations

import json
import time
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import requests
from PIL import Image

from recipes.conformance.results.inputs import SURE, Findings, images_of, messages, pass_or_fail, wrong_answer
from recipes.conformance.results.outcome import Outcome, Part
from recipes.core.cores import usable_cores
from recipes.evalset.prompts import png
from recipes.serve.llamacpp.server import POLL_S, ServerError, user

if TYPE_CHECKING:
    from collections.abc import Callable

    from recipes.conformance.results.inputs import CheckInputs
    from recipes.serve.llamacpp.server import Server

CLIENTS = 8
SLOTS = 4
SHORT_PROMPT = 200  # tokens: eight of them fit into the slots' context together
IDLE_S = 30.0  # how long a slot may go on after its client is gone
LONG_ANSWER = 400
HUGE = (5000, 4000)  # 20 megapixels
END_OF_STATUSES = 600  # of HTTP
OVER_A_UBATCH = "larger than a ubatch"


def check_large_image(inputs: CheckInputs) -> Outcome:
    """Ask about an image of more tokens than a ubatch holds, at the server's defaults; no server may abort."""
    prompt, case = inputs.case(OVER_A_UBATCH)
    try:
        with inputs.server() as server:
            given = server.chat(messages(prompt)).text.strip()
            status = server.process.status
    except ServerError as error:
        given, status = str(error).splitlines()[0], -1
    right = given == case.answer if case.margin >= SURE else status is None
    words = f"{prompt.scenes[0].width}x{prompt.scenes[0].height}, {case.prompt_tokens} tokens: "
    words += f"{given!r}" if status is None else f"the server is gone ({given})"
    return pass_or_fail(
        Part.SERVER,
        "an image of more tokens than a ubatch",
        is_right=right and status is None,
        words=words,
        suspect="image tokens are decoded with non-causal attention, which must fit into one ubatch",
    )


def check(inputs: CheckInputs) -> Findings:
    """Run the server with several slots, and try each way to disturb it."""
    outcomes: list[Outcome] = []
    tries: tuple[tuple[str, Callable[[CheckInputs, Server], tuple[bool, str]]], ...] = (
        ("health", _health),
        (f"{CLIENTS} clients at once", _busy),
        ("a client that leaves", _cancelled),
        ("prompt cache", _cache),
        ("malformed JSON", _malformed),
        ("a truncated PNG", _truncated),
        ("a file that is no image", _no_image),
        ("an image of 20 megapixels", _huge),
    )
    with inputs.server("-np", str(SLOTS), "-c", "8192", "-t", str(usable_cores())) as server:
        for name, attempt in tries:
            try:
                is_right, words = attempt(inputs, server)
                if after := _wrong_afterwards(inputs, server):
                    is_right, words = False, f"{words}; afterwards it answers wrongly: {after}"
            except (ServerError, requests.RequestException) as error:
                is_right, words = False, f"no answer, or none afterwards: {str(error).splitlines()[0]}"
            outcomes.append(pass_or_fail(Part.SERVER, name, is_right=is_right, words=words, suspect="server"))
            if server.process.status is not None:
                break
    return Findings(tuple(outcomes))


def _wrong_afterwards(inputs: CheckInputs, server: Server) -> str:
    prompt, case = inputs.case("colour, square")
    return wrong_answer(case, server.chat(messages(prompt)).text)


def _health(_inputs: CheckInputs, server: Server) -> tuple[bool, str]:
    answer = server.get("/health")
    return answer.status_code == requests.codes.ok, f"/health says {answer.status_code}"


def _busy(inputs: CheckInputs, server: Server) -> tuple[bool, str]:
    """Ask eight different questions at the same time, twice; each client must get the answer to its own."""
    asked = [
        pair for pair in inputs.pairs if pair[1].margin >= SURE and pair[1].prompt_tokens < SHORT_PROMPT
    ][:CLIENTS]
    with ThreadPoolExecutor(CLIENTS) as pool:
        given = list(pool.map(lambda pair: server.chat(messages(pair[0])).text.strip(), asked * 2))
    wrong = "; ".join(
        filter(None, (wrong_answer(case, text) for (_, case), text in zip(asked * 2, given, strict=True)))
    )
    is_right = not wrong and len(asked) == CLIENTS
    return is_right, wrong or f"{len(given)} answers, each to its own question"


def _cancelled(_inputs: CheckInputs, server: Server) -> tuple[bool, str]:
    """Leave in the middle of an answer; the slot must be free soon after."""
    body = {
        "messages": [user("Repeat: abcd")],
        "max_tokens": LONG_ANSWER,
        "ignore_eos": True,
        "temperature": 0,
        "stream": True,
    }
    address = f"{server.base}/v1/chat/completions"
    with requests.post(address, json=body, stream=True, timeout=IDLE_S) as answer:
        next(answer.iter_content(16))
    left = time.monotonic()
    while time.monotonic() - left < IDLE_S:
        slots = server.get("/slots")
        if slots.status_code != requests.codes.ok:
            return True, "it shows no slots; it answers on"
        if not any(slot.get("is_processing") for slot in slots.json()):
            return True, "its slot was free again"
        time.sleep(POLL_S)
    return False, f"its slot was still busy after {IDLE_S:g} s"


def _cache(inputs: CheckInputs, server: Server) -> tuple[bool, str]:
    """Ask the same about another image, and again, with the prompt cache on: the answers must not be mixed up."""
    names = ("shape, square", "colour, square", "shape, square", "read, square")
    asked = [inputs.case(name) for name in names]
    given = [server.chat(messages(prompt), cache_prompt=True, id_slot=0).text.strip() for prompt, _ in asked]
    wrong = "; ".join(
        filter(None, (wrong_answer(pair[1], text) for pair, text in zip(asked, given, strict=True)))
    )
    return not wrong, wrong or f"{len(names)} prompts in one slot, each answered by its own image"


def _malformed(_inputs: CheckInputs, server: Server) -> tuple[bool, str]:
    bodies = (
        b"{",
        b"[]",
        b'{"messages": 7}',
        b'{"messages": [{"role": "user", "content": [{"type": "nothing"}]}]}',
    )
    statuses = [server.post("/v1/chat/completions", body).status_code for body in bodies]
    return all(_is_refusal(status) for status in statuses), f"statuses {', '.join(map(str, statuses))}"


def _truncated(inputs: CheckInputs, server: Server) -> tuple[bool, str]:
    prompt, _ = inputs.case("shape, square")
    image = images_of(prompt)[0]
    return _send(server, image[: len(image) // 8], may_answer=False)


def _no_image(_inputs: CheckInputs, server: Server) -> tuple[bool, str]:
    return _send(server, b"\x7fELF this is no image" * 20, may_answer=False)


def _huge(_inputs: CheckInputs, server: Server) -> tuple[bool, str]:
    """Send a huge image: an answer is right, and so is a refusal in words."""
    return _send(server, png(Image.new("RGB", HUGE, (40, 90, 200))), may_answer=True)


def _send(server: Server, image: bytes, *, may_answer: bool) -> tuple[bool, str]:
    """Ask about an image that must be refused, or may also be answered."""
    body = {"messages": [user(image, "What shape is this?")], "max_tokens": 8, "temperature": 0}
    answer = server.post("/v1/chat/completions", json.dumps(body).encode())
    status = answer.status_code
    is_right = _is_refusal(status) or (may_answer and status == requests.codes.ok)
    return is_right, f"status {status}: {answer.text[:120]}"


def _is_refusal(status: int) -> bool:
    """Return whether a status is an error that says so."""
    return int(requests.codes.bad_request) <= status < END_OF_STATUSES
