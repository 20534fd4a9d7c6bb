"""A GIF or a WebP of several frames, read by Pillow as images are."""

from __future__ import annotations

from typing import IO, TYPE_CHECKING

from PIL import Image

from recipes.serve.door.image_decode import MEGA, to_rgb
from recipes.serve.door.video_facts import MOST_PIXELS, VideoFacts, demand_frame, reading, too_large

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

FORMATS = {"GIF": "GIF", "WebP": "WEBP"}  # by Pillow's names
QUICK_MS, UNSAID_MS = 10, 100  # browsers show a frame that has at most the first for the second


class Animation:
    """An animation that was opened; `tick` is called for each frame."""

    def __init__(self, source: IO[bytes], kind: str, tick: Callable[[], None]) -> None:
        self._kind, self._tick = kind, tick
        frames = milliseconds = 0
        with reading(kind):
            Image.MAX_IMAGE_PIXELS = MOST_PIXELS // 2  # it raises at twice as many
            try:
                self._image = Image.open(source, formats=(FORMATS[kind],))
            except Image.DecompressionBombError as error:
                raise too_large(f"more than {MOST_PIXELS // MEGA} megapixels") from error
            demand_frame(*self._image.size)
            for image in self._all():
                told = image.info.get("duration", 0)
                milliseconds += told if told > QUICK_MS else UNSAID_MS
                frames += 1
            self.facts = VideoFacts(kind, frames, frames * 1000 / milliseconds, *self._image.size)

    def frames(self, indices: Sequence[int]) -> Iterator[Image.Image]:
        """Yield some of its frames as RGB, in order; a ClipError is raised for one that cannot be decoded."""
        wanted, last = set(indices), max(indices)
        with reading(self._kind):
            for number, image in enumerate(self._all()):
                if number in wanted:
                    yield to_rgb(image)[0]
                if number == last:
                    return

    def _all(self) -> Iterator[Image.Image]:
        """Yield the one image of the file, at each of its frames."""
        for number in range(getattr(self._image, "n_frames", 1)):
            self._tick()
            self._image.seek(number)
            self._image.load()
            yield self._image
