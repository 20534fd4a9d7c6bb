"""What a llama.cpp does with videos is named by what it gives: each known deviation, simulated on the reference."""

from __future__ import annotations

import pytest

from recipes.conformance.checks.video import TOLERANCE, outcome
from recipes.conformance.results.numerics import explain
from recipes.conformance.results.outcome import CheckVerdict, Outcome
from recipes.evalset.golden import Deviation, read_golden
from recipes.manifest.load import PROJECT

GOLDEN = read_golden(PROJECT / "tests" / "data" / "pocket" / "golden.json")
BY_NAME = {deviation.name: deviation for deviation in GOLDEN.clip_deviations}


def said_with(names: frozenset[str], off: float = 0.0) -> Outcome:
    """What is said of a llama.cpp that has exactly these deviations, and is off by a little more."""
    measured = {
        case.name: {
            token: value + off for token, value in zip(case.tokens, case.with_deviations(names), strict=True)
        }
        for case in GOLDEN.clips
    }
    return outcome(explain(measured, GOLDEN.clips, GOLDEN.clip_deviations, TOLERANCE), measured, ())


def test_what_is_the_reference_passes_and_a_little_more_does_not() -> None:
    assert said_with(frozenset()).verdict is CheckVerdict.PASSED
    assert said_with(frozenset(), off=TOLERANCE / 2).verdict is CheckVerdict.PASSED
    unknown = said_with(frozenset(), off=0.5)
    assert unknown.verdict is CheckVerdict.FAILED
    assert "no known deviation" in unknown.words


@pytest.mark.parametrize("deviation", GOLDEN.clip_deviations, ids=lambda deviation: deviation.name)
def test_each_is_named_alone(deviation: Deviation) -> None:
    found = said_with(frozenset({deviation.name}))
    assert found.verdict is (CheckVerdict.FAILED if deviation.fails else CheckVerdict.DEVIATES)
    assert deviation.words in found.words
    assert not [
        other.name for other in BY_NAME.values() if other is not deviation and other.words in found.words
    ]
    assert (found.suspect == deviation.where) is deviation.fails


def test_upstreams_own_are_named_together() -> None:
    names = frozenset({"upstream-video", "padded", "gelu"})
    found = said_with(names, off=0.001)
    assert found.verdict is CheckVerdict.FAILED
    assert all(BY_NAME[name].words in found.words for name in names)
