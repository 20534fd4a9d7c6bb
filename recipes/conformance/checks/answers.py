"""Asks about images through the server and through llama-mtmd-cli, and compares the answers with the reference's."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from recipes.conformance.results.context import SURE, THREADS, Findings, judged, messages, pictures
from recipes.conformance.results.outcome import Outcome, Part, Verdict
from recipes.conformance.results.result import Exhibit
from recipes.evalset.prompts import held_out
from recipes.serve.llamacpp.server import ServerError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from recipes.conformance.results.context import Context
    from recipes.evalset.golden import GoldenCase, HeldOut
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
}
POINTS = 0.01  # how much lower than the reference's a rate may be


def check_cases(context: Context, server: Server, names: Sequence[str]) -> Findings:
    """Ask each prompt once; every answer that the reference is sure of must be its own.

    Parameters
    ----------
    context
        The judgement.
    server
        With model and projector.
    names
        Of the prompts to ask.
    """
    exhibits, wrong, sure = [], [], 0
    for prompt, case in context.pairs:
        if case.name not in names:
            continue
        try:
            given = server.chat(messages(prompt)).text
        except ServerError as error:
            given = str(error).splitlines()[0]
        exhibits.append(exhibit(prompt, case, given))
        sure += case.margin >= SURE
        if case.margin >= SURE and given.strip() != case.answer:
            wrong.append(f"`{case.name}`: {given!r} instead of {case.answer!r}")
    outcome = judged(
        Part.IMAGES,
        "answers equal the reference's",
        is_right=not wrong and sure > 0,
        words="; ".join(wrong) or f"{len(exhibits)} prompts asked, {sure} with a sure answer: all equal",
        suspect="see the numerics for which part leaves the reference",
        sure=sure,
    )
    return Findings((outcome,), tuple(exhibits))


def exhibit(prompt: Prompt, case: GoldenCase, given: str) -> Exhibit:
    """Give what a person would look at of one question."""
    return Exhibit(case.name, pictures(prompt), prompt.question, case.answer, given)


def check_streaming(context: Context, server: Server) -> Findings:
    """Demand that the pieces of a streamed answer are the whole one."""
    prompt, case = context.case("read, square")
    body = {"messages": messages(prompt), "max_tokens": 16, "temperature": 0, "stream": True}
    answer = server.post("/v1/chat/completions", json.dumps(body).encode())
    pieces = []
    for line in answer.content.decode("utf-8").splitlines():
        if line.startswith("data: ") and line != "data: [DONE]":
            delta = json.loads(line.removeprefix("data: "))["choices"]
            pieces += [choice["delta"].get("content") or "" for choice in delta]
    text = "".join(pieces)
    words = f"{len(pieces)} pieces, together {text!r}; the reference says {case.answer!r}"
    return Findings(
        (
            judged(
                Part.IMAGES, "a streamed answer", is_right=text == case.answer, words=words, suspect="server"
            ),
        )
    )


def check_held_out(context: Context, server: Server) -> Findings:
    """Ask the held-out questions of each task; the rate of right answers must be the reference's within a point."""
    outcomes: list[Outcome] = []
    for reference in context.golden.held_out:
        prompts = held_out(reference.task)
        given = [server.chat(messages(prompt)).text.strip() for prompt in prompts]
        outcomes.append(rate_outcome(reference, prompts, given))
    return Findings((*outcomes, total_outcome(outcomes)))


def rate_outcome(reference: HeldOut, prompts: Sequence[Prompt], given: Sequence[str]) -> Outcome:
    """Judge one task: sure answers are the reference's, one unsure answer in a hundred questions aside."""
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
    return judged(
        Part.TEXT if reference.task == "text" else Part.IMAGES,
        f"held-out: {reference.task}",
        is_right=not other,
        words=words,
        suspect=NEEDS[reference.task],
        right=right,
        asked=count,
        reference=wanted,
    )


def total_outcome(outcomes: Sequence[Outcome]) -> Outcome:
    """Judge all tasks together: within a point of the reference."""
    right, asked, wanted = (
        sum(int(o.figures[key]) for o in outcomes) for key in ("right", "asked", "reference")
    )
    return judged(
        Part.IMAGES,
        "held-out: all",
        is_right=right / asked >= wanted / asked - POINTS,
        words=f"{right} of {asked} right ({right / asked:.1%}); the reference {wanted} ({wanted / asked:.1%})",
        suspect="see the tasks",
        rate=round(right / asked, 4),
        reference=round(wanted / asked, 4),
    )


def check_mtmd(context: Context) -> Findings:
    """Ask llama-mtmd-cli about single images, as people do who follow the model's page."""
    if context.subject.path(MTMD) is None:
        return Findings((Outcome(Part.IMAGES, MTMD, Verdict.NOT_RUN, f"there is no {MTMD}"),))
    wrong, asked = [], 0
    for name in ("shape, square", "colour, wide", "read, square"):
        prompt, case = context.case(name)
        if case.margin < SURE:
            continue
        asked += 1
        picture = context.work / f"{name.replace(', ', '-')}.png"
        picture.write_bytes(pictures(prompt)[0])
        arguments = (
            *("-m", str(context.model), "--mmproj", str(context.mmproj), "--image", str(picture)),
            *("-p", prompt.turns[0].parts[-1], "-n", "16", "--temp", "0", "-t", THREADS),
            *context.subject.model_options,
        )
        done = context.subject.run(MTMD, tuple(map(str, arguments)), context.work)
        given = done.out.strip().splitlines()[-1].strip() if done.out.strip() else ""
        if done.status != 0 or given != case.answer:
            wrong.append(f"{prompt.question!r}: status {done.status}, {given!r} instead of {case.answer!r}")
    words = "; ".join(wrong) or f"{asked} images: its answers are the reference's"
    return Findings((judged(Part.IMAGES, MTMD, is_right=not wrong and asked > 0, words=words, suspect=MTMD),))
