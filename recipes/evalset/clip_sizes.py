"""Which frames of a video are looked at, their one size, their pairs and time stamps, as Qwen3-VL defines them. Pure.

The rules are those of transformers' video_processing_qwen3_vl (`sample_frames`, `smart_resize`) and processing_qwen3_vl
(`_calculate_timestamps`), with the limits of the published checkpoints' video_preprocessor_config.json.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, TypeVar

from recipes.evalset.image_sizes import CELL_PX, Grid

if TYPE_CHECKING:
    from collections.abc import Sequence

    T = TypeVar("T")

FRAMES_PER_SECOND = 2.0  # sampled of a video
LEAST_FRAMES, MOST_FRAMES = 4, 768  # sampled, where the video has so many
FRAMES_OF_PAIR = 2  # the temporal patch
USUAL_FPS = 24.0  # of a video that does not say
LEAST_PIXELS, MOST_PIXELS = 4096, 25_165_824  # of all frames of a clip together
MOST_FRAME_PIXELS = 768 * 1024  # of a frame, where each is capped as qwen-vl-utils does
WIDEST_ASPECT = 200


def sampled(
    frames: int, fps: float, per_second: float = FRAMES_PER_SECOND, most: int = MOST_FRAMES
) -> tuple[int, ...]:
    """Return the numbers of the frames that are looked at, of a video of so many: the first and the last among them."""
    count = min(max(int(frames / fps * per_second), LEAST_FRAMES), most, frames)
    if count < FRAMES_OF_PAIR:
        return (0,) * count
    step = (frames - 1) / (count - 1)
    return (*(round(index * step) for index in range(count - 1)), frames - 1)


def clip_size(frames: int, height: int, width: int, *, capped: bool = False) -> tuple[int, int]:
    """Return the height and width of every frame of a clip after resizing, both multiples of CELL_PX.

    A ValueError is raised for fewer than two frames, and where one side is more than WIDEST_ASPECT times the other.
    With `capped`, a frame has at most MOST_FRAME_PIXELS, as in qwen-vl-utils.
    """
    if frames < FRAMES_OF_PAIR:
        raise ValueError(f"a clip has at least {FRAMES_OF_PAIR} frames, not {frames}")
    if min(height, width) < CELL_PX:
        scale = max(CELL_PX / height, CELL_PX / width)
        height, width = int(height * scale), int(width * scale)
    if max(height, width) > WIDEST_ASPECT * min(height, width):
        raise ValueError(f"one side is at most {WIDEST_ASPECT} times the other, not {width} x {height}")
    most = MOST_PIXELS
    if capped:
        most = frames * max(min(MOST_FRAME_PIXELS, most // frames), int(LEAST_PIXELS * 1.05))
    new_height, new_width = (round(side / CELL_PX) * CELL_PX for side in (height, width))
    volume = round(frames / FRAMES_OF_PAIR) * FRAMES_OF_PAIR * new_height * new_width
    if volume > most:
        shrink = math.sqrt(frames * height * width / most)
        new_height, new_width = (
            max(CELL_PX, math.floor(side / shrink / CELL_PX) * CELL_PX) for side in (height, width)
        )
    elif volume < LEAST_PIXELS:
        grow = math.sqrt(LEAST_PIXELS / (frames * height * width))
        new_height, new_width = (math.ceil(side * grow / CELL_PX) * CELL_PX for side in (height, width))
    return new_height, new_width


def clip_grid(frames: int, height: int, width: int) -> Grid:
    """Return the grid of tokens of each pair of a clip."""
    new_height, new_width = clip_size(frames, height, width)
    return Grid(new_height // CELL_PX, new_width // CELL_PX)


def paired(items: Sequence[T]) -> tuple[tuple[T, T], ...]:
    """Return items two by two; an odd last one is paired with itself.

    >>> paired("abc")
    (('a', 'b'), ('c', 'c'))
    """
    whole = [*items, *items[-1:]] if len(items) % FRAMES_OF_PAIR else items
    return tuple(zip(whole[::2], whole[1::2], strict=True))


def stamps(indices: Sequence[int], fps: float) -> tuple[str, ...]:
    """Return the text before each pair of frames: the middle of their times, from their numbers in the video.

    >>> stamps((0, 18, 36), 30.0)
    ('<0.3 seconds>', '<1.2 seconds>')
    """
    return tuple(f"<{(first / fps + second / fps) / 2:.1f} seconds>" for first, second in paired(indices))
