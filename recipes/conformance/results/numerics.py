"""Tells by which known deviations a llama.cpp's probabilities leave the reference, and by how much. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from recipes.evalset.golden import JOIN

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from recipes.evalset.golden import Deviation, GoldenCase, NearTie

# Deviations by name that the default setting may have and the strict one not: 16-bit sums are only in its K and V.
OF_DEFAULT = frozenset({"half", "half-text"})
UNSEEN = -30.0  # the logarithm for a token that a server did not list: less than any it lists


@dataclass(frozen=True)
class Tipped:
    """A near-tie of the router that fell the other way."""

    case: str
    tie: NearTie
    size: float  # the largest difference with the reference's own choice
    left: float  # the same with the other one


@dataclass(frozen=True)
class Explained:
    """What accounts for the differences."""

    # The known ones that together come closest, and by how much each changes the worst case.
    deviations: tuple[tuple[Deviation, float], ...]
    before: float  # the largest difference from the reference, over all cases and tokens
    after: float  # the largest difference that they leave
    worst: str  # the case with that difference
    tipped: tuple[Tipped, ...] = ()  # they account for what was left of their cases


def difference(measured: Mapping[str, float], tokens: Sequence[str], reference: Sequence[float]) -> float:
    """Return the largest difference over the reference's tokens, in natural logarithms."""
    return max(
        abs(measured.get(token, UNSEEN) - wanted) for token, wanted in zip(tokens, reference, strict=True)
    )


def candidates(known: Sequence[Deviation], strict: Sequence[Deviation] | None) -> list[Deviation]:
    """Return the deviations that the default setting may have: those of the strict one, and its own.

    The strict setting of the same weights tells small deviations from rounding, which 16-bit K and V are too coarse
    for. `strict` is None where it could not be measured: then it may have any.
    """
    return [one for one in known if strict is None or one in strict or one.name in OF_DEFAULT]


def explain(
    measured: Mapping[str, Mapping[str, float]],
    cases: Sequence[GoldenCase],
    deviations: Sequence[Deviation],
    tolerance: float,
) -> Explained:
    """Find the combination of known deviations that comes closest to what was measured.

    Every combination that the reference was asked with is tried. Of two that come equally close, the one with fewer
    deviations is taken, so that nothing is blamed that explains nothing.

    `measured` has for each case the logarithm of each first token that the server listed. Where more than the
    tolerance is left of a case, its near-ties are tried.
    """
    by_name = {deviation.name: deviation for deviation in deviations}

    def cost(names: frozenset[str]) -> float:
        return sum(value * value for value in _distances(measured, cases, names).values())

    keys = {key for case in cases for key in case.logprobs}
    known = (frozenset(key.split(JOIN)) - {""} for key in keys)
    tried = sorted(
        (names for names in known if names <= set(by_name)), key=lambda names: (len(names), sorted(names))
    )
    costs = {names: cost(names) for names in tried}
    least = min(costs.values())
    best = next(names for names in tried if costs[names] <= least * 1.02 + 1e-9)
    chosen = [deviation for deviation in deviations if deviation.name in best]
    return account(measured, cases, chosen, tolerance)


def account(
    measured: Mapping[str, Mapping[str, float]],
    cases: Sequence[GoldenCase],
    deviations: Sequence[Deviation],
    tolerance: float,
) -> Explained:
    """Return what is left of the differences when exactly these deviations are assumed."""
    names = frozenset(deviation.name for deviation in deviations)
    before, after = (_distances(measured, cases, chosen) for chosen in (frozenset[str](), names))
    sizes = tuple((deviation, _size(cases, names, deviation.name)) for deviation in deviations)
    off = (case for case in cases if after[case.name] > tolerance)
    tried = (_tipped(measured[case.name], case, names, after[case.name]) for case in off)
    tipped = tuple(one for one in tried if one and one.left <= tolerance)
    after |= {one.case: one.left for one in tipped}
    worst = max(after, key=lambda name: after[name])
    return Explained(sizes, max(before.values()), after[worst], worst, tipped)


def _tipped(
    measured: Mapping[str, float], case: GoldenCase, names: frozenset[str], size: float
) -> Tipped | None:
    """Return the near-tie that comes closest when it falls the other way, where the case has any."""
    key = case.key(names)
    tried = (
        Tipped(case.name, tie, size, difference(measured, case.tokens, tie.logprobs[key]))
        for tie in case.ties
        if key in tie.logprobs
    )
    return min(tried, key=lambda one: one.left, default=None)


def _distances(
    measured: Mapping[str, Mapping[str, float]], cases: Sequence[GoldenCase], names: frozenset[str]
) -> dict[str, float]:
    return {
        case.name: difference(measured[case.name], case.tokens, case.with_deviations(names)) for case in cases
    }


def _size(cases: Sequence[GoldenCase], best: frozenset[str], name: str) -> float:
    """Return how far one deviation alone moves the worst case, in the company of the others."""
    return max(
        max(
            abs(one - other)
            for one, other in zip(
                case.with_deviations(best), case.with_deviations(best - {name}), strict=True
            )
        )
        for case in cases
    )
