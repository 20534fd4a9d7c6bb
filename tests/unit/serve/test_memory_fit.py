from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from recipes.core.errors import MemoryShortError
from recipes.models.inspect import MemoryEstimate
from recipes.serve.free_memory import FreeMemory
from recipes.serve.memory_fit import (
    ANYWAY,
    LEAST_CONTEXT,
    STEP,
    MemoryDemand,
    demand_memory,
    proposals,
    share,
)

GB = 10**9
LARGE = MemoryEstimate(
    weights=18_600_000_000,
    cache=805_306_368,
    compute=400_000_000,
    projector=1_100_000_000,
    image=300_000_000,
)
DEMAND = MemoryDemand("large", 8192, LARGE, images=True)
ALL = LARGE.total


def lines(free_bytes: int, demand: MemoryDemand = DEMAND, **others: int) -> list[str]:
    return list(proposals(demand, free_bytes, others))


def test_what_fits_to_the_byte_is_let_through() -> None:
    demand_memory(DEMAND, FreeMemory(ALL, "x"), {})
    text = MemoryDemand("large", 8192, LARGE, images=False)
    demand_memory(text, FreeMemory(LARGE.without_projector, "x"), {})
    with pytest.raises(MemoryShortError):
        demand_memory(text, FreeMemory(LARGE.without_projector - 1, "x"), {})


def test_what_does_not_is_refused_with_both_figures_and_what_would() -> None:
    with pytest.raises(MemoryShortError) as caught:
        demand_memory(DEMAND, FreeMemory(20 * GB, "MemAvailable of /proc/meminfo"), {"pocket": 56_400_000})
    error = caught.value
    assert error.exit_code == 24
    assert error.where.startswith("large, 8192 ")
    assert re.findall(r"[\d.]+ .B", error.expected)[:3] == ["21.2 GB", "18.6 GB", "805.3 MB"]
    assert error.found == "20.0 GB (MemAvailable of /proc/meminfo)"
    first, second, last = error.fix.splitlines()
    assert (first, second) == ("--text-only needs 19.8 GB", "--model pocket needs 56.4 MB")
    assert last.endswith(ANYWAY)


def test_a_shorter_context_is_proposed_where_it_is_of_use() -> None:
    assert lines(ALL - 1) == ["--context 7168 needs 21.1 GB", "--text-only needs 19.8 GB"]
    assert lines(LARGE.without_projector - 1) == ["--text-only --context 7168 needs 19.7 GB"]
    text = MemoryDemand("large", 8192, LARGE, images=False)
    assert lines(LARGE.without_projector - 1, text) == ["--context 7168 needs 19.7 GB"]


def test_where_nothing_fits_it_is_said_what_is_missing() -> None:
    (line,) = lines(10 * GB)
    assert line.endswith(" 11.2 GB")
    assert lines(10 * GB, a=GB, b=2 * GB, c=11 * GB, large=3 * GB) == ["--model b needs 2.0 GB"]


@given(free_bytes=st.integers(0, 2 * ALL), context=st.integers(STEP, 262_144), images=st.booleans())
def test_every_context_that_is_proposed_fits_and_is_of_use(
    free_bytes: int, context: int, *, images: bool
) -> None:
    each = 98_304
    memory = MemoryEstimate(18 * GB, context * each, GB // 2, GB, GB // 3)
    demand = MemoryDemand("m", context, memory, images=images)
    for line in proposals(demand, free_bytes, {}):
        words = line.split()
        if "--context" in words and demand.size_bytes > free_bytes:
            tokens = int(words[words.index("--context") + 1])
            assert LEAST_CONTEXT <= tokens < context
            assert tokens % STEP == 0
            base = memory.total if images and "--text-only" not in words else memory.without_projector
            assert base - memory.cache + tokens * each <= free_bytes


def test_models_are_in_memory_together_where_they_fit_to_the_byte_else_one_at_a_time() -> None:
    together = share([2 * GB, 3 * GB], FreeMemory(5 * GB, "x"))
    assert (together.one_at_a_time, together.spare_bytes) == (False, (0, 0))
    assert together.words.startswith("the models are in memory together, ")
    assert together.words.endswith("all 2 need 5.0 GB, and 5.0 GB is available")
    assert share([2 * GB, GB], FreeMemory(5 * GB, "x")).spare_bytes == (GB, GB)  # each its part
    alone = share([2 * GB, 3 * GB], FreeMemory(5 * GB - 1, "x"))
    assert (alone.one_at_a_time, alone.spare_bytes) == (True, (3 * GB - 1, 2 * GB - 1))
    assert alone.words.startswith("one model at a time is in memory, ")


@pytest.mark.parametrize(("needs", "free"), [([GB, None], FreeMemory(5 * GB, "x")), ([GB, GB], None)])
def test_models_of_which_it_is_unknown_are_in_memory_one_at_a_time(
    needs: list[int | None], free: FreeMemory | None
) -> None:
    sharing = share(needs, free)
    assert (sharing.one_at_a_time, sharing.spare_bytes[1]) == (True, None)
    assert "unknown" in sharing.words


def test_one_model_shares_with_nobody() -> None:
    for need, free, spare in ((2 * GB, 3 * GB, GB), (2 * GB, GB, -GB), (None, GB, None)):
        sharing = share([need], FreeMemory(free, "x"))
        assert (sharing.one_at_a_time, sharing.spare_bytes, sharing.words) == (False, (spare,), "")
