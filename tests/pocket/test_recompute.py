"""What `nox -s reference` says of two runs that agree, and of those that do not."""

from __future__ import annotations

import pytest
from msgspec import structs

from recipes.core.errors import VerifyError
from recipes.evalset.golden import Golden, GoldenCase, read_golden
from recipes.pocket.model.files import GOLDEN
from recipes.pocket.reference.recompute import SAME, compare
from recipes.pocket.reference.reference import NEAR

COMMITTED = read_golden(GOLDEN)


def with_case(case: GoldenCase) -> Golden:
    cases = tuple(case if one.name == case.name else one for one in COMMITTED.cases)
    return structs.replace(COMMITTED, cases=cases)


def with_tie(*, clear: bool) -> GoldenCase:
    """The first case whose first near-tie is well within what is kept, or near its edge."""
    return next(one for one in COMMITTED.cases if one.ties and (one.ties[0].gap < NEAR / 2) is clear)


def moved(values: tuple[float, ...], by: float) -> tuple[float, ...]:
    return (values[0] + by, *values[1:])


def test_the_same_values_agree() -> None:
    assert compare(COMMITTED, COMMITTED) == 0


@pytest.mark.parametrize("by", [SAME / 2, SAME * 2])
def test_a_logarithm_may_move_by_what_the_order_of_sums_changes(by: float) -> None:
    case = COMMITTED.cases[0]
    changed = structs.replace(case, logprobs=case.logprobs | {"": moved(case.logprobs[""], by)})
    if by < SAME:
        assert compare(with_case(changed), COMMITTED) == pytest.approx(by)
    else:
        with pytest.raises(VerifyError, match=f"at most {SAME} off"):
            compare(with_case(changed), COMMITTED)


def test_a_near_tie_that_is_clear_must_be_found_again() -> None:
    case = with_tie(clear=True)
    with pytest.raises(VerifyError, match="near-ties"):
        compare(with_case(structs.replace(case, ties=case.ties[1:])), COMMITTED)


def test_a_near_tie_at_the_edge_may_be_missing() -> None:
    case = with_tie(clear=False)
    assert compare(with_case(structs.replace(case, ties=case.ties[1:])), COMMITTED) == 0


def test_what_a_near_tie_changes_is_compared() -> None:
    case = with_tie(clear=True)
    first, *others = case.ties
    logprobs = {key: moved(values, 1.0) for key, values in first.logprobs.items()}
    changed = structs.replace(case, ties=(structs.replace(first, logprobs=logprobs), *others))
    with pytest.raises(VerifyError, match="off"):
        compare(with_case(changed), COMMITTED)


def test_another_answer_is_named_with_its_case() -> None:
    case = COMMITTED.cases[0]
    with pytest.raises(VerifyError) as caught:
        compare(with_case(structs.replace(case, answer="other")), COMMITTED)
    assert caught.value.where.endswith(f"{case.name}: answer")
    assert caught.value.found == "other"
