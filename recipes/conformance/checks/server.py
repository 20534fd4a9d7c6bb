"""Treats the server as its users will: many at once, impatient, with broken requests and huge pictures."""

from __future__ import annotations

import json
import time
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import requests
from PIL import Image

from recipes.conformance.results.context import SURE, Findings, judged, messages, pictures
from recipes.conformance.results.outcome import Outcome, Part
from recipes.core.cores import usable_cores
from recipes.evalset.prompts import png
from recipes.serve.llamacpp.server import POLL_S, ServerError, user

if TYPE_CHECKING:
    from collections.abc import Callable

    from recipes.conformance.results.context import Context
    from recipes.serve.llamacpp.server import Server

CLIENTS = 8
SLOTS = 4
SHORT_PROMPT = 200  # tokens: eight of them fit into the slots' context together
IDLE_S = 30.0  # how long a slot may go on after its client is gone
LONG_ANSWER = 400
HUGE = (5000, 4000)  # 20 megapixels
END_OF_STATUSES = 600  # of HTTP
OVER_A_UBATCH = "larger than a ubatch"


def check_large_image(context: Context) -> Findings:
    """Ask about an image of more tokens than a ubatch holds, at the server's defaults; it may abort."""
    prompt, case = context.case(OVER_A_UBATCH)
    try:
        with context.server() as server:
            given = server.chat(messages(prompt)).text.strip()
            status = server.process.status
    except ServerError as error:
        given, status = str(error).splitlines()[0], -1
    right = given == case.answer if case.margin >= SURE else status is None
    words = f"{prompt.scenes[0].width}x{prompt.scenes[0].height}, {case.prompt_tokens} tokens: "
    words += f"{given!r}" if status is None else f"the server is gone ({given})"
    return Findings(
        (
            judged(
                Part.SERVER,
                "an image of more tokens than a ubatch",
                is_right=right and status is None,
                words=words,
                suspect="image tokens are decoded with non-causal attention, which must fit into one ubatch",
            ),
        )
    )


def check(context: Context) -> Findings:
    """Run the server with several slots, and try each way to disturb it."""
    outcomes: list[Outcome] = []
    tries: tuple[tuple[str, Callable[[Context, Server], tuple[bool, str]]], ...] = (
        ("health", _health),
        (f"{CLIENTS} clients at once", _busy),
        ("a client that leaves", _cancelled),
        ("prompt cache", _cache),
        ("malformed JSON", _malformed),
        ("a truncated PNG", _truncated),
        ("a file that is no image", _no_image),
        ("a picture of 20 megapixels", _huge),
    )
    with context.server("-np", str(SLOTS), "-c", "8192", "-t", str(usable_cores())) as server:
        for name, attempt in tries:
            try:
                is_right, words = attempt(context, server)
                lives, after = _lives(context, server)
            except (ServerError, requests.RequestException) as error:
                is_right, words, lives, after = False, str(error).splitlines()[0], False, ""
            outcomes.append(
                judged(
                    Part.SERVER,
                    name,
                    is_right=is_right and lives,
                    words=words + ("" if lives else f"; then it does not answer rightly any more {after}"),
                    suspect="server",
                )
            )
            if server.process.status is not None:
                break
    return Findings(tuple(outcomes))


def _lives(context: Context, server: Server) -> tuple[bool, str]:
    prompt, case = context.case("colour, square")
    given = server.chat(messages(prompt)).text.strip()
    return given == case.answer or case.margin < SURE, f"({given!r} instead of {case.answer!r})"


def _health(_context: Context, server: Server) -> tuple[bool, str]:
    answer = server.get("/health")
    return answer.status_code == requests.codes.ok, f"/health says {answer.status_code}"


def _busy(context: Context, server: Server) -> tuple[bool, str]:
    """Ask eight different questions at the same time, twice; each client must get the answer to its own."""
    asked = [
        pair for pair in context.pairs if pair[1].margin >= SURE and pair[1].prompt_tokens < SHORT_PROMPT
    ][:CLIENTS]
    with ThreadPoolExecutor(CLIENTS) as pool:
        given = list(pool.map(lambda pair: server.chat(messages(pair[0])).text.strip(), asked * 2))
    wrong = [
        f"`{case.name}`: {text!r} instead of {case.answer!r}"
        for (_, case), text in zip(asked * 2, given, strict=True)
        if text != case.answer
    ]
    return not wrong and len(asked) == CLIENTS, "; ".join(
        wrong
    ) or f"{len(given)} answers, each to its own question"


def _cancelled(_context: Context, server: Server) -> tuple[bool, str]:
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


def _cache(context: Context, server: Server) -> tuple[bool, str]:
    """Ask the same about another picture, and again, with the prompt cache on: the answers must not be mixed up."""
    names = ("shape, square", "colour, square", "shape, square", "read, square")
    wrong = []
    for name in names:
        prompt, case = context.case(name)
        given = server.chat(messages(prompt), cache_prompt=True, id_slot=0).text.strip()
        if given != case.answer and case.margin >= SURE:
            wrong.append(f"`{name}`: {given!r} instead of {case.answer!r}")
    return not wrong, "; ".join(
        wrong
    ) or f"{len(names)} prompts in one slot, each answered by its own picture"


def _malformed(_context: Context, server: Server) -> tuple[bool, str]:
    bodies = (
        b"{",
        b"[]",
        b'{"messages": 7}',
        b'{"messages": [{"role": "user", "content": [{"type": "nothing"}]}]}',
    )
    statuses = [server.post("/v1/chat/completions", body).status_code for body in bodies]
    return all(_is_refusal(status) for status in statuses), f"statuses {', '.join(map(str, statuses))}"


def _truncated(context: Context, server: Server) -> tuple[bool, str]:
    prompt, _ = context.case("shape, square")
    picture = pictures(prompt)[0]
    return _refused(server, picture[: len(picture) // 8])


def _no_image(_context: Context, server: Server) -> tuple[bool, str]:
    return _refused(server, b"\x7fELF this is no picture" * 20)


def _refused(server: Server, data: bytes) -> tuple[bool, str]:
    answer = _ask(server, data)
    return _is_refusal(answer.status_code), f"status {answer.status_code}: {answer.text[:120]}"


def _huge(_context: Context, server: Server) -> tuple[bool, str]:
    """Send a huge picture: an answer is right, and so is a refusal in words."""
    answer = _ask(server, png(Image.new("RGB", HUGE, (40, 90, 200))))
    is_right = answer.status_code == requests.codes.ok or _is_refusal(answer.status_code)
    return is_right, f"status {answer.status_code}: {answer.text[:120]}"


def _ask(server: Server, data: bytes) -> requests.Response:
    body: dict[str, Any] = {
        "messages": [user(data, "What shape is this?")],
        "max_tokens": 8,
        "temperature": 0,
    }
    return server.post("/v1/chat/completions", json.dumps(body).encode())


def _is_refusal(status: int) -> bool:
    """Whether a status is an error that says so."""
    return int(requests.codes.bad_request) <= status < END_OF_STATUSES
