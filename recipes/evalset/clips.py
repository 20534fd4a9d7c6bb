"""A clip: frames that were sampled from a video, drawn as scenes, with their numbers in it and its rate."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from recipes.evalset.clip_rules import clip_size, paired, stamp
from recipes.evalset.image_sizes import CELL_PX, Grid

if TYPE_CHECKING:
    from collections.abc import Sequence

    from recipes.evalset.render import Scene


def clip_grid(frames: int, height: int, width: int) -> Grid:
    """Return the grid of tokens of each pair of a clip."""
    new_height, new_width = clip_size(frames, height, width)
    return Grid(new_height // CELL_PX, new_width // CELL_PX)


def stamps_of(indices: Sequence[int], fps: float) -> tuple[str, ...]:
    """Return the text before each pair of frames."""
    return tuple(stamp(pair, fps) for pair in paired(indices))


@dataclass(frozen=True)
class Clip:
    """Frames of one size; `indices` are their numbers in a video of `fps` frames a second."""

    frames: tuple[Scene, ...]
    fps: float
    indices: tuple[int, ...]

    @property
    def pairs(self) -> tuple[tuple[Scene, Scene], ...]:
        """Its frames two by two, an odd last one with itself."""
        return paired(self.frames)

    @property
    def stamps(self) -> tuple[str, ...]:
        """The text before each pair."""
        return stamps_of(self.indices, self.fps)

    @property
    def size(self) -> tuple[int, int]:
        """Height and width of its frames after resizing."""
        return clip_size(len(self.frames), self.frames[0].height, self.frames[0].width)

    @property
    def grid(self) -> Grid:
        """The grid of tokens of each pair."""
        return clip_grid(len(self.frames), self.frames[0].height, self.frames[0].width)

    @property
    def is_resized(self) -> bool:
        """Whether its frames do not fill whole cells as they are."""
        return self.size != (self.frames[0].height, self.frames[0].width)
