"""What a video is to Qwen3-VL: which frames are read, the one size of all, and the text before each pair. Pure.

The rules are those of transformers' `Qwen3VLVideoProcessor` and `Qwen3VLProcessor` (5.23), and of its `VideoMetadata`.
Every rounding is to the nearest, halves to even, as Python, numpy and torch round.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, TypeVar

from recipes.evalset.image_sizes import CELL_PX

if TYPE_CHECKING:
    from collections.abc import Sequence

T = TypeVar("T")

PAIR = 2  # frames in one temporal patch
FPS = 2.0  # frames that are read of a second
LEAST_FRAMES, MOST_FRAMES = 4, 768  # that are read of a video; a shorter one has fewer
UNKNOWN_RATE = 24.0  # frames a second, where a video does not say
# pixels of all frames together; the limits of still images do not hold here
LEAST_PIXELS, MOST_PIXELS = 4096, 25_165_824
GROWN = 4  # times the least pixels: what a clip may have that was made larger
MOST_ASPECT = 200


def sampled_indices(
    frames: int, rate: float, *, fps: float = FPS, least: int = LEAST_FRAMES, most: int = MOST_FRAMES
) -> tuple[int, ...]:
    """Return the frames that are read of a video of so many, at an average rate: evenly, with the first and the last.

    A ValueError is raised unless there is a frame and all of them are positive.

    >>> sampled_indices(90, 30.0)
    (0, 18, 36, 53, 71, 89)
    """
    if frames < 1 or min(rate, fps, least, most) <= 0 or not math.isfinite(rate) or not math.isfinite(fps):
        raise ValueError("a video has frames, and a rate above 0")
    count = min(max(int(min(frames / rate * fps, most)), least), most, frames)
    if count == 1:
        return (0,)
    step = (frames - 1) / (count - 1)
    return (*(round(index * step) for index in range(count - 1)), frames - 1)


def clip_size(frames: int, height: int, width: int, *, most_pixels: int = MOST_PIXELS) -> tuple[int, int]:
    """Return the height and width of every frame, both multiples of 32, for so many frames that are read.

    `most_pixels` bounds the pixels of all frames together, except that no side is below 32. A ValueError is raised for
    fewer than two frames, and for sides of which one is more than 200 times the other.

    >>> clip_size(180, 1080, 1920)
    (256, 480)
    """
    if frames < PAIR or min(height, width) < 1:
        raise ValueError("a clip has two frames or more, and pixels")
    if min(height, width) < CELL_PX:
        scale = max(CELL_PX / height, CELL_PX / width)
        height, width = int(height * scale), int(width * scale)
    if max(height, width) / min(height, width) > MOST_ASPECT:
        raise ValueError(f"one side is more than {MOST_ASPECT} times the other")
    new_height, new_width = round(height / CELL_PX) * CELL_PX, round(width / CELL_PX) * CELL_PX
    pixels = round(frames / PAIR) * PAIR * new_height * new_width
    if pixels > most_pixels:
        shrink = math.sqrt(frames * height * width / most_pixels)
        new_height = max(CELL_PX, math.floor(height / shrink / CELL_PX) * CELL_PX)
        new_width = max(CELL_PX, math.floor(width / shrink / CELL_PX) * CELL_PX)
    elif pixels < LEAST_PIXELS and most_pixels >= GROWN * LEAST_PIXELS:
        grow = math.sqrt(LEAST_PIXELS / (frames * height * width))
        new_height = math.ceil(height * grow / CELL_PX) * CELL_PX
        new_width = math.ceil(width * grow / CELL_PX) * CELL_PX
    return new_height, new_width


def paired(frames: Sequence[T]) -> tuple[tuple[T, T], ...]:
    """Return the frames, or their numbers, two by two; an odd last one is paired with itself.

    >>> paired((0, 18, 37))
    ((0, 18), (37, 37))
    """
    even = (*frames, frames[-1]) if len(frames) % PAIR else tuple(frames)
    return tuple(zip(even[::PAIR], even[1::PAIR], strict=True))


def stamp(pair: tuple[int, int], rate: float) -> str:
    """Return the text before a pair: when it is, in seconds of the average rate.

    >>> stamp((36, 53), 30.0)
    '<1.5 seconds>'
    """
    return f"<{(pair[0] / rate + pair[1] / rate) / 2:.1f} seconds>"


def pair_tokens(height: int, width: int) -> int:
    """Return the video tokens of one pair of frames of a clip's size; its stamp and the two marks are extra.

    >>> pair_tokens(480, 640)
    300
    """
    return (height // CELL_PX) * (width // CELL_PX)
