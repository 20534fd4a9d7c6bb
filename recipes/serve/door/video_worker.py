"""The worker's side of reading a video for `ask`: it asks for the bytes that it needs, and sends frames as they come.

Neither side holds a whole long video, nor the worker all of its frames. The other side: `recipes.serve.video_input`.
"""

from __future__ import annotations

import io
import time
from typing import IO, TYPE_CHECKING, Any

from recipes.serve.door.clip_decode import open_clip
from recipes.serve.door.clip_plan import ClipError, ClipWish, Cure
from recipes.serve.door.image_decode import Detail
from recipes.serve.door.pipe_frames import read_frame, write_frame

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

VIDEO = "video"  # in what is said first
READING = {"reading": True}  # said to whoever waits for a body with videos
SAY_S = 1.0  # of processor time between two of these


class Clock:
    """Counts the processor time of one piece of work; says that it goes on, where somebody is to know."""

    def __init__(self, limit_s: float, out: IO[bytes] | None = None) -> None:
        self._limit_s, self._out = limit_s, out
        self._began = self._said = time.process_time()

    def tick(self) -> None:
        """Raise a ClipError once the time is up."""
        now = time.process_time()
        if now - self._began > self._limit_s:
            raise ClipError(
                f"it takes more than {self._limit_s:g} s of processor time to read:"
                " a shorter or smaller video, or fewer frames of it, take less",
                Cure.SHORTER,
            )
        if self._out is not None and now - self._said > SAY_S:
            self._said = now
            write_frame(self._out, READING)


class AskedFile(io.RawIOBase):
    """A file that the other side has: what is read of it is asked for."""

    def __init__(self, size: int, source: IO[bytes], out: IO[bytes]) -> None:
        self._size, self._source, self._out, self._place = size, source, out, 0

    def readable(self) -> bool:
        """Return that it is."""
        return True

    def seekable(self) -> bool:
        """Return that it is."""
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """Go to a place."""
        self._place = max(0, offset + {io.SEEK_CUR: self._place, io.SEEK_END: self._size}.get(whence, 0))
        return self._place

    def tell(self) -> int:
        """Return the place."""
        return self._place

    def readinto(self, buffer: WriteableBuffer) -> int:
        """Read some bytes."""
        view = memoryview(buffer).cast("B")
        wanted = max(0, min(len(view), self._size - self._place))
        if not wanted:
            return 0
        write_frame(self._out, {"read": [self._place, wanted]})
        data = read_frame(self._source)[1]
        view[: len(data)] = data
        self._place += len(data)
        return len(data)


def read_video(says: dict[str, Any], source: IO[bytes], out: IO[bytes]) -> None:
    """Read the video that is asked about: what it is, and once it is known how many tokens it may take, its frames."""
    asked = says[VIDEO]
    tick = Clock(float(asked["limit_s"])).tick
    try:
        most = asked["most_frames"]
        wish = ClipWish(float(asked["fps"]), None if most is None else int(most))
        file = io.BufferedReader(AskedFile(int(asked["size"]), source, out), io.DEFAULT_BUFFER_SIZE)
        clip = open_clip(file, wish, tick)
        write_frame(out, {"frames": clip.facts.frames})
        room = read_frame(source)[0]
        plan = clip.plan(int(room["most_tokens"]), Detail(room["detail"]))
        shape = {"indices": plan.indices, "rate": plan.rate, "size": [plan.height, plan.width]}
        write_frame(out, {**shape, "notes": clip.notes(plan)})
        for png in clip.pngs(plan):
            write_frame(out, {"png": True}, png)
        write_frame(out, {"end": True})
    except ClipError as error:
        write_frame(out, {"failed": str(error), "cure": error.cure})
    except MemoryError:
        write_frame(out, {"failed": "it needs too much memory", "cure": Cure.SMALLER})
