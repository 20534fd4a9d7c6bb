"""Judges a server after an attack: it lives, is healthy, holds no more memory, and answers honest questions rightly."""

from __future__ import annotations

import json
import re
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import requests

from recipes.conformance.hostile.attack import CHAT, HEALTH_S, Attack, Fault, Seen, Target, encode
from recipes.conformance.results.inputs import SURE, messages
from recipes.serve.llamacpp.server import describe_status

if TYPE_CHECKING:
    from collections.abc import Sequence

    from recipes.conformance.hostile.memory_watch import MemoryWatch
    from recipes.conformance.results.inputs import CheckInputs

ANSWER_S = 30.0
MOST_ABOVE_IDLE = 1_500_000_000
REPORT = re.compile(r"^.*(?:(?:Address|Leak|UndefinedBehavior)Sanitizer|runtime error): .*$", re.MULTILINE)
DIES_S = 0.3  # between a connection's end and the process's
IMAGE = "colour, square"


@dataclass(frozen=True)
class Question:
    """An honest question, and its right answer."""

    messages: Sequence[dict[str, Any]]
    answer: str

    def ask(self, target: Target, timeout_s: float = ANSWER_S) -> Seen | None:
        """Ask; return what is wrong with the answer, if anything."""
        fields = {"messages": self.messages, "max_tokens": 16, "temperature": 0}
        reply = target.send(CHAT, encode(fields), timeout_s=timeout_s)
        if reply.status != requests.codes.ok:
            return Seen(
                f"an honest question: {reply.words}", Fault.LATE if reply.status == 0 else Fault.WRONG
            )
        try:
            given = json.loads(reply.text)["choices"][0]["message"]["content"].strip()
        except (ValueError, LookupError, TypeError, AttributeError):
            return Seen(f"an honest question is answered with {reply.text[:80]!r}", Fault.WRONG)
        if given == self.answer:
            return None
        return Seen(f"an honest question is answered with {given!r} instead of {self.answer!r}", Fault.WRONG)


def honest_questions(inputs: CheckInputs) -> tuple[Question, Question]:
    """Return a question of text, and one about an image, of which the reference is sure."""
    sure = [(prompt, case) for prompt, case in inputs.pairs if case.margin >= SURE]
    text = next(pair for pair in sure if not pair[0].scenes)
    image = next(pair for pair in sure if pair[0].name == IMAGE)
    return tuple(Question(messages(prompt), case.answer) for prompt, case in (text, image))  # type: ignore[return-value]


@dataclass(frozen=True)
class Trial:
    """One attack with what came of it: the fault that weighs most, in words; the peak of memory in bytes."""

    attack: Attack
    words: str
    fault: Fault | None
    seconds: float
    peak: int


def attack_and_judge(
    attack: Attack, target: Target, watch: MemoryWatch, questions: Sequence[Question], idle: int
) -> Trial:
    """Attack a server, and look at it afterwards. It is the caller who starts a dead one again."""
    started, watch.peak = time.monotonic(), 0
    said = target.server.log.stat().st_size
    try:
        seen = attack.run(target)
    except (OSError, requests.RequestException) as error:
        seen = Seen(f"{type(error).__name__}: {error}")
    found = [seen] if seen.fault else []
    found += look_at(target, watch, questions, idle)
    found += reported(target, said)
    order = list(Fault)
    worst = min(
        found, key=lambda one: order.index(one.fault) if one.fault else len(order), default=Seen(seen.words)
    )
    words = worst.words if worst is seen or worst.words == seen.words else f"{worst.words} ({seen.words})"
    return Trial(attack, words, worst.fault, round(time.monotonic() - started, 2), watch.peak)


def look_at(target: Target, watch: MemoryWatch, questions: Sequence[Question], idle: int) -> list[Seen]:
    """Return every fault of a server after an attack; of a dead one only that."""
    found = []
    if death := died(target, watch, DIES_S):
        return [death]
    if not target.is_healthy():
        if death := died(target, watch, DIES_S):
            return [death]
        found.append(Seen(f"no health within {HEALTH_S * target.patience:g} s", Fault.SILENT))
    found += [wrong for question in questions if (wrong := question.ask(target))]
    above = watch.peak - idle
    if above > MOST_ABOVE_IDLE * target.memory:
        found.append(Seen(f"{above / 1e9:.1f} GB above idle", Fault.MEMORY))
    if found and (death := died(target, watch, DIES_S)):
        return [death]
    return found


def reported(target: Target, start: int) -> list[Seen]:
    """Return what a sanitizer has written into the server's log since it had `start` bytes."""
    with target.server.log.open("rb") as log:
        log.seek(start)
        line = REPORT.search(log.read().decode("utf-8", "replace"))
    return [Seen(line[0].strip(), Fault.REPORTED)] if line else []


def died(target: Target, watch: MemoryWatch, wait_s: float) -> Seen | None:
    """Return how a server died, if it did."""
    if target.server.process.status is None and target.is_healthy(0.5):
        return None
    status = target.server.process.wait(wait_s)
    if status is None:
        return None
    if watch.was_ended:
        return Seen("it was ended at 6 GB", Fault.MEMORY)
    return Seen(f"it ended with {describe_status(status)}", Fault.DEAD)
