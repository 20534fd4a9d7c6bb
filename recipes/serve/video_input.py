"""The videos of a question: looked at when they are named, and read once it is known how many tokens they may take.

A worker process decodes them: it has no file, but asks for the bytes that it needs, and nothing that it may open.
"""

from __future__ import annotations

import sys
import tempfile
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, TypeAlias

from recipes.core.errors import PictureError
from recipes.core.filesystem import storage_errors
from recipes.serve.door.clip_plan import ClipPlan, ClipWish, Cure, clip_tokens
from recipes.serve.door.message_videos import clip_part
from recipes.serve.door.pipe_frames import read_frame, write_frame
from recipes.serve.door.video_files import READ
from recipes.serve.door.video_worker import VIDEO
from recipes.serve.door.worker_pool import start_worker
from recipes.serve.image_input import STANDARD_INPUT, InputImage, unreadable

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from recipes.core.console import Console
    from recipes.core.process import Piped
    from recipes.serve.door.image_decode import Detail
    from recipes.serve.server_limits import ServerLimits

Media: TypeAlias = "InputImage | InputClip"
DECODE_S = 600.0  # of processor time
MOST_COPIED = 4 << 30  # bytes of standard input
PIECE = 1 << 20
MEGA = 1_000_000
NEW = "-c:v libx264 -pix_fmt yuv420p new.mp4"
FIXES = {
    Cure.CONVERT: f"convert it: ffmpeg -i FILE {NEW}",
    Cure.ANOTHER: "name a video that has a picture; what is in a file: ffprobe FILE",
    Cure.IMAGE: "name it after --image",
    Cure.WHOLE: f"copy or download it again; or read what is whole of it: ffmpeg -i FILE {NEW}",
    Cure.SMALLER: f"make it smaller: ffmpeg -i FILE -vf scale=1280:-2 {NEW}",
    Cure.SHORTER: f"ask about a part of it: ffmpeg -ss 0:00 -t 60 -i FILE {NEW}",
    Cure.CROPPED: f"crop it: ffmpeg -i FILE -vf crop=WIDTH:HEIGHT {NEW}",
    Cure.FEWER: "--max-frames with a smaller number, or a longer --context",
}


@dataclass(frozen=True)
class InputClip:
    """A clip for the model: its name, PNGs of its frames, which those are, and what is said of it."""

    name: str
    pngs: tuple[bytes, ...]
    plan: ClipPlan
    notes: tuple[str, ...]

    @property
    def tokens(self) -> int:
        """The most tokens that it takes."""
        return self.plan.tokens

    def part(self, _: Detail) -> dict[str, Any]:
        """Return it as a part of a message."""
        return {"type": "input_video", "input_video": clip_part(list(self.pngs), self.plan)}


class OpenVideo:
    """A video that was looked at, whose worker waits to be told how many tokens it may take."""

    def __init__(self, name: str, where: str, file: IO[bytes], worker: Piped) -> None:
        self.name = name
        self._where, self._file, self._worker = where, file, worker

    def look(self, wish: ClipWish, console: Console) -> None:
        """Have it looked at; a PictureError is raised if it is no video that can be read."""
        size = self._file.seek(0, 2)
        asked = {"fps": wish.fps, "most_frames": wish.most_frames, "size": size, "limit_s": DECODE_S}
        with console.task(f"looking at {self.name}", size) as task:
            self._say({VIDEO: asked})
            self._heard(task.position)

    def read(self, most_tokens: int, detail: Detail, console: Console) -> InputClip | InputImage:
        """Return its clip, or the image that it is; a PictureError is raised for frames that cannot be decoded."""
        self._say({"most_tokens": most_tokens, "detail": detail.value})
        says, _ = self._heard()
        plan = ClipPlan(tuple(says["indices"]), says["rate"], *says["size"])
        pngs: list[bytes] = []
        with console.task(f"reading {self.name}", len(plan.indices), "frames") as task:
            while "png" in (heard := self._heard())[0]:
                pngs.append(heard[1])
                task.advance(1)
        if len(pngs) == 1:
            return InputImage(self.name, pngs[0], tuple(says["notes"]))
        return InputClip(self.name, tuple(pngs), plan, tuple(says["notes"]))

    def _say(self, says: dict[str, Any], data: bytes = b"") -> None:
        with suppress(BrokenPipeError):  # it is gone: that nothing comes back says so
            write_frame(self._worker.input, says, data)

    def _heard(self, position: Callable[[int], None] = lambda _: None) -> tuple[dict[str, Any], bytes]:
        """Return what the worker says next; the bytes that it asks for meanwhile are sent to it."""
        while True:
            try:
                says, data = read_frame(self._worker.output)
            except (EOFError, ValueError) as error:
                raise self._refused(
                    "its decoder ended: it took too much time or memory", Cure.SHORTER
                ) from error
            if "failed" in says:
                raise self._refused(says["failed"], Cure(says["cure"]))
            if "read" not in says:
                return says, data
            offset, size = says["read"]
            self._file.seek(offset)
            try:
                piece = self._file.read(size)
            except OSError as error:
                raise self._refused(f"it cannot be read: {error.strerror or error}", Cure.WHOLE) from error
            self._say({}, piece)
            position(offset + size)

    def _refused(self, found: str, cure: Cure) -> PictureError:
        return PictureError(where=self._where, expected=f"a video as {READ}", found=found, fix=FIXES[cure])


@contextmanager
def open_videos() -> Iterator[Callable[[Path, ClipWish, Console], OpenVideo]]:
    """Yield what opens a video, `-` for standard input; all are closed when the block ends.

    It raises a PictureError if the file is none, or none that can be read.
    """
    with ExitStack() as stack:

        def opened(path: Path, wish: ClipWish, console: Console) -> OpenVideo:
            where = f"--video {path}"
            file = stack.enter_context(_file(path, where))
            worker = start_worker()
            stack.callback(worker.end)
            name = "standard input" if str(path) == STANDARD_INPUT else path.name
            video = OpenVideo(name, where, file, worker)
            video.look(wish, console)
            return video

        yield opened


@dataclass(frozen=True)
class VideoReader:
    """Reads the videos of questions to a server, which is asked once what it takes."""

    console: Console
    wish: ClipWish
    detail: Detail
    limits: Callable[[], ServerLimits]

    def read_all(self, files: Sequence[InputImage | OpenVideo]) -> tuple[Media, ...]:
        """Return images as they are, and the clips of videos, which share what the context has room for."""
        videos = sum(isinstance(file, OpenVideo) for file in files)
        if not videos:
            return tuple(file for file in files if isinstance(file, InputImage))
        others = sum(file.tokens for file in files if isinstance(file, InputImage))
        room = clip_tokens(self._context(), others, videos)
        return tuple(
            file if isinstance(file, InputImage) else file.read(room, self.detail, self.console)
            for file in files
        )

    def read(self, path: Path, others: int) -> Media:
        """Open and read one video, beside so many tokens of what was said."""
        with open_videos() as opened:
            video = opened(path, self.wish, self.console)
            return video.read(clip_tokens(self._context(), others, 1), self.detail, self.console)

    def _context(self) -> int:
        limits = self.limits()
        if limits.videos is False:
            raise PictureError(
                where="--video",
                expected="a server that reads videos",
                found="one that says it reads none",
                fix="ask the recipe b11312, or name frames as images: --image FILE ...",
            )
        return limits.context


def _file(path: Path, where: str) -> IO[bytes]:
    if str(path) == STANDARD_INPUT:
        return _copied(where)
    try:
        file = path.open("rb")
    except OSError as error:
        raise unreadable(path, where, error, "--video") from error
    if file.seekable():
        return file
    with file:
        return _copy(file, where)


def _copied(where: str) -> IO[bytes]:
    """Return standard input as a file in which one can seek."""
    if sys.stdin is None or sys.stdin.isatty():
        raise PictureError(
            where=where,
            expected="a video on standard input",
            found="a terminal" if sys.stdin else "it is closed",
            fix="direct a file there: ... --video - < clip.mp4",
        )
    return _copy(sys.stdin.buffer, where)


def _copy(source: IO[bytes], where: str) -> IO[bytes]:
    with storage_errors(Path(tempfile.gettempdir())):
        file = tempfile.TemporaryFile()  # noqa: SIM115 - whoever asked for it closes it
        while piece := source.read(PIECE):
            file.write(piece)
            if file.tell() > MOST_COPIED:
                file.close()
                raise PictureError(
                    where=where,
                    expected=f"at most {MOST_COPIED // MEGA} MB from a pipe",
                    found="more",
                    fix="name the file",
                )
    return file
