"""Asks about videos, compares answers and first tokens with the reference, and names how a llama.cpp differs.

A server says in /props whether it reads videos. It is sent frames, as b11312 of this project takes them; where it takes
none, a file of them without loss, as upstream does, which has a program of the machine decode it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import requests

from recipes.conformance.checks.answers import ask_held_out, total_outcome
from recipes.conformance.checks.numerics import CHOICES
from recipes.conformance.results.inputs import (
    STRICT,
    SURE,
    Findings,
    images_of,
    messages,
    pass_or_fail,
    wrong_answer,
)
from recipes.conformance.results.numerics import explain
from recipes.conformance.results.outcome import CheckVerdict, Outcome, Part
from recipes.conformance.results.result import Exhibit
from recipes.evalset.clip_tasks import CLIP_TASKS
from recipes.models.gguf.rewrite import write_f32
from recipes.serve.llamacpp.server import ServerError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from recipes.conformance.results.inputs import CheckInputs
    from recipes.conformance.results.numerics import Explained
    from recipes.evalset.prompts import Prompt
    from recipes.serve.llamacpp.server import ChatReply, Server

TOLERANCE = 0.005  # of a logarithm, with f32 weights in the strict setting
FAULTY_REST = 0.15  # of a difference: what a fault may leave unexplained and still be named
CACHED = ("four frames", "three frames", "four frames", "two clips of one size", "two frames", "four frames")
BROKEN: dict[str, dict[str, Any]] = {
    "one frame": {"frames": 1},
    "a rate of 0": {"fps": 0},
    "too few numbers": {"indices": [0]},
    "numbers that fall": {"indices": [3, 2, 1, 0]},
}


@dataclass(frozen=True)
class Sending:
    """How videos are sent: what a prompt's messages are, and how that is said."""

    messages: Callable[[Prompt], list[dict[str, Any]]]
    words: str


def check(inputs: CheckInputs) -> Findings:
    """Ask about every clip, in the default setting and with f32 weights in the strict one."""
    with inputs.server() as server:
        sending = find_sending(inputs, server)
        if isinstance(sending, str):
            return Findings((Outcome(Part.VIDEO, "videos", CheckVerdict.UNSUPPORTED, sending),))
        found = check_answers(inputs, server, sending)
        if sending.messages is messages:
            outcomes = [ask_held_out(server, one) for one in inputs.golden.held_out if one.task in CLIP_TASKS]
            found += Findings((*outcomes, total_outcome(outcomes, Part.VIDEO)))
            found += Findings((check_cache(inputs, server), check_broken(inputs, server)))
    return found + check_numbers(inputs, sending)


def find_sending(inputs: CheckInputs, server: Server) -> Sending | str:
    """Return how the server takes videos; why not, where it takes none."""
    try:
        said = server.get("/props").json()["modalities"]["video"]
    except (requests.RequestException, ValueError, LookupError, TypeError):
        said = None
    if not said:
        return "its /props do not say that it reads videos"
    prompt, _ = inputs.clip_pairs[0]
    try:
        server.chat(messages(prompt), max_tokens=1)
    except ServerError as error:
        # writes a video, with a package that nothing else here needs
        from recipes.conformance.checks.video_file import file_messages

        try:
            server.chat(file_messages(prompt), max_tokens=1)
        except ServerError as again:
            return (
                f"its /props say that it reads videos, and it takes neither frames ({_first(error)})"
                f" nor a file of them ({_first(again)})"
            )
        return Sending(file_messages, "as files of its own rate: it takes no frames")
    return Sending(messages, "as frames")


def check_answers(inputs: CheckInputs, server: Server, sending: Sending) -> Findings:
    """Ask each prompt once; every answer that the reference is sure of must be its own."""
    exhibits: list[Exhibit] = []
    wrong: list[str] = []
    sure = 0
    for prompt, case in inputs.clip_pairs:
        try:
            given = server.chat(sending.messages(prompt)).text
        except ServerError as error:
            given = _first(error)
        exhibits.append(Exhibit(case.name, images_of(prompt), prompt.question, case.answer, given))
        sure += case.margin >= SURE
        wrong += filter(None, [wrong_answer(case, given)])
    words = "; ".join(wrong) or f"{len(exhibits)} prompts asked, {sure} with a sure answer: all equal"
    outcome = pass_or_fail(
        Part.VIDEO,
        "answers equal the reference's",
        is_right=not wrong and sure > 0,
        words=f"{words} (sent {sending.words})",
        suspect="see the first tokens for how videos are read",
        sure=sure,
    )
    return Findings((outcome,), tuple(exhibits))


def check_cache(inputs: CheckInputs, server: Server) -> Outcome:
    """Ask about one clip after another in one slot, with the prompt cache on: the answers must not be mixed up."""
    pairs = {pair[1].name: pair for pair in inputs.clip_pairs}
    wrong = []
    for name in CACHED:
        prompt, case = pairs[name]
        wrong.append(wrong_answer(case, server.chat(messages(prompt), cache_prompt=True, id_slot=0).text))
    found = "; ".join(filter(None, wrong))
    return pass_or_fail(
        Part.VIDEO,
        "prompt cache",
        is_right=not found,
        words=found or f"{len(CACHED)} prompts in one slot, each answered by its own clips",
        suspect="by what the cache knows a pair of frames",
    )


def check_broken(inputs: CheckInputs, server: Server) -> Outcome:
    """Send what is no clip: it is refused, and the server answers on."""
    prompt, case = next(pair for pair in inputs.clip_pairs if pair[1].name == "four frames")
    wrong = []
    for name, change in BROKEN.items():
        sent = messages(prompt)
        video = next(part for part in sent[-1]["content"] if "input_video" in part)["input_video"]
        video |= {"frames": video["frames"][:1]} if "frames" in change else change
        try:
            wrong.append(f"{name}: answered {server.chat(sent).text!r}")
        except ServerError as error:
            wrong += [] if "status 400" in str(error) else [f"{name}: {_first(error)}"]
    wrong += filter(None, [wrong_answer(case, server.chat(messages(prompt)).text)])
    return pass_or_fail(
        Part.VIDEO,
        "frames that are no clip",
        is_right=not wrong,
        words="; ".join(wrong) or f"{len(BROKEN)} refused with 400, and it answers on",
        suspect="what is demanded of frames",
    )


def check_numbers(inputs: CheckInputs, sending: Sending) -> Findings:
    """Compare the first tokens with f32 weights in the strict setting, and name what a llama.cpp does otherwise."""
    model = write_f32(inputs.model, inputs.work / "video-f32.gguf")
    mmproj = write_f32(inputs.mmproj, inputs.work / "video-mmproj-f32.gguf")
    replies: dict[str, ChatReply] = {}
    try:
        with inputs.server(*STRICT, model=model, mmproj=mmproj) as server:
            for prompt, case in inputs.clip_pairs:
                replies[case.name] = server.chat(sending.messages(prompt), max_tokens=1, choices=CHOICES)
    except ServerError as error:
        words = _first(error)
        return Findings((Outcome(Part.VIDEO, "first tokens, f32", CheckVerdict.FAILED, words, "the server"),))
    measured = {name: reply.logprobs for name, reply in replies.items()}
    tokens = [
        f"`{case.name}` has {replies[case.name].prompt_tokens} tokens, not {case.prompt_tokens}"
        for _, case in inputs.clip_pairs
        if replies[case.name].prompt_tokens not in {0, case.prompt_tokens}
    ]
    explained = explain(measured, inputs.golden.clips, inputs.golden.clip_deviations, TOLERANCE)
    return Findings((outcome(explained, measured, tokens),))


def outcome(explained: Explained, measured: Mapping[str, object], tokens: Sequence[str]) -> Outcome:
    """Return what the first tokens say: faults fail and are named, and so are known deviations of another kind."""
    name = "first tokens, f32, strict setting"
    figures: dict[str, float | int | str] = {
        "largest difference": round(explained.before, 5),
        "left unexplained": round(explained.after, 5),
        "tolerance": TOLERANCE,
        **{deviation.name: round(size, 4) for deviation, size in explained.deviations},
    }
    found = [deviation for deviation, _ in explained.deviations]
    faults = [deviation for deviation in found if deviation.fails]
    rest = max(TOLERANCE, FAULTY_REST * explained.before) if faults else TOLERANCE
    off = f"up to {explained.before:.3f} off"
    if explained.after > rest:
        words = f"{off}, and no known deviation explains it: {explained.after:.3f} is left, in `{explained.worst}`"
        words += f"; {'; '.join(tokens[:3])}" if tokens else ""
        return Outcome(Part.VIDEO, name, CheckVerdict.FAILED, words, "how videos are read", figures)
    said = "; ".join(deviation.words for deviation in found)
    if faults:
        places = "; ".join(fault.where for fault in faults)
        return Outcome(Part.VIDEO, name, CheckVerdict.FAILED, f"{said}: {off}", places, figures)
    if found:
        return Outcome(Part.VIDEO, name, CheckVerdict.DEVIATES, f"{off}; known: {said}", figures=figures)
    words = f"{len(measured)} prompts, at most {explained.before:.5f} off"
    return Outcome(Part.VIDEO, name, CheckVerdict.PASSED, words, figures=figures)


def _first(error: Exception) -> str:
    return str(error).splitlines()[0]
