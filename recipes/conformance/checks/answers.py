"""Asks about images through the server and through llama-mtmd-cli, and compares the answers with the reference's."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from recipes.conformance.results.inputs import (
    SURE,
    THREADS,
    Findings,
    images_of,
    messages,
    pass_or_fail,
    wrong_answer,
)
from recipes.conformance.results.outcome import CheckVerdict, Outcome, Part
from recipes.conformance.results.result import Exhibit
from recipes.evalset.clip_tasks import CLIP_TASKS
from recipes.evalset.prompts import held_out
from recipes.serve.llamacpp.server import ServerError
from recipes.serve.sse import StreamError, read_pieces

if TYPE_CHECKING:
    from collections.abc import Sequence

    from recipes.conformance.results.inputs import CheckInputs
    from recipes.evalset.golden import HeldOut
    from recipes.evalset.prompts import Prompt
    from recipes.serve.llamacpp.server import Server

MTMD = "llama-mtmd-cli"
# Which part of the model a task needs, as it was made for: what to suspect where it alone fails.
NEEDS = {
    "shape": "the vision tower",
    "colour": "the order of the colour channels, or the mean and deviation that pixels are normalised with",
    "count": "the vision tower, or the attention among image tokens",
    "where": "height and width in the rotary embeddings (interleaved M-RoPE)",
    "which": "positions across several images",
    "read": "fine detail: DeepStack, or the interpolation of learned positions",
    "text": "the language model",
    "motion": "the order of frames and pairs",
    "order": "the order of frames and pairs",
    "often": "each frame of a pair, and an odd last one",
    "when": "the time stamps before the pairs",
    "change": "the first and the last pair",
    "beside": "what is a clip and what an image",
    "clips": "where one clip ends and the next begins",
}
POINTS = 0.01  # how much lower than the reference's a rate may be


def check_cases(inputs: CheckInputs, server: Server, names: Sequence[str]) -> Findings:
    """Ask each prompt once; every answer that the reference is sure of must be its own."""
    exhibits: list[Exhibit] = []
    wrong: list[str] = []
    sure = 0
    for prompt, case in inputs.pairs:
        if case.name not in names:
            continue
        try:
            given = server.chat(messages(prompt)).text
        except ServerError as error:
            given = str(error).splitlines()[0]
        exhibits.append(Exhibit(case.name, images_of(prompt), prompt.question, case.answer, given))
        sure += case.margin >= SURE
        wrong += filter(None, [wrong_answer(case, given)])
    outcome = pass_or_fail(
        Part.IMAGES,
        "answers equal the reference's",
        is_right=not wrong and sure > 0,
        words="; ".join(wrong) or f"{len(exhibits)} prompts asked, {sure} with a sure answer: all equal",
        suspect="see the numerics for which part leaves the reference",
        sure=sure,
    )
    return Findings((outcome,), tuple(exhibits))


def check_streaming(inputs: CheckInputs, server: Server) -> Outcome:
    """Demand that the pieces of a streamed answer are the whole one."""
    prompt, case = inputs.case("read, square")
    body = {"messages": messages(prompt), "max_tokens": 16, "temperature": 0, "stream": True}
    answer = server.post("/v1/chat/completions", json.dumps(body).encode())
    try:
        pieces = [piece.text for piece in read_pieces(answer.content.splitlines())]
    except StreamError as error:
        is_right, words = False, f"the stream ends with an error: {error}"
    else:
        text = "".join(pieces)
        is_right = text == case.answer
        words = f"{len(pieces)} pieces, together {text!r}; the reference says {case.answer!r}"
    return pass_or_fail(Part.IMAGES, "a streamed answer", is_right=is_right, words=words, suspect="server")


def check_held_out(inputs: CheckInputs, server: Server) -> Findings:
    """Ask the held-out questions of each task; the rate of right answers must be the reference's within a point."""
    outcomes = [
        ask_held_out(server, asked) for asked in inputs.golden.held_out if asked.task not in CLIP_TASKS
    ]
    return Findings((*outcomes, total_outcome(outcomes)))


def ask_held_out(server: Server, reference: HeldOut) -> Outcome:
    """Ask the held-out questions of a task, and return its outcome."""
    prompts = held_out(reference.task)
    return rate_outcome(
        reference, prompts, [server.chat(messages(prompt)).text.strip() for prompt in prompts]
    )


def rate_outcome(reference: HeldOut, prompts: Sequence[Prompt], given: Sequence[str]) -> Outcome:
    """Return one task's outcome: every answer that the reference is sure of must be its own."""
    right = sum(text == prompt.expected for prompt, text in zip(prompts, given, strict=True))
    wanted = sum(text == prompt.expected for prompt, text in zip(prompts, reference.answers, strict=True))
    other = [
        (prompt, text, answer)
        for prompt, text, answer, margin in zip(
            prompts, given, reference.answers, reference.margins, strict=True
        )
        if text != answer and margin >= SURE
    ]
    count = len(prompts)
    words = f"{right} of {count} right; the reference {wanted}"
    if other:
        prompt, text, answer = other[0]
        words += f"; {len(other)} sure answers are others, first {prompt.question!r}: {text!r} instead of {answer!r}"
    return pass_or_fail(
        Part.VIDEO
        if reference.task in CLIP_TASKS
        else Part.TEXT
        if reference.task == "text"
        else Part.IMAGES,
        f"held-out: {reference.task}",
        is_right=not other,
        words=words,
        suspect=NEEDS[reference.task],
        right=right,
        asked=count,
        reference=wanted,
    )


def total_outcome(outcomes: Sequence[Outcome], part: Part = Part.IMAGES) -> Outcome:
    """Return the outcome of all tasks together: within a point of the reference."""
    right, asked, wanted = (
        sum(int(o.figures[key]) for o in outcomes) for key in ("right", "asked", "reference")
    )
    return pass_or_fail(
        part,
        "held-out: all",
        is_right=right / asked >= wanted / asked - POINTS,
        words=f"{right} of {asked} right ({right / asked:.1%}); the reference {wanted} ({wanted / asked:.1%})",
        suspect="see the tasks",
        rate=round(right / asked, 4),
        reference=round(wanted / asked, 4),
    )


def check_mtmd(inputs: CheckInputs) -> Outcome:
    """Ask llama-mtmd-cli about single images, as people do who follow the model's page."""
    if inputs.subject.path(MTMD) is None:
        return Outcome(Part.IMAGES, MTMD, CheckVerdict.NOT_RUN, f"there is no {MTMD}")
    wrong, asked = [], 0
    for name in ("shape, square", "colour, wide", "read, square"):
        prompt, case = inputs.case(name)
        if case.margin < SURE:
            continue
        asked += 1
        image = inputs.work / f"{name.replace(', ', '-')}.png"
        image.write_bytes(images_of(prompt)[0])
        arguments = (
            *("-m", str(inputs.model), "--mmproj", str(inputs.mmproj), "--image", str(image)),
            *("-p", prompt.turns[0].parts[-1], "-n", "16", "--temp", "0", "-t", THREADS),
            *inputs.subject.model_options,
        )
        done = inputs.subject.run(MTMD, tuple(map(str, arguments)), inputs.work)
        given = done.out.strip().splitlines()[-1].strip() if done.out.strip() else ""
        if done.status != 0 or given != case.answer:
            wrong.append(f"{prompt.question!r}: status {done.status}, {given!r} instead of {case.answer!r}")
    words = "; ".join(wrong) or f"{asked} images: its answers are the reference's"
    return pass_or_fail(Part.IMAGES, MTMD, is_right=not wrong and asked > 0, words=words, suspect=MTMD)
