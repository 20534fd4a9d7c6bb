"""What all checks say together, and whether it may be shipped."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from recipes.conformance.results.outcome import CheckVerdict, Grade, Outcome, Part, grade, has_failed

PASSED, DEVIATES, FAILED, NOT_RUN, UNSUPPORTED = CheckVerdict
OUTCOMES = st.builds(
    Outcome, st.sampled_from(Part), st.text(max_size=3), st.sampled_from(CheckVerdict), st.just("words")
)


def outcomes(part: Part, *verdicts: CheckVerdict) -> list[Outcome]:
    return [Outcome(part, f"check {index}", verdict, "words") for index, verdict in enumerate(verdicts)]


@pytest.mark.parametrize(
    ("verdicts", "worst", "words", "failed"),
    [
        ((PASSED,), PASSED, "1 passed", False),
        ((PASSED, PASSED, NOT_RUN), PASSED, "2 passed, 1 not run", False),
        ((PASSED, DEVIATES), DEVIATES, "1 deviates, 1 passed", False),
        ((NOT_RUN, PASSED, DEVIATES, FAILED), FAILED, "1 failed, 1 deviates, 1 passed, 1 not run", True),
        ((NOT_RUN, NOT_RUN), NOT_RUN, "2 not run", True),
        ((PASSED, UNSUPPORTED), PASSED, "1 passed, 1 not supported", False),
        ((UNSUPPORTED, NOT_RUN), UNSUPPORTED, "1 not supported, 1 not run", True),
    ],
)
def test_a_part_is_as_good_as_its_worst_check_and_fails_where_none_ran(
    verdicts: tuple[CheckVerdict, ...], worst: CheckVerdict, words: str, *, failed: bool
) -> None:
    found = outcomes(Part.TEXT, *verdicts)
    assert grade(found) == (Grade(Part.TEXT, worst, words),)
    assert has_failed(found) is failed
    assert has_failed([])


def test_parts_come_in_one_order_and_only_those_that_were_looked_at() -> None:
    found = [*outcomes(Part.PAGE, NOT_RUN), *outcomes(Part.LINT, PASSED), *outcomes(Part.SERVER, FAILED)]
    assert grade(found) == (
        Grade(Part.LINT, PASSED, "1 passed"),
        Grade(Part.SERVER, FAILED, "1 failed"),
        Grade(Part.PAGE, NOT_RUN, "1 not run"),
    )
    assert grade([]) == ()


@given(st.lists(OUTCOMES))
def test_every_check_is_counted_once_and_its_order_is_of_no_account(found: list[Outcome]) -> None:
    rows = grade(found)
    counted = sum(int(item.split()[0]) for row in rows for item in row.words.split(", "))
    assert counted == len(found)
    assert grade(found[::-1]) == rows


@given(st.lists(OUTCOMES))
def test_what_has_a_failed_part_has_failed(found: list[Outcome]) -> None:
    verdicts = {row.verdict for row in grade(found)}
    assert has_failed(found) == (FAILED in verdicts or verdicts <= {NOT_RUN, UNSUPPORTED})
