"""Reads a video: how many frames it has, at which rate and of which size; and some of its frames, upright, in order.

What a file is is told by its first bytes, and one reader is asked, by name: none is found by trial, and none that
opens other files is among them. Only what is named here is decoded. A cut or damaged video is refused, as an image is.
"""

from __future__ import annotations

import importlib
import pkgutil
import struct
from dataclasses import dataclass
from typing import IO, TYPE_CHECKING, Any, Protocol

from recipes.evalset.clip_rules import UNKNOWN_RATE
from recipes.serve.door.clip_plan import ClipError
from recipes.serve.door.image_decode import MEGA, demand_size, to_rgb
from recipes.serve.door.video_packets import MOST_PACKETS, PacketTable, ranges

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from PIL import Image

READ = "MP4, MOV, WebM, Matroska, GIF or WebP"
MOST_PIXELS = 36 * MEGA  # of a frame: 8K
BUFFER = 1 << 18  # bytes that are read at a time
HEAD = 64  # bytes that tell what a file is
DEMUXERS = {"MP4": "mov", "MOV": "mov", "WebM": "matroska", "Matroska": "matroska"}
DECODERS = (
    *("h264", "hevc", "vp8", "vp9", "av1", "libdav1d", "libvpx", "libvpx-vp9"),
    *("mpeg4", "mjpeg", "prores"),
)
IMAGES = {b"heic", b"heix", b"mif1", b"msf1", b"avif", b"avis"}
OTHERS = {
    b"#EXTM3U": "a playlist",
    b"ffconcat": "a list of files",
    b"<?xml": "a playlist, or other XML",
    b"OggS": "an Ogg",
    b"FLV": "a Flash video",
    b"\x30\x26\xb2\x75": "a Windows Media file",
    b"\0\0\1\xba": "an MPEG program stream",
    b"\x47": "an MPEG transport stream, or text",
    b"\xff\xd8\xff": "an image (JPEG)",
    b"\x89PNG": "an image (PNG)",
    b"ID3": "sound",
    b"fLaC": "sound",
}
HAS_SHOWN_BIT = "vp8"  # a bit of its first byte says whether a frame is shown (RFC 6386, 9.1)
SHOWN_BIT = 0x10
NEAR = 0.01  # as much may a header's rate differ from what the frames' times say
MICRO = 1_000_000  # of ffmpeg's durations a second
MISSING_S = 1.0  # as much longer may the sound be
QUICK_MS, UNSAID_MS = (
    10,
    100,
)  # browsers show a frame of an animation that has at most the first for the second
HDR = {16, 18}  # transfer functions (ITU-T H.273): perceptual quantiser, hybrid log-gamma
# of a display matrix (a, b, c, d; its other numbers move or project), how the stored image is turned
TURNS = {
    (0, 1, -1, 0): "ROTATE_270",
    (-1, 0, 0, -1): "ROTATE_180",
    (0, -1, 1, 0): "ROTATE_90",
    (-1, 0, 0, 1): "FLIP_LEFT_RIGHT",
    (1, 0, 0, -1): "FLIP_TOP_BOTTOM",
    (0, 1, 1, 0): "TRANSPOSE",
    (0, -1, -1, 0): "TRANSVERSE",
}
TURNS_SIDES = {"ROTATE_90", "ROTATE_270", "TRANSPOSE", "TRANSVERSE"}


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
        """Yield some of its frames as RGB; a ClipError is raised for one that cannot be decoded."""


def open_video(source: IO[bytes], tick: Callable[[], None]) -> Video:
    """Open a video, whose packets are all looked at; a ClipError is raised if it is none that can be read.

    `tick` is called between two steps of the work; what it raises ends it.
    """
    kind = kind_of(source.read(HEAD))
    source.seek(0)
    return _Animation(source, kind, tick) if kind not in DEMUXERS else _Film(source, kind, tick)


def load_readers() -> None:
    """Load all that reads videos: PyAV loads parts of itself when they are needed, when no file may be opened any more."""
    import av

    for module in pkgutil.walk_packages(av.__path__, "av."):
        if not module.name.endswith("__main__"):
            importlib.import_module(module.name)


def kind_of(head: bytes) -> str:
    r"""Return what a file is by its first bytes; a ClipError is raised if no such videos are read. Pure.

    >>> kind_of(b"\0\0\0\x14ftypqt  "), kind_of(b"GIF89a")
    ('MOV', 'GIF')
    """
    box, brand = head[4:8], head[8:12]
    if box == b"ftyp":
        if brand in IMAGES:
            raise ClipError("an image (HEIC or AVIF)")
        return "MOV" if brand == b"qt  " else "MP4"
    if box in {b"moov", b"mdat", b"wide"}:
        return "MOV"
    if head.startswith(b"\x1aE\xdf\xa3"):
        return "WebM" if b"webm" in head else "Matroska"
    if head.startswith((b"GIF87a", b"GIF89a")):
        return "GIF"
    if head.startswith(b"RIFF"):
        if brand == b"WEBP":
            return "WEBP"
        raise ClipError("an AVI" if brand == b"AVI " else "sound")
    found = next((title for start, title in OTHERS.items() if head.startswith(start)), None)
    raise ClipError(found or ("a file of an unknown format" if head else "an empty file"))


class _Film:
    """A video of a container, read by ffmpeg."""

    def __init__(self, source: IO[bytes], kind: str, tick: Callable[[], None]) -> None:
        self._source, self._kind, self._tick = source, kind, tick
        with self._open() as container:
            stream = _picture_stream(container)
            self._stream = stream.index
            self._codec = stream.codec_context.name
            self._table = self._read_table(container, stream)
            frames, stated = self._table.frames, stream.frames
            if stated > len(self._table):
                raise ClipError(f"cut: {len(self._table):,} of its {stated:,} frames are there")
            if not frames:
                raise ClipError("no frames")
            rate, notes = self._rate(stream)
            stated_s = (container.duration or 0) / MICRO
            if stated_s > frames / rate + MISSING_S:
                notes.append(f"its header states {stated_s:.4g} s")
            shape = stream.sample_aspect_ratio
            self._order = self._table.in_order()
        first = next(self._decoded([0]), None)
        if first is None:
            raise ClipError("damaged: its first frame cannot be decoded")
        self._turn = _turn(first)  # once: a frame whose side data were looked at lives on for a while
        width, height = first.width, first.height
        if self._turn in TURNS_SIDES:
            width, height = height, width
        if self._turn:
            notes.append("turned upright")
        if shape not in {None, 0, 1}:
            notes.append(f"its pixels are not square ({shape}): they are taken as they are")
        if first.color_trc in HDR:
            notes.append("HDR: its colours are approximate")
        self.facts = VideoFacts(kind, frames, rate, width, height, tuple(notes))

    def frames(self, indices: Sequence[int]) -> Iterator[Image.Image]:
        """Yield some of its frames as RGB; a ClipError is raised for one that cannot be decoded."""
        from av.video.reformatter import VideoReformatter
        from PIL import Image

        colours = VideoReformatter()  # one for all frames, without threads: each has a stack, and lives on for a while
        for frame in self._decoded(indices):
            plane = colours.reformat(frame, format="rgb24", threads=1).planes[0]
            size = frame.width, frame.height
            image = Image.frombytes("RGB", size, memoryview(plane), "raw", "RGB", plane.line_size, 1)
            yield image.transpose(Image.Transpose[self._turn]) if self._turn else image

    def _open(self) -> Any:  # noqa: ANN401 - PyAV's types are not known here
        import av

        self._source.seek(0)
        try:
            return av.open(
                self._source,
                format=DEMUXERS[self._kind],
                options={"codec_whitelist": ",".join(DECODERS)},
                metadata_errors="replace",
                buffer_size=BUFFER,
                io_open=_open_nothing,
            )
        except (av.FFmpegError, OSError, ValueError) as error:
            raise ClipError(f"a damaged or cut {self._kind}: {_words(error)}") from error

    def _packets(self, container: Any, stream: Any) -> Iterator[Any]:  # noqa: ANN401 - PyAV's
        import av

        try:
            for packet in container.demux(stream):
                self._tick()
                if packet.size:
                    yield packet
        except av.FFmpegError as error:
            raise ClipError(f"a damaged or cut {self._kind}: {_words(error)}") from error

    def _read_table(self, container: Any, stream: Any) -> PacketTable:  # noqa: ANN401 - PyAV's
        table = PacketTable()
        for packet in self._packets(container, stream):
            if packet.is_corrupt:
                raise ClipError(f"cut or damaged: its frame {len(table) + 1:,} is not whole")
            is_shown = not packet.is_discard
            if self._codec == HAS_SHOWN_BIT:
                is_shown = is_shown and bool(bytes(packet)[0] & SHOWN_BIT)
            table.add(packet.pts, packet.duration or 0, is_key=packet.is_keyframe, is_shown=is_shown)
            if len(table) > MOST_PACKETS:
                raise ClipError(f"more than {MOST_PACKETS:,} frames")
        return table

    def _rate(self, stream: Any) -> tuple[float, list[str]]:  # noqa: ANN401 - PyAV's
        """Return the average rate that the header states, or that of the frames' times where those say another."""
        stated = float(stream.average_rate or 0)
        timed = self._table.rate / float(stream.time_base or 1)
        if stated > 0 and (not timed or abs(stated - timed) <= NEAR * timed):
            return stated, []
        if timed:
            told = f"its header states {stated:.4g} frames a second: it has {timed:.4g}"
            return timed, [told] if stated else []
        return UNKNOWN_RATE, [f"its frames have no times: {UNKNOWN_RATE:g} a second are assumed"]

    def _decoded(self, indices: Sequence[int]) -> Iterator[Any]:
        """Yield some frames as they are stored; what is not needed for them is not decoded."""
        places = [self._order[index] for index in indices]
        whole = [(0, len(self._table) - 1)]
        wanted: dict[int, int] = {}
        attempts = [whole]
        if self._table.can_skip():
            wanted = {self._table.times[place]: index for place, index in zip(places, indices, strict=True)}
            # a second time from the start: after some key frames the next frames are not whole yet
            attempts = [ranges(self._table, places), whole]
        needed = list(reversed(indices))
        for spans in attempts:
            for number, frame in self._shown(spans, wanted, set(places)):
                if number == needed[-1]:
                    self._demand_whole(frame, number)
                    yield frame
                    needed.pop()
                    if not needed:
                        return
        raise ClipError(f"damaged: its frame {needed[-1] + 1:,} cannot be decoded")

    def _shown(
        self, spans: list[tuple[int, int]], wanted: dict[int, int], places: set[int]
    ) -> Iterator[tuple[int | None, Any]]:
        """Yield the frames of some packets in the order of showing, each with its number."""
        import av

        with self._open() as container:
            stream = container.streams[self._stream]
            context = stream.codec_context
            context.thread_count = 1
            context.options = {"max_pixels": str(MOST_PIXELS)}
            count = 0
            remaining = iter(spans)
            span = next(remaining, None)
            try:
                for place, packet in enumerate(self._packets(container, stream)):
                    if span is None:
                        return
                    if place < span[0]:
                        continue
                    # what no other frame needs, and nobody wants, is not decoded
                    context.skip_frame = "NONREF" if wanted and place not in places else "DEFAULT"
                    frames = context.decode(packet)
                    if place == span[1]:
                        frames += context.decode(None)
                        context.flush_buffers()
                        span = next(remaining, None)
                    for frame in frames:
                        self._tick()
                        yield (wanted.get(frame.pts) if wanted else count), frame
                        count += 1
            except av.FFmpegError as error:
                raise ClipError(f"damaged: {_words(error)}") from error

    def _demand_whole(self, frame: Any, number: int) -> None:  # noqa: ANN401 - PyAV's
        if frame.is_corrupt:
            raise ClipError(f"damaged: its frame {number + 1:,} is not whole")
        _demand_frame(frame.width, frame.height)


class _Animation:
    """A GIF or a WebP of several frames, read by Pillow as images are."""

    def __init__(self, source: IO[bytes], kind: str, tick: Callable[[], None]) -> None:
        from PIL import Image

        self._kind, self._tick = "WebP" if kind == "WEBP" else kind, tick
        Image.MAX_IMAGE_PIXELS = MOST_PIXELS // 2  # it raises at twice as many
        try:
            self._image = Image.open(source, formats=(kind,))
            _demand_frame(*self._image.size)
            frames, milliseconds = 0, 0.0
            for image in self._all():
                told = image.info.get("duration", 0)
                milliseconds += told if told > QUICK_MS else UNSAID_MS
                frames += 1
        except (
            OSError,
            SyntaxError,
            ValueError,
            EOFError,
            IndexError,
            struct.error,
            Image.DecompressionBombError,
        ) as error:
            raise ClipError(f"a damaged or cut {self._kind}: {_words(error)}") from error
        self.facts = VideoFacts(self._kind, frames, frames * 1000 / milliseconds, *self._image.size)

    def frames(self, indices: Sequence[int]) -> Iterator[Image.Image]:
        """Yield some of its frames as RGB; a ClipError is raised for one that cannot be decoded."""
        wanted = set(indices)
        try:
            for number, image in enumerate(self._all()):
                if number in wanted:
                    yield to_rgb(image)[0]
        except (OSError, SyntaxError, ValueError, EOFError, IndexError, struct.error) as error:
            raise ClipError(f"a damaged or cut {self._kind}: {_words(error)}") from error

    def _all(self) -> Iterator[Image.Image]:
        for number in range(getattr(self._image, "n_frames", 1)):
            self._tick()
            self._image.seek(number)
            self._image.load()
            yield self._image


def _picture_stream(container: Any) -> Any:  # noqa: ANN401 - PyAV's
    """Return the first video stream that is no cover of a record."""
    from av.stream import Disposition

    for stream in container.streams.video:
        if Disposition.attached_pic in stream.disposition:
            continue
        context = stream.codec_context
        if context is None or context.name not in DECODERS:
            raise ClipError(f"its codec is not read: {context.name if context else 'an unknown one'}")
        if context.width and context.height:
            _demand_frame(context.width, context.height)
        return stream
    raise ClipError("no picture, only sound" if container.streams.audio else "no picture")


def _demand_frame(width: int, height: int) -> None:
    from recipes.serve.door.image_decode import ImageError

    try:
        demand_size(width, height)
    except ImageError as error:
        raise ClipError(str(error)) from error
    if width * height > MOST_PIXELS:
        raise ClipError(
            f"too large: {width}x{height}; at most {MOST_PIXELS // MEGA} megapixels of a frame are decoded"
        )


def _turn(frame: Any) -> str:  # noqa: ANN401 - PyAV's
    """Return how a frame is turned upright: by a name of Pillow's, or not at all."""
    for data in frame.side_data:
        if data.type.name == "DISPLAYMATRIX":
            return turn_of(bytes(data))
    return ""


def turn_of(matrix: bytes) -> str:
    """Return how a display matrix turns an image (ISO/IEC 14496-12, 8.2.2): by a name of Pillow's, or not at all. Pure.

    What is turned by no right angle is left as it is.
    """
    numbers = struct.unpack("=9i", matrix)
    signs = tuple((number > 0) - (number < 0) for number in (numbers[0], numbers[1], numbers[3], numbers[4]))
    return TURNS.get(signs, "")


def _open_nothing(url: str, _flags: int, _options: dict[str, str]) -> IO[bytes]:
    raise ClipError(f"it names another file: {url[:100]!r}")


def _words(error: BaseException) -> str:
    text = getattr(error, "strerror", None) or str(error) or type(error).__name__
    return text.splitlines()[0][:200]
