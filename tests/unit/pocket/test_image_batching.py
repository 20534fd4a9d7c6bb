"""Which tokens upstream leaves out where the batch is no power of two."""

from __future__ import annotations

import pytest

from recipes.pocket.fidelity.image_batching import left_out, read_tokens


@pytest.mark.parametrize("batch", [32, 64, 256, 512, 2048])
def test_a_power_of_two_leaves_nothing_out(batch: int) -> None:
    assert [read_tokens(tokens, batch) for tokens in range(1, 700)] == list(range(1, 700))


@pytest.mark.parametrize(
    ("tokens", "batch", "read"),
    [(25, 300, 0), (25, 100, 0), (25, 600, 0), (25, 1000, 25), (108, 300, 0), (576, 300, 300)],
)
def test_others_leave_out_what_was_measured(tokens: int, batch: int, read: int) -> None:
    assert read_tokens(tokens, batch) == read


def test_the_end_of_each_image_is_what_is_left_out() -> None:
    prompt = [False] * 4 + [True] * 25 + [False] + [True] * 576 + [False] * 3
    assert left_out(prompt, 300) == {*range(4, 29), *range(30 + 300, 30 + 576)}
    assert left_out(prompt, 512) == frozenset()
    assert left_out([False, True, True], 300) == {1, 2}
