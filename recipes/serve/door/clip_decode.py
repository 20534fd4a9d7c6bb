"""Turns a video file, or frames that somebody took of one, into the frames that the model gets, each as a PNG.

All have one size and are upright RGB; nothing but the frames that are read is kept, and one of them at a time is large.
A video of a single frame is no clip: it is treated as the image that it is.
"""

from __future__ import annotations

from dataclasses import dataclass
from io import BytesIO
from typing import IO, TYPE_CHECKING

from recipes.evalset.clip_rules import PAIR
from recipes.evalset.image_sizes import CELL_PX
from recipes.serve.door.clip_plan import ClipError, ClipPlan, ClipWish, plan_clip, plan_frames
from recipes.serve.door.image_decode import (
    ENCODED_AS,
    Detail,
    ImageError,
    prepare_image,
    scaled,
)
from recipes.serve.door.video_files import open_video

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from PIL import Image

    from recipes.serve.door.video_facts import Video, VideoFacts

LOW_TOKENS = 2048  # of a clip whose detail is low


@dataclass(frozen=True)
class FrameWish:
    """What is said of frames that somebody took: their numbers, the rate that those count in, and the tokens for them.

    Resized ones have the size already that the model gets.
    """

    indices: tuple[int, ...]
    rate: float
    most_tokens: int
    is_resized: bool = False

    def plan(self, width: int, height: int) -> ClipPlan:
        """Return the plan for frames of a size; a ClipError is raised if they do not fit."""
        plan = ClipPlan(self.indices, self.rate, height, width)
        if len(self.indices) < PAIR:
            return plan
        if not self.is_resized:
            return plan_frames(self.indices, self.rate, height, width, self.most_tokens)
        if width % CELL_PX or height % CELL_PX:
            raise ClipError(f"{width}x{height}: the sides of resized frames are multiples of {CELL_PX}")
        if plan.tokens > self.most_tokens:
            raise ClipError(
                f"it is {plan.tokens:,} tokens, and there is room for {max(0, self.most_tokens):,}"
            )
        return plan


@dataclass(frozen=True)
class OpenedClip:
    """A video that was looked at, and what is asked of it."""

    video: Video
    wish: ClipWish

    @property
    def facts(self) -> VideoFacts:
        """What it is."""
        return self.video.facts

    def plan(self, most_tokens: int, detail: Detail = Detail.HIGH) -> ClipPlan:
        """Return what is read of it within so many tokens; a ClipError is raised if it does not fit."""
        most = min(most_tokens, LOW_TOKENS) if detail is Detail.LOW else most_tokens
        facts = self.facts
        if facts.frames < PAIR:
            size = scaled(facts.width, facts.height, detail.pixels)
            return ClipPlan((0,), facts.rate, size[1], size[0])
        wish = ClipWish(self.wish.fps, self.wish.most_frames, most)
        return plan_clip(facts.frames, facts.rate, facts.height, facts.width, wish)

    def pngs(self, plan: ClipPlan) -> Iterator[bytes]:
        """Yield the frames of a plan; a ClipError is raised for one that cannot be decoded."""
        for image in self.video.frames(plan.indices):
            yield to_png(image, (plan.width, plan.height))

    def notes(self, plan: ClipPlan) -> tuple[str, ...]:
        """Return what is said of the video, and of what is read of it."""
        facts, kept = self.facts, len(plan.indices)
        lines = [
            f"{facts.kind}, {facts.width}x{facts.height}, {facts.frames:,} frames in {facts.seconds:.4g} s"
        ]
        lines += facts.notes
        if kept < PAIR:
            return (*lines, "a single frame: taken as an image")
        lines.append(f"{kept} frames of {plan.width}x{plan.height}, at most {plan.tokens:,} tokens")
        most = self.plan(ClipWish().most_tokens)
        if (most.indices, most.height, most.width) != (plan.indices, plan.height, plan.width):
            lines.append(
                f"with room: {len(most.indices)} of {most.width}x{most.height}, {most.tokens:,} tokens"
            )
        return tuple(lines)


def open_clip(source: IO[bytes], wish: ClipWish, tick: Callable[[], None]) -> OpenedClip:
    """Look at a video; a ClipError is raised if it is none that can be read. `tick` as in `open_video`."""
    return OpenedClip(open_video(source, tick), wish)


def to_png(image: Image.Image, size: tuple[int, int]) -> bytes:
    """Return an RGB image of a size as a PNG."""
    from PIL.Image import Resampling

    if image.size != size:
        image = image.resize(size, Resampling.BICUBIC)
    out = BytesIO()
    image.save(out, ENCODED_AS, compress_level=1)
    return out.getvalue()


def prepare_frames(
    files: Sequence[bytes], wish: FrameWish, tick: Callable[[], None]
) -> tuple[list[bytes], ClipPlan]:
    """Return the frames of a clip as they are sent on, from image files; a ClipError is raised for what is none.

    A single one is an image, and stays as large as it is.
    """
    done: list[bytes] = []
    plan, first = None, (0, 0)
    for number, data in enumerate(files):
        tick()
        try:
            prepared = prepare_image(data, Detail.ORIGINAL)
        except ImageError as error:
            raise ClipError(f"frame {number}: {error}") from error
        size = prepared.width, prepared.height
        if plan is None:
            plan, first = wish.plan(*size), size
        if size != first:
            raise ClipError(f"frame {number}: {size[0]}x{size[1]}, where the first has {first[0]}x{first[1]}")
        wanted = plan.width, plan.height
        done.append(prepared.png if size == wanted else _again(prepared.png, wanted))
    if plan is None:
        raise ClipError("no frames")
    return done, plan


def _again(png: bytes, size: tuple[int, int]) -> bytes:
    from PIL import Image

    return to_png(Image.open(BytesIO(png)), size)
