"""What all checks say together, in the words that a release engineer reads first. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from recipes.conformance.results.outcome import CheckVerdict, Outcome, Part, has_failed

if TYPE_CHECKING:
    from collections.abc import Sequence

SYMBOLS = {
    CheckVerdict.PASSED: "✓",
    CheckVerdict.DEVIATES: "≈",
    CheckVerdict.FAILED: "✗",
    CheckVerdict.NOT_RUN: "○",
    CheckVerdict.UNSUPPORTED: "-",
}


@dataclass(frozen=True)
class FailureCause:
    """One reason for which a subject fails: what is suspect, and the checks that say so."""

    suspect: str
    checks: tuple[Outcome, ...]


@dataclass(frozen=True)
class RunSummary:
    """All checks together: a headline, a sentence or two, and why it must not be shipped, if so."""

    headline: str
    words: str
    causes: tuple[FailureCause, ...] = ()
    has_failed: bool = False


def summarise(outcomes: Sequence[Outcome]) -> RunSummary:
    """Return whether all passed, or why not.

    A suite of which nothing ran fails: silence is no proof.
    """
    total = len(outcomes)
    by_verdict = {verdict: [o for o in outcomes if o.verdict is verdict] for verdict in CheckVerdict}
    failed, skipped = by_verdict[CheckVerdict.FAILED], by_verdict[CheckVerdict.NOT_RUN]
    if failed:
        words = (
            f"It must not be shipped: {len(failed)} of {count(total, 'check')} failed, "
            f"in {listed([part.value for part in Part if any(o.part is part for o in failed)])}."
        )
        summary = RunSummary("Fails", _with_skipped(words, len(skipped)), causes_of(failed), has_failed=True)
    elif has_failed(outcomes):
        which = f"none of {count(total, 'check')} ran" if total else "there was no check"
        words = f"It is not proven to work: {which}."
        summary = RunSummary("Fails: nothing was checked", words, causes_of(skipped), has_failed=True)
    else:
        deviating = len(by_verdict[CheckVerdict.DEVIATES])
        words = f"{len(by_verdict[CheckVerdict.PASSED])} of {count(total, 'check')} passed."
        if deviating:
            verb = "deviates" if deviating == 1 else "deviate"
            words += f" {deviating} {verb} from the reference in a known way that is named below."
        absent = [o.part.value for o in by_verdict[CheckVerdict.UNSUPPORTED]]
        if absent:
            words += f" Not supported: {listed(list(dict.fromkeys(absent)))}."
        headline = "Passes, with known deviations" if deviating else "Passes"
        summary = RunSummary(headline, _with_skipped(words, len(skipped)))
    return summary


def causes_of(outcomes: Sequence[Outcome]) -> tuple[FailureCause, ...]:
    """Return each suspect once, in order, with the checks that point to it; where none is named, the words."""
    suspects = dict.fromkeys(o.suspect or o.words for o in outcomes)
    return tuple(FailureCause(s, tuple(o for o in outcomes if (o.suspect or o.words) == s)) for s in suspects)


def count(number: int, noun: str) -> str:
    """Return a number of things.

    >>> count(1, "check"), count(3, "check")
    ('1 check', '3 checks')
    """
    return f"{number} {noun}{'' if number == 1 else 's'}"


def listed(words: Sequence[str]) -> str:
    """Join words as a sentence does.

    >>> listed(["text", "server", "web page"])
    'text, server and web page'
    """
    *first, last = words
    return f"{', '.join(first)} and {last}" if first else last


def figure_text(value: float | str) -> str:
    """Write a figure for people: a float with four digits.

    >>> figure_text(0.123456), figure_text(12), figure_text("f16")
    ('0.1235', '12', 'f16')
    """
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def _with_skipped(words: str, number: int) -> str:
    return (
        f"{words} {count(number, 'check')} could not run; the list of all checks says why."
        if number
        else words
    )
