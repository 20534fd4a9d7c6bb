"""What a check found, in words that a release engineer can act on. Pure."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence


class CheckVerdict(Enum):
    """How a check ended."""

    PASSED = "passed"
    DEVIATES = "deviates"  # from the reference, in a known and named way: a grade, not a failure
    FAILED = "failed"
    NOT_RUN = "not run"  # said with its reason, never silently
    UNSUPPORTED = "not supported"  # what it says itself that it does not do: a grade, not a failure


class Part(Enum):
    """What of a llama.cpp a check looks at."""

    LINT = "model files"
    LOAD = "loading"
    TEXT = "text"
    IMAGES = "image prompts"
    VIDEO = "video"
    NUMERICS = "numerics"
    KERNELS = "kernels"
    POSITIONS = "interleaved M-RoPE"
    SERVER = "server"
    PAGE = "web page"
    HOSTILE = "hostile requests"


@dataclass(frozen=True)
class Outcome:
    """One check's result."""

    part: Part
    name: str  # unique within its part
    verdict: CheckVerdict
    words: str  # what was found, in a sentence or two
    suspect: str = ""  # where it fails: which part of the model or the program is likely wrong
    figures: Mapping[str, float | int | str] = field(default_factory=dict)


@dataclass(frozen=True)
class Grade:
    """What all checks of one part say together."""

    part: Part
    verdict: CheckVerdict
    words: str


ORDER = (
    *(CheckVerdict.FAILED, CheckVerdict.DEVIATES, CheckVerdict.PASSED),
    *(CheckVerdict.UNSUPPORTED, CheckVerdict.NOT_RUN),
)
NOTHING = {CheckVerdict.NOT_RUN, CheckVerdict.UNSUPPORTED}  # what proves nothing


def grade(outcomes: Sequence[Outcome]) -> tuple[Grade, ...]:
    """Return a grade for each part that was looked at: the worst of its checks, and how many there were.

    A part of which nothing ran is not passed: it is not run.
    """
    grades = []
    for part in Part:
        found = [outcome for outcome in outcomes if outcome.part is part]
        if not found:
            continue
        worst = min((outcome.verdict for outcome in found), key=ORDER.index)
        counts = [(verdict, sum(outcome.verdict is verdict for outcome in found)) for verdict in ORDER]
        words = ", ".join(f"{count} {verdict.value}" for verdict, count in counts if count)
        grades.append(Grade(part, worst, words))
    return tuple(grades)


def has_failed(outcomes: Sequence[Outcome]) -> bool:
    """Return whether the subject must not be shipped: a check failed, or none ran."""
    return any(outcome.verdict is CheckVerdict.FAILED for outcome in outcomes) or all(
        outcome.verdict in NOTHING for outcome in outcomes
    )
