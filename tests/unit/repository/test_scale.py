from __future__ import annotations

from dataclasses import replace

import pytest

from recipes.manifest.load import PROJECT
from tests.scale.arithmetic import Assumptions, Size, cost
from tests.scale.report import PAGE, markdown, read

SIZES = (
    Size("bundle", "a", 40_000_000, 9_000_000, 1_000_000),
    Size("bundle", "b", 40_000_000, 19_000_000, 1_000_000),
    Size("source", "a", 100_000_000, 30_000_000),
    Size("page", "a", 5_000_000, 2_000_000),
)


def test_the_page_is_what_was_recorded() -> None:
    assert (PROJECT / "docs" / PAGE).read_text() == markdown(read(PROJECT / "docs"))


def test_a_small_team_is_counted_by_hand() -> None:
    assumed = Assumptions(
        jobs=100, platforms=2, recipes=1, fresh=0.5, changed=0.1, releases=1, build_minutes=6.0, workers=1
    )
    found = cost(assumed, SIZES)
    assert (found.built, found.local, found.hits) == (10, 45, 45)
    assert found.pulled_bytes == 45 * 15_000_000
    assert found.stored_bytes == 2 * (2 * 15_000_000 + 32_000_000)
    assert found.build_hours == pytest.approx(1.0)
    assert found.build_hours_alone == pytest.approx(5.5)
    assert found.bump_hours == found.bump_wall_hours == pytest.approx(0.2)
    assert found.bump_sent_bytes == 2 * 15_000_000 + 32_000_000
    assert found.bump_pulled_bytes == 32_000_000 + 45 * 15_000_000


@pytest.mark.parametrize("changed", [0.0, 0.3, 1.0])
def test_each_job_is_one_of_three(changed: float) -> None:
    assumed = replace(Assumptions(), changed=changed)
    found = cost(assumed, SIZES)
    assert found.built + found.local + found.hits == pytest.approx(assumed.jobs)


def test_more_workers_build_a_bump_sooner_and_not_cheaper() -> None:
    one, many = (cost(replace(Assumptions(), workers=workers), SIZES) for workers in (1, 20))
    assert one.bump_hours == many.bump_hours
    assert one.bump_wall_hours == pytest.approx(20 * many.bump_wall_hours)
