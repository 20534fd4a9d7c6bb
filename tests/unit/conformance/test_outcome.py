"""What all checks say together, and whether it may be shipped."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from recipes.conformance.results.outcome import Grade, Outcome, Part, Verdict, grade, has_failed

PASSED, DEVIATES, FAILED, NOT_RUN = Verdict.PASSED, Verdict.DEVIATES, Verdict.FAILED, Verdict.NOT_RUN
OUTCOMES = st.builds(
    Outcome, st.sampled_from(Part), st.text(max_size=3), st.sampled_from(Verdict), st.just("words")
)


def outcomes(part: Part, *verdicts: Verdict) -> list[Outcome]:
    return [Outcome(part, f"check {index}", verdict, "words") for index, verdict in enumerate(verdicts)]


@pytest.mark.parametrize(
    ("verdicts", "worst", "words"),
    [
        ((PASSED,), PASSED, "1 passed"),
        ((PASSED, PASSED, NOT_RUN), PASSED, "2 passed, 1 not run"),
        ((PASSED, DEVIATES), DEVIATES, "1 deviates, 1 passed"),
        (
            (NOT_RUN, PASSED, DEVIATES, FAILED, FAILED),
            FAILED,
            "2 failed, 1 deviates, 1 passed, 1 not run",
        ),
        ((NOT_RUN, NOT_RUN), NOT_RUN, "2 not run"),
    ],
)
def test_a_part_is_as_good_as_its_worst_check(
    verdicts: tuple[Verdict, ...], worst: Verdict, words: str
) -> None:
    assert grade(outcomes(Part.TEXT, *verdicts)) == (Grade(Part.TEXT, worst, words),)


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
    assert has_failed(found) == (FAILED in verdicts or verdicts <= {NOT_RUN})


@pytest.mark.parametrize(
    ("verdicts", "failed"),
    [
        ((PASSED, DEVIATES, NOT_RUN), False),
        ((DEVIATES,), False),
        ((PASSED, FAILED), True),
        ((NOT_RUN, NOT_RUN), True),
        ((), True),
    ],
)
def test_it_fails_with_one_failed_check_or_with_none_that_ran(
    verdicts: tuple[Verdict, ...], *, failed: bool
) -> None:
    assert has_failed(outcomes(Part.IMAGES, *verdicts)) is failed
