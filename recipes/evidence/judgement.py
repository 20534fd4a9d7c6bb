"""One thing that was looked at while a bundle was verified, and what came of it. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum


class State(Enum):
    """What became of it."""

    HOLDS = "holds"
    FAILS = "fails"
    MISSING = "missing"  # nobody says it, though it is demanded


@dataclass(frozen=True)
class Judgement:
    """What was looked at, and what was expected and found."""

    what: str
    state: State
    expected: str
    found: str

    @property
    def holds(self) -> bool:
        """Whether it is as expected."""
        return self.state is State.HOLDS


def judge(what: str, is_so: bool, expected: str, found: str) -> Judgement:  # noqa: FBT001 - the outcome
    """Return that something holds or fails."""
    return (holds if is_so else fails)(what, expected, found)


def holds(what: str, expected: str, found: str) -> Judgement:
    """Return that something holds."""
    return Judgement(what, State.HOLDS, expected, found)


def fails(what: str, expected: str, found: str) -> Judgement:
    """Return that something does not hold."""
    return Judgement(what, State.FAILS, expected, found)


def missing(what: str, expected: str, found: str = "nothing") -> Judgement:
    """Return that nobody says something."""
    return Judgement(what, State.MISSING, expected, found)
