"""Which axis turns which frequency, in both layouts of M-RoPE."""

from __future__ import annotations

from itertools import groupby

import pytest
from hypothesis import given
from hypothesis import strategies as st

from recipes.evalset.mrope_sections import AXES, blocked, interleaved

SECTIONS = st.tuples(*[st.integers(0, 40)] * 3)
PUBLISHED = (24, 20, 20)  # Qwen3-VL-30B-A3B's config.json: rope_parameters.mrope_section
POCKET = (14, 10, 8)


def rule_of_transformers(sections: tuple[int, int, int]) -> tuple[str, ...]:
    """recomposition_frequencies of transformers' qwen3_vl_moe, line by line, with lists where it has tensors."""
    freq = [[axis] * sum(sections) for axis in AXES]
    freqs_thw = freq[0]
    for dim, offset in enumerate((1, 2), start=1):
        length = sections[dim] * 3
        idx = slice(offset, length, 3)
        freqs_thw[idx] = freq[dim][idx]
    return tuple(freqs_thw)


@given(SECTIONS)
def test_interleaved_follows_the_rule_of_transformers(sections: tuple[int, int, int]) -> None:
    assert interleaved(sections) == rule_of_transformers(sections)


@given(SECTIONS)
def test_blocked_is_each_axis_once_in_order_as_often_as_its_section_says(
    sections: tuple[int, int, int],
) -> None:
    runs = [(axis, len(list(run))) for axis, run in groupby(blocked(sections))]
    assert runs == [(axis, count) for axis, count in zip(AXES, sections, strict=True) if count]


@given(st.integers(0, 40), st.integers(0, 40), st.integers(0, 40))
def test_interleaved_gives_each_axis_its_section_where_there_is_room_for_it(
    height: int, width: int, more: int
) -> None:
    sections = (3 * max(height, width) - height - width + more, height, width)
    axes = interleaved(sections)
    assert tuple(map(axes.count, AXES)) == sections


@pytest.mark.parametrize(
    ("sections", "in_blocks", "in_turn"),
    [
        (PUBLISHED, "t" * 24 + "h" * 20 + "w" * 20, "thw" * 20 + "tttt"),
        (POCKET, "t" * 14 + "h" * 10 + "w" * 8, "thw" * 8 + "thtthttt"),
    ],
)
def test_the_layouts_of_the_published_and_of_the_pocket_model(
    sections: tuple[int, int, int], in_blocks: str, in_turn: str
) -> None:
    assert "".join(blocked(sections)) == in_blocks
    assert "".join(interleaved(sections)) == in_turn


@pytest.mark.parametrize("sections", [(), (8,), (4, 4), (2, 2, 2, 2)])
def test_blocked_demands_three_sections(sections: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match=r"zip\(\) argument"):
        blocked(sections)
