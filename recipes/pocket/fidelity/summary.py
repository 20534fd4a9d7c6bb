"""What the figures of a ledger say together. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from recipes.pocket.fidelity.results import Ledger


@dataclass(frozen=True)
class Tally:
    """How many cases of a subject are beyond the limit, and why.

    The known deviations bring `known` of them within it, a router's near-tie `tied`, and rounding in 16 bits, as it
    falls out one way or the other, `rounded`; `neither` are the others. Cases without an answer, `unanswered`, are
    not among these.
    """

    beyond: int
    known: int
    tied: int
    rounded: int
    neither: int
    unanswered: int


def apart(one: tuple[float, ...], other: tuple[float, ...]) -> float:
    """Return the largest difference of two rows of logarithms."""
    return max(abs(a - b) for a, b in zip(one, other, strict=True))


@dataclass(frozen=True)
class Selection:
    """Some of a ledger's cases; the empty text stands for all models, groups or servers."""

    subject: str
    setting: str
    model: str = ""
    group: str = ""
    server: str = ""


def values(ledger: Ledger, chosen: Selection, *, left: bool = False) -> list[float]:
    """Return the differences of the cases that were answered: as measured, or what the known deviations leave."""
    return [
        value
        for row in ledger.rows
        if (row.subject, row.setting) == (chosen.subject, chosen.setting) and chosen.model in {"", row.model}
        for case, value in zip(ledger.cases, row.left if left else row.sizes, strict=True)
        if value is not None and chosen.group in {"", case.group} and chosen.server in {"", case.server}
    ]


def tally(ledger: Ledger, subject: str, setting: str) -> Tally:
    """Count what is beyond the limit."""
    limit = ledger.limits[setting]
    rows = [row for row in ledger.rows if (row.subject, row.setting) == (subject, setting)]
    pairs = [
        (size, left)
        for row in rows
        for size, left in zip(row.sizes, row.left, strict=True)
        if size is not None and left is not None
    ]
    listed = [item for item in ledger.beyond if (item.subject, item.setting) == (subject, setting)]
    explained = [item for item in listed if item.after <= limit]
    rounded = sum(item.trembled is not None for item in explained)
    still = sum(left > limit for _, left in pairs)
    return Tally(
        beyond=sum(size > limit for size, _ in pairs),
        known=sum(size > limit >= left for size, left in pairs),
        tied=len(explained) - rounded,
        rounded=rounded,
        neither=still - len(explained),
        unanswered=sum(value is None for row in rows for value in row.sizes),
    )


def figure(value: float | None) -> str:
    """Write a difference for people.

    >>> figure(1.23456), figure(0.00123), figure(0.0000042), figure(None)
    ('1.235', '0.0012', '0.000004', 'no answer')
    """
    if value is None:
        return "no answer"
    digits = 3 if value >= 0.01 else 4 if value >= 0.001 else 6
    return f"{value:.{digits}f}"
