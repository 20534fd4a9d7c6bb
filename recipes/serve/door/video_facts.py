"""What is known of a video that was opened, and what every reader of one holds to."""

from __future__ import annotations

import warnings
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from recipes.serve.door.clip_plan import ClipError, Cure
from recipes.serve.door.image_decode import MEGA, ImageError, demand_size

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from PIL import Image

MOST_PIXELS = 36 * MEGA  # of a frame: 8K


@dataclass(frozen=True)
class VideoFacts:
    """What a video is, the size of its upright frames, and what is said of it."""

    kind: str
    frames: int
    rate: float
    width: int
    height: int
    notes: tuple[str, ...] = ()

    @property
    def seconds(self) -> float:
        """How long it is."""
        return self.frames / self.rate


class Video(Protocol):
    """A video that was opened."""

    facts: VideoFacts

    def frames(self, indices: Sequence[int]) -> Iterator[Image.Image]:
        """Yield some of its frames as RGB, in order; a ClipError is raised for one that cannot be decoded."""


def demand_frame(width: int, height: int) -> None:
    """Raise a ClipError for frames of a size that is not decoded. Pure."""
    if width * height > MOST_PIXELS:
        raise too_large(f"{width}x{height}")
    try:
        demand_size(width, height)
    except ImageError as error:
        raise ClipError(str(error), Cure.CROPPED) from error


def too_large(found: str) -> ClipError:
    """Return the error for frames that are too large. Pure."""
    return ClipError(
        f"too large: {found}; at most {MOST_PIXELS // MEGA} megapixels of a frame are decoded", Cure.SMALLER
    )


@contextmanager
def reading(kind: str) -> Iterator[None]:
    """Turn whatever a decoder raises over a damaged file into a ClipError."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            yield
        except (ClipError, MemoryError):
            raise
        except Exception as error:
            lines = (getattr(error, "strerror", None) or str(error)).splitlines()
            words = lines[0][:200] if lines else type(error).__name__
            raise ClipError(f"a damaged or cut {kind}: {words}", Cure.WHOLE) from error
