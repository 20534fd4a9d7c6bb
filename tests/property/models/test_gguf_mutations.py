from __future__ import annotations

import tracemalloc
from typing import TYPE_CHECKING

import pytest

from tests.support.gguf_mutations import HEADS, look, mutate, run

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.slow  # many examples, each with real files, programs or servers


@pytest.mark.parametrize("first", range(0, 4000, 1000))
def test_thousands_of_changed_heads_are_read_or_refused(first: int, tmp_path: Path) -> None:
    found = run(tmp_path / "x.gguf", range(first, first + 1000))
    # neither way may be the only one that is tried
    assert found.refused > 300
    assert found.read > 100


def test_changed_heads_are_read_in_little_memory(tmp_path: Path) -> None:
    path = tmp_path / "x.gguf"
    path.touch()
    tracemalloc.start()
    try:
        for seed in range(300):
            look(path, seed)
        assert tracemalloc.get_traced_memory()[1] < 8 << 20
    finally:
        tracemalloc.stop()


def test_a_seed_gives_the_same_head_each_time_and_another_one_another() -> None:
    assert mutate(7) == mutate(7)
    assert len({mutate(seed) for seed in range(200)}) > 190
    assert sum(mutate(seed) not in HEADS for seed in range(200)) > 180
