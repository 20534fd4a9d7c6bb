"""Which frames of a video the model gets, and how large: by the model's rules, within the tokens that there are. Pure.

The rules are in `recipes.evalset.clip_rules`. Where their clip has more tokens than fit, its frames are made smaller as
the rules would for a longer video, and there are fewer of them where their stamps alone would take too much.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import StrEnum

from recipes.evalset.clip_rules import (
    FPS,
    LEAST_FRAMES,
    MOST_FRAMES,
    MOST_PIXELS,
    PAIR,
    clip_size,
    pair_tokens,
    paired,
    sampled_indices,
    stamp,
)
from recipes.evalset.image_sizes import CELL_PX

UNBOUNDED = 1 << 20  # tokens, where a context is not known
MARKS = 2  # tokens around each pair
STAMPS_SHARE = 1 / 3  # of a clip's tokens that its stamps take at most
ANSWER_SHARE = 1 / 4  # of a context that is left for words, and the answer


class Cure(StrEnum):
    """What helps who has a video of which no clip can be made."""

    CONVERT = "convert"
    ANOTHER = "another"  # file: this one has nothing to see
    IMAGE = "image"
    WHOLE = "whole"  # the file again, uncut
    SMALLER = "smaller"
    SHORTER = "shorter"
    CROPPED = "cropped"
    FEWER = "fewer"  # frames, or a longer context


class ClipError(Exception):
    """No clip that can be made of a video; the text says why."""

    def __init__(self, why: str, cure: Cure = Cure.CONVERT) -> None:
        super().__init__(why)
        self.cure = cure


@dataclass(frozen=True)
class ClipWish:
    """What is asked of a video: frames of a second, and at most how many (None: those that fit and the model takes)."""

    fps: float = FPS
    most_frames: int | None = None
    most_tokens: int = UNBOUNDED


@dataclass(frozen=True)
class ClipPlan:
    """The frames that are read of a video, the rate that their numbers count in, and the size that all are given."""

    indices: tuple[int, ...]
    rate: float
    height: int
    width: int

    @property
    def tokens(self) -> int:
        """The most tokens that it takes: a stamp has no more than characters."""
        return _stamps_tokens(self.indices, self.rate) + _pairs(self.indices) * pair_tokens(
            self.height, self.width
        )


def plan_clip(frames: int, rate: float, height: int, width: int, wish: ClipWish) -> ClipPlan:
    """Return what is read of a video of so many frames; a ClipError is raised if no clip of it fits.

    >>> plan_clip(90, 30.0, 480, 640, ClipWish())
    ClipPlan(indices=(0, 18, 36, 53, 71, 89), rate=30.0, height=480, width=640)
    """
    most = wish.most_frames or MOST_FRAMES
    indices = sampled_indices(frames, rate, fps=wish.fps, least=min(LEAST_FRAMES, most), most=most)
    if wish.most_frames is None:
        a_pair = len(stamp((frames - 1, frames - 1), rate)) + MARKS
        room = max(PAIR, PAIR * int(wish.most_tokens * STAMPS_SHARE / a_pair))
        if room < len(indices):
            indices = sampled_indices(frames, rate, fps=wish.fps, least=min(LEAST_FRAMES, room), most=room)
    return plan_frames(indices, rate, height, width, wish.most_tokens)


def plan_frames(
    indices: tuple[int, ...], rate: float, height: int, width: int, most_tokens: int = UNBOUNDED
) -> ClipPlan:
    """Return the size of given frames; a ClipError is raised if they do not fit however small, or have no size."""
    pairs, stamps = _pairs(indices), _stamps_tokens(indices, rate)
    counted = min(len(indices), round(len(indices) / PAIR) * PAIR)  # as the rule counts frames, or the fewer
    cells = max(1, (most_tokens - stamps) // pairs)
    try:
        size = clip_size(
            len(indices), height, width, most_pixels=min(MOST_PIXELS, cells * CELL_PX**2 * counted)
        )
    except ValueError as error:
        raise ClipError(f"{width}x{height}: {error}", Cure.CROPPED) from error
    plan = ClipPlan(indices, rate, *size)
    if plan.tokens > most_tokens:
        needed = f"{len(indices)} frames are {plan.tokens:,} tokens at their smallest"
        raise ClipError(f"{needed}, and there is room for {max(0, most_tokens):,}: ask for fewer", Cure.FEWER)
    return plan


def clip_tokens(context: int, others: int, clips: int) -> int:
    """Return the most tokens of each clip in a context of so many, beside so many of images.

    >>> clip_tokens(8192, 144, 2), clip_tokens(0, 0, 1)
    (3000, 1048576)
    """
    return max(0, math.floor(context * (1 - ANSWER_SHARE)) - others) // clips if context else UNBOUNDED


def _pairs(indices: tuple[int, ...]) -> int:
    return math.ceil(len(indices) / PAIR)


def _stamps_tokens(indices: tuple[int, ...], rate: float) -> int:
    return sum(len(stamp(pair, rate)) + MARKS for pair in paired(indices))
