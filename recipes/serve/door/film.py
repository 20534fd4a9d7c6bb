"""A video of a container, read by ffmpeg: the parts that PyAV has of it, in this process.

The reader of its container is asked by name, so that none is found by trial, and none that opens other files is among
them. Only what is named here is decoded.
"""

from __future__ import annotations

import struct
from typing import IO, TYPE_CHECKING, Any

import av
from av.stream import Disposition
from av.video.reformatter import VideoReformatter
from PIL import Image

from recipes.evalset.clip_rules import UNKNOWN_RATE
from recipes.serve.door.clip_plan import ClipError, Cure
from recipes.serve.door.video_facts import MOST_PIXELS, VideoFacts, demand_frame, reading
from recipes.serve.door.video_packets import MOST_PACKETS, PacketTable, ranges

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

DEMUXERS = {"MP4": "mov", "MOV": "mov", "WebM": "matroska", "Matroska": "matroska"}
DECODERS = (
    *("h264", "hevc", "vp8", "vp9", "av1", "libdav1d", "libvpx", "libvpx-vp9"),
    *("mpeg4", "mjpeg", "prores"),
)
BUFFER = 1 << 18  # bytes that are read at a time
HAS_SHOWN_BIT, SHOWN_BIT = (
    "vp8",
    0x10,
)  # a bit of its first byte says whether a frame is shown (RFC 6386, 9.1)
SKIPS = {"h264", "hevc"}  # decoders that can be told, packet by packet, to skip what no other frame needs
NEAR = 0.01  # as much may a header's rate differ from what the frames' times say
MICRO = 1_000_000  # of a container's durations a second
MISSING_S = 1.0  # as much longer may the sound be
HDR = {16, 18}  # transfer functions (ITU-T H.273): perceptual quantiser, hybrid log-gamma
# of a display matrix (a, b, c, d; its other numbers move or project), how the stored image is turned, in Pillow's names
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


class Film:
    """A video that was opened, whose packets were all looked at; `tick` is called for each packet and frame."""

    def __init__(self, source: IO[bytes], kind: str, tick: Callable[[], None]) -> None:
        self._source, self._kind, self._tick = source, kind, tick
        with reading(kind), self._open() as container:
            stream = _picture_stream(container)
            self._stream, self._codec = stream.index, stream.codec_context.name
            self._table = self._read_table(container, stream)
            self._order = self._table.in_order()
            frames, stated = self._table.frames, stream.frames
            if stated > len(self._table):
                raise ClipError(f"cut: {len(self._table):,} of its {stated:,} frames are there", Cure.WHOLE)
            if not frames:
                raise ClipError("no frames", Cure.ANOTHER)
            rate, notes = _rate(self._table, stream)
            stated_s = (container.duration or 0) / MICRO
            if stated_s > frames / rate + MISSING_S:
                notes.append(f"its header states {stated_s:.4g} s")
            shape = stream.sample_aspect_ratio
        if shape not in {None, 0, 1}:
            notes.append(f"its pixels are not square ({shape}): they are taken as they are")
        with reading(kind):
            first = next(self._decoded((0,)))
            self._turn = _turn(first)  # once: a frame whose side data were looked at lives on for a while
            is_hdr = first.color_trc in HDR
        width, height = (
            (first.height, first.width) if self._turn in TURNS_SIDES else (first.width, first.height)
        )
        notes += ["turned upright"] if self._turn else []
        notes += ["HDR: its colours are approximate"] if is_hdr else []
        self.facts = VideoFacts(kind, frames, rate, width, height, tuple(notes))

    def frames(self, indices: Sequence[int]) -> Iterator[Image.Image]:
        """Yield some of its frames as RGB, in order; a ClipError is raised for one that cannot be decoded."""
        # one for all frames, without threads: each of theirs has a stack, and lives on for a while
        colours = VideoReformatter()
        with reading(self._kind):
            for frame in self._decoded(indices):
                plane = colours.reformat(frame, format="rgb24", threads=1).planes[0]
                size = frame.width, frame.height
                image = Image.frombytes("RGB", size, memoryview(plane), "raw", "RGB", plane.line_size, 1)
                yield image.transpose(Image.Transpose[self._turn]) if self._turn else image

    def _open(self) -> Any:  # noqa: ANN401 - PyAV's types are not known here
        self._source.seek(0)
        return av.open(
            self._source,
            format=DEMUXERS[self._kind],
            options={"codec_whitelist": ",".join(DECODERS)},
            metadata_errors="replace",
            buffer_size=BUFFER,
            io_open=_open_nothing,
        )

    def _packets(self, container: Any, stream: Any) -> Iterator[Any]:  # noqa: ANN401 - PyAV's
        for packet in container.demux(stream):
            self._tick()
            if packet.size:
                yield packet

    def _read_table(self, container: Any, stream: Any) -> PacketTable:  # noqa: ANN401 - PyAV's
        table = PacketTable()
        for packet in self._packets(container, stream):
            if packet.is_corrupt:
                raise ClipError(f"cut or damaged: its frame {len(table) + 1:,} is not whole", Cure.WHOLE)
            is_shown = not packet.is_discard
            if self._codec == HAS_SHOWN_BIT:
                is_shown = is_shown and bool(bytes(packet)[0] & SHOWN_BIT)
            table.add(packet.pts, packet.duration or 0, is_key=packet.is_keyframe, is_shown=is_shown)
            if len(table) > MOST_PACKETS:
                raise ClipError(f"more than {MOST_PACKETS:,} frames", Cure.SHORTER)
        return table

    def _decoded(self, indices: Sequence[int]) -> Iterator[Any]:
        """Yield some frames as they are stored; what is not needed for them is not decoded."""
        places = [self._order[index] for index in indices]
        attempts = [[(0, len(self._table) - 1)]]
        wanted: dict[int, int] = {}
        if self._table.can_skip():
            wanted = {self._table.times[place]: index for place, index in zip(places, indices, strict=True)}
            # a second time from the start: after some key frames the next frames are not whole yet
            attempts.insert(0, ranges(self._table, places))
        needed = list(reversed(indices))
        for spans in attempts:
            for number, frame in self._shown(spans, wanted, set(places)):
                if number != needed[-1]:
                    continue
                if frame.is_corrupt:
                    raise ClipError(f"damaged: its frame {number + 1:,} is not whole", Cure.WHOLE)
                demand_frame(frame.width, frame.height)
                yield frame
                needed.pop()
                if not needed:
                    return
        raise ClipError(f"damaged: its frame {needed[-1] + 1:,} cannot be decoded", Cure.WHOLE)

    def _shown(
        self, spans: list[tuple[int, int]], wanted: dict[int, int], places: set[int]
    ) -> Iterator[tuple[int | None, Any]]:
        """Yield the frames of some packets in the order of showing, each with its number if it is wanted.

        Where frames are not told apart by their times all have their numbers.
        """
        with self._open() as container:
            stream = container.streams[self._stream]
            context = stream.codec_context
            context.thread_count = 1
            context.options = {"max_pixels": str(MOST_PIXELS)}
            count, remaining = 0, list(reversed(spans))
            for place, packet in enumerate(self._packets(container, stream)):
                if place < remaining[-1][0]:
                    continue
                if wanted and self._codec in SKIPS:
                    context.skip_frame = "DEFAULT" if place in places else "NONREF"
                frames = context.decode(packet)
                is_last = place == remaining[-1][1]
                if is_last:
                    frames += context.decode(None)
                    context.flush_buffers()
                    remaining.pop()
                for frame in frames:
                    self._tick()
                    yield (wanted.get(frame.pts) if wanted else count), frame
                    count += 1
                if not remaining:
                    return


def turn_of(matrix: bytes) -> str:
    """Return how a display matrix turns an image (ISO/IEC 14496-12, 8.2.2): by a name of Pillow's, or not at all. Pure.

    What is turned by no right angle is left as it is.
    """
    numbers = struct.unpack("=9i", matrix)
    a, b, c, d = ((number > 0) - (number < 0) for number in (*numbers[0:2], *numbers[3:5]))
    return TURNS.get((a, b, c, d), "")


def _turn(frame: Any) -> str:  # noqa: ANN401 - PyAV's
    return next((turn_of(bytes(data)) for data in frame.side_data if data.type.name == "DISPLAYMATRIX"), "")


def _rate(table: PacketTable, stream: Any) -> tuple[float, list[str]]:  # noqa: ANN401 - PyAV's
    """Return the average rate that the header states, or that of the frames' times where those say another."""
    stated = float(stream.average_rate or 0)
    timed = float(
        table.rate / (stream.time_base or 1)
    )  # exact until here: what is made of it is cut to whole numbers
    if stated > 0 and (not timed or abs(stated - timed) <= NEAR * timed):
        return stated, []
    if timed:
        told = f"its header states {stated:.4g} frames a second: it has {timed:.4g}"
        return timed, [told] if stated else []
    return UNKNOWN_RATE, [f"its frames have no times: {UNKNOWN_RATE:g} a second are assumed"]


def _picture_stream(container: Any) -> Any:  # noqa: ANN401 - PyAV's
    """Return the first video stream that is no cover of a record."""
    for stream in container.streams.video:
        if Disposition.attached_pic in stream.disposition:
            continue
        context = stream.codec_context
        if context is None or context.name not in DECODERS:
            raise ClipError(f"its codec is not read: {context.name if context else 'an unknown one'}")
        if context.width and context.height:
            demand_frame(context.width, context.height)
        return stream
    raise ClipError("no picture, only sound" if container.streams.audio else "no picture", Cure.ANOTHER)


def _open_nothing(url: str, _flags: int, _options: dict[str, str]) -> IO[bytes]:
    raise ClipError(f"it names another file: {url[:100]!r}")
