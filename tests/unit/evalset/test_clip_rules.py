"""Which frames of a video are read, how large they are, and what stands before them: the definition's own examples."""

from __future__ import annotations

import itertools
from typing import NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

from recipes.evalset.clip_rules import (
    LEAST_PIXELS,
    MOST_FRAMES,
    MOST_PIXELS,
    clip_size,
    pair_tokens,
    paired,
    sampled_indices,
    stamp,
)


class Example(NamedTuple):
    """A video, and what transformers makes of it: its first frames, its size, its first stamps and the last one."""

    frames: int
    rate: float
    height: int
    width: int
    read: int
    first: tuple[int, ...]
    size: tuple[int, int]
    stamps: tuple[str, ...]
    last: str
    tokens: int


EXAMPLES = {
    "3 s": Example(
        90, 30, 480, 640, 6, (0, 18, 36, 53, 71, 89), (480, 640), ("0.3", "1.5", "2.7"), "2.7", 900
    ),
    "2.5 s": Example(75, 30, 480, 640, 5, (0, 18, 37, 56, 74), (480, 640), ("0.3", "1.6", "2.5"), "2.5", 900),
    "10 s": Example(
        *(250, 25, 1080, 1920, 20, (0, 13, 26, 39, 52, 66, 79, 92), (832, 1472)),
        *(("0.3", "1.3", "2.4", "3.4"), "9.7", 11960),
    ),
    "90 s": Example(
        *(2700, 30, 1080, 1920, 180, (0, 15, 30, 45, 60, 75, 90, 106), (256, 480)),
        *(("0.2", "1.2", "2.2", "3.3"), "89.7", 10800),
    ),
    "10 minutes": Example(
        *(18000, 30, 1080, 1920, 768, (0, 23, 47, 70, 94, 117, 141, 164), (128, 224)),
        *(("0.4", "2.0", "3.5", "5.1"), "599.6", 10752),
    ),
    "narrow": Example(24, 24, 400, 20, 4, (0, 8, 15, 23), (640, 32), ("0.2", "0.8"), "0.8", 40),
    "5 frames": Example(5, 1, 48, 64, 5, (0, 1, 2, 3, 4), (64, 64), ("0.5", "2.5", "4.0"), "4.0", 12),
    "3 frames": Example(3, 30, 240, 320, 3, (0, 1, 2), (256, 320), ("0.0", "0.1"), "0.1", 160),
    "2 frames": Example(2, 30, 240, 320, 2, (0, 1), (256, 320), ("0.0",), "0.0", 80),
}


@pytest.mark.parametrize("name", EXAMPLES)
def test_a_video_is_read_as_the_definition_does(name: str) -> None:
    example = EXAMPLES[name]
    indices = sampled_indices(example.frames, example.rate)
    size = clip_size(len(indices), example.height, example.width)
    stamps = [stamp(pair, example.rate) for pair in paired(indices)]
    assert len(indices) == example.read
    assert indices[: len(example.first)] == example.first
    assert size == example.size
    assert stamps[: len(example.stamps)] == [f"<{text} seconds>" for text in example.stamps]
    assert stamps[-1] == f"<{example.last} seconds>"
    assert len(stamps) * pair_tokens(*size) == example.tokens


@given(st.integers(1, 10**7), st.floats(0.01, 1000), st.floats(0.01, 1000), st.integers(2, MOST_FRAMES))
def test_the_first_and_the_last_frame_are_read_and_no_frame_twice(
    frames: int, rate: float, fps: float, most: int
) -> None:
    indices = sampled_indices(frames, rate, fps=fps, most=most)
    assert (indices[0], indices[-1]) == (0, frames - 1)
    assert len(indices) <= most
    assert all(one < other for one, other in itertools.pairwise(indices))


@given(
    st.integers(2, MOST_FRAMES),
    st.integers(32, 8192),
    st.integers(32, 8192),
    st.integers(2 * LEAST_PIXELS, MOST_PIXELS),
)
def test_a_clip_has_no_more_pixels_than_it_may(frames: int, height: int, width: int, most: int) -> None:
    if max(height, width) > 200 * min(height, width):
        with pytest.raises(ValueError, match="200 times"):
            clip_size(frames, height, width, most_pixels=most)
        return
    size = clip_size(frames, height, width, most_pixels=most)
    assert all(side % 32 == 0 and side > 0 for side in size)
    # the rule counts an odd clip's frames as an even number of them, rounded; and no side is below 32
    assert round(frames / 2) * 2 * size[0] * size[1] <= most * (frames + 1) / frames or 32 in size


def test_sides_are_rounded_to_the_even_half() -> None:
    assert clip_size(2, 48, 80) == (64, 64)  # 1.5 and 2.5 cells


@pytest.mark.parametrize(
    ("frames", "rate", "fps"),
    [(0, 30, 2), (5, 0, 2), (5, 30, 0), (5, float("nan"), 2), (5, 30, float("inf"))],
)
def test_no_frames_and_no_rate_are_refused(frames: int, rate: float, fps: float) -> None:
    with pytest.raises(ValueError, match="a video has frames"):
        sampled_indices(frames, rate, fps=fps)


def test_one_frame_is_no_clip() -> None:
    assert sampled_indices(1, 30) == (0,)
    with pytest.raises(ValueError, match="two frames"):
        clip_size(1, 64, 64)
