from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from recipes.core.errors import MemoryShortError
from recipes.models.inspect import MemoryEstimate
from recipes.serve.free_memory import FreeMemory
from recipes.serve.memory_fit import LEAST_CONTEXT, STEP, Wish, demand_memory, proposals

GB = 10**9
LARGE = MemoryEstimate(
    weights=18_600_000_000,
    cache=805_306_368,
    compute=400_000_000,
    projector=1_100_000_000,
    picture=300_000_000,
)
WISH = Wish("large", 8192, LARGE, has_pictures=True)
ALL = LARGE.total


def lines(free_bytes: int, wish: Wish = WISH, **others: int) -> list[str]:
    return list(proposals(wish, free_bytes, others))


def test_what_fits_to_the_byte_is_let_through() -> None:
    demand_memory(WISH, FreeMemory(ALL, "x"), {})
    text = Wish("large", 8192, LARGE, has_pictures=False)
    demand_memory(text, FreeMemory(LARGE.without_projector, "x"), {})
    with pytest.raises(MemoryShortError):
        demand_memory(text, FreeMemory(LARGE.without_projector - 1, "x"), {})


def test_what_does_not_is_refused_with_both_figures_and_what_would() -> None:
    with pytest.raises(MemoryShortError) as error:
        demand_memory(WISH, FreeMemory(20 * GB, "MemAvailable of /proc/meminfo"), {"pocket": 56_400_000})
    assert str(error.value) == (
        "error: this machine has too little memory left\n"
        "  where:    large, 8192 tokens of context, with pictures\n"
        "  expected: 21.2 GB: 18.6 GB weights, 805.3 MB keys and values, about 400.0 MB to compute,"
        " 1.1 GB projector, about 300.0 MB for a picture\n"
        "  found:    20.0 GB (MemAvailable of /proc/meminfo)\n"
        "  fix:      --text-only needs 19.8 GB\n"
        "            --model pocket needs 56.4 MB\n"
        "            to try it all the same: --ignore-memory"
    )


def test_a_shorter_context_is_proposed_where_it_is_of_use() -> None:
    assert lines(ALL - 1) == ["--context 7168 needs 21.1 GB", "--text-only needs 19.8 GB"]
    assert lines(LARGE.without_projector - 1) == ["--text-only --context 7168 needs 19.7 GB"]
    text = Wish("large", 8192, LARGE, has_pictures=False)
    assert lines(LARGE.without_projector - 1, text) == ["--context 7168 needs 19.7 GB"]


def test_where_nothing_fits_it_is_said_what_is_missing() -> None:
    assert lines(10 * GB) == ["end other programs that hold 11.2 GB"]
    assert lines(10 * GB, a=GB, b=2 * GB, c=11 * GB, large=3 * GB) == ["--model b needs 2.0 GB"]


@given(free_bytes=st.integers(0, 2 * ALL), context=st.integers(STEP, 262_144), pictures=st.booleans())
def test_every_context_that_is_proposed_fits_and_is_of_use(
    free_bytes: int, context: int, *, pictures: bool
) -> None:
    each = 98_304
    memory = MemoryEstimate(18 * GB, context * each, GB // 2, GB, GB // 3)
    wish = Wish("m", context, memory, has_pictures=pictures)
    for line in proposals(wish, free_bytes, {}):
        words = line.split()
        if "--context" in words and wish.size_bytes > free_bytes:
            tokens = int(words[words.index("--context") + 1])
            assert LEAST_CONTEXT <= tokens < context
            assert tokens % STEP == 0
            base = memory.total if pictures and "--text-only" not in words else memory.without_projector
            assert base - memory.cache + tokens * each <= free_bytes
