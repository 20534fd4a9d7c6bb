"""What is read of a video: by the definition where it fits, and never more tokens than there are."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from recipes.evalset.clip_rules import MOST_FRAMES, clip_size, sampled_indices
from recipes.serve.door.clip_plan import (
    UNBOUNDED,
    ClipError,
    ClipWish,
    clip_tokens,
    plan_clip,
    plan_frames,
)

TEN_MINUTES = (18_000, 30.0, 1080, 1920)


@pytest.mark.parametrize("video", [(90, 30.0, 480, 640), TEN_MINUTES, (24, 24.0, 400, 20)])
def test_with_room_it_is_the_definitions(video: tuple[int, float, int, int]) -> None:
    frames, rate, height, width = video
    plan = plan_clip(*video, ClipWish())
    assert plan.indices == sampled_indices(frames, rate)
    assert (plan.height, plan.width) == clip_size(len(plan.indices), height, width)


@given(
    st.integers(2, 10**6),
    st.floats(1, 120),
    st.integers(16, 4320),
    st.integers(16, 7680),
    st.integers(0, 20_000),
    st.one_of(st.none(), st.integers(2, MOST_FRAMES)),
)
def test_it_fits_or_is_refused(  # noqa: PLR0913, PLR0917 - a video and a wish
    frames: int, rate: float, height: int, width: int, tokens: int, most: int | None
) -> None:
    try:
        plan = plan_clip(frames, rate, height, width, ClipWish(most_frames=most, most_tokens=tokens))
    except ClipError:
        return
    assert plan.tokens <= tokens
    assert len(plan.indices) <= (most or MOST_FRAMES)
    assert (plan.indices[0], plan.indices[-1]) == (0, frames - 1)


def test_a_short_context_makes_frames_smaller_and_then_fewer() -> None:
    small = plan_clip(250, 25.0, 1080, 1920, ClipWish(most_tokens=clip_tokens(8192, 0, 1)))
    assert (len(small.indices), small.height, small.width) == (20, 576, 1024)
    fewer = plan_clip(*TEN_MINUTES, ClipWish(most_tokens=clip_tokens(8192, 0, 1)))
    assert (len(fewer.indices), fewer.height, fewer.width) == (240, 128, 224)


def test_frames_that_are_asked_for_are_not_left_out() -> None:
    plan = plan_clip(*TEN_MINUTES, ClipWish(most_frames=400, most_tokens=4096))
    assert len(plan.indices) == 400
    with pytest.raises(ClipError, match=r"768 frames are .* tokens at their smallest, .* room for 4,096"):
        plan_clip(*TEN_MINUTES, ClipWish(most_frames=768, most_tokens=4096))


def test_of_odd_frames_the_last_pair_counts_whole() -> None:
    plan = plan_frames(tuple(range(5)), 1.0, 480, 640, 200)
    assert plan.tokens <= 200


def test_a_context_is_shared_and_an_unknown_one_is_no_bound() -> None:
    assert clip_tokens(4096, 4000, 1) == 0
    assert clip_tokens(4096, 72, 3) == 1000
    assert clip_tokens(0, 9, 2) == UNBOUNDED
