"""What two interleaved rows of figures say: ratio or difference of medians, its spread, met or not. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from statistics import median
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence


class Kind(StrEnum):
    RATIO_AT_MOST = "ratio at most"
    RATIO_AT_LEAST = "ratio at least"
    DIFFERENCE_AT_MOST = "difference at most"


@dataclass(frozen=True)
class Target:
    """What was promised: of ours over the peer's, or of ours minus the peer's in their unit."""

    kind: Kind
    limit: float


@dataclass(frozen=True)
class Comparison:
    """One row of the table.

    `ours[n]` and `theirs[n]` are neighbours in time, so that their ratio is free of what drifts slowly.
    `missing` is the reason where there is nothing to compare; then there need not be figures.
    """

    what: str
    peer: str
    unit: str
    ours: tuple[float, ...] = ()
    theirs: tuple[float, ...] = ()
    target: Target | None = None
    missing: str = ""

    def __post_init__(self) -> None:
        if self.missing:
            return
        if not self.ours or len(self.ours) != len(self.theirs):
            raise ValueError(
                f"{self.what}: {len(self.ours)} figures of ours, {len(self.theirs)} of the peer's"
            )
        if min(*self.ours, *self.theirs) <= 0:
            raise ValueError(f"{self.what}: a figure that is not positive")


def ratio(row: Comparison) -> float:
    return median(row.ours) / median(row.theirs)


def ratios(row: Comparison) -> tuple[float, ...]:
    return tuple(ours / theirs for ours, theirs in zip(row.ours, row.theirs, strict=True))


def difference(row: Comparison) -> float:
    return median(row.ours) - median(row.theirs)


def is_met(row: Comparison) -> bool | None:
    """Return whether the target is met; None where there is no target or no figure."""
    if row.target is None or row.missing:
        return None
    if row.target.kind is Kind.RATIO_AT_MOST:
        return ratio(row) <= row.target.limit
    if row.target.kind is Kind.RATIO_AT_LEAST:
        return ratio(row) >= row.target.limit
    return difference(row) <= row.target.limit


def verdict(row: Comparison) -> str:
    if row.missing:
        return f"not measured: {row.missing}"
    met = is_met(row)
    return "no target" if met is None else "met" if met else "MISSED"


def figures(values: Sequence[float], unit: str) -> str:
    """Return the median, and from where to where single figures lie."""
    if not values:
        return "-"
    return f"{_round(median(values))} {unit} ({_round(min(values))} to {_round(max(values))})"


def outcome(row: Comparison) -> str:
    """Return the ratio, with that of the neighbours farthest apart, or the difference."""
    if row.missing:
        return "-"
    if row.target and row.target.kind is Kind.DIFFERENCE_AT_MOST:
        return f"{difference(row):+.2f} {row.unit}"
    single = ratios(row)
    return f"{ratio(row):.3f} ({min(single):.3f} to {max(single):.3f})"


def promise(row: Comparison) -> str:
    if row.target is None:
        return "-"
    if row.target.kind is Kind.DIFFERENCE_AT_MOST:
        return f"at most {row.target.limit:+.2f} {row.unit}"
    return f"{row.target.kind.removeprefix('ratio ')} {row.target.limit:.2f}"


HEADER = ("what", "ours", "peer or limit", "its figure", "ratio or difference", "target", "met or not")


def cells(row: Comparison) -> tuple[str, ...]:
    return (
        row.what,
        figures(row.ours, row.unit),
        row.peer,
        figures(row.theirs, row.unit),
        outcome(row),
        promise(row),
        verdict(row),
    )


def _round(value: float) -> str:
    """Three digits that matter, or all before the point."""
    return f"{value:.0f}" if value >= 100 else f"{value:.3g}"
