"""Videos made by code: each frame shows its number, which is read back from what a decoder makes of it."""

from __future__ import annotations

import subprocess
from fractions import Fraction
from io import BytesIO
from typing import TYPE_CHECKING, Any

import av
from PIL import Image, ImageDraw

from tests.support.programs import demand_program

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

SIZE = (96, 64)
COLUMNS, ROWS = 4, 3  # cells of a frame, each a bit of its number
CELL = 20
TEST_PATTERN = "testsrc2=size=96x64:rate=30:duration=3"


def numbered(number: int, size: tuple[int, int] = SIZE) -> Image.Image:
    """A frame that shows a number below 4096 as white and black cells, on a colour that changes with it."""
    image = Image.new("RGB", size, (number * 7 % 256, number * 3 % 256, 128))
    draw = ImageDraw.Draw(image)
    for bit in range(COLUMNS * ROWS):
        x, y = bit % COLUMNS * CELL, bit // COLUMNS * CELL
        draw.rectangle((x, y, x + CELL - 1, y + CELL - 1), fill="white" if number >> bit & 1 else "black")
    return image


def number_of(image: Image.Image) -> int:
    """The number that a frame shows, whatever a codec did to it."""
    grey = image.convert("L")
    places = ((bit, bit % COLUMNS * CELL + CELL // 2, bit // COLUMNS * CELL + CELL // 2) for bit in range(12))
    return sum(1 << bit for bit, x, y in places if grey.getpixel((x, y)) > 127)  # type: ignore[operator,misc] # one band


def video(  # noqa: PLR0913 - as encoders have them
    frames: int,
    codec: str = "libx264",
    container: str = "mp4",
    *,
    rate: int = 10,
    times: Sequence[int] | None = None,
    options: dict[str, str] | None = None,
    sound: bool = False,
    size: tuple[int, int] = SIZE,
    muxer: dict[str, str] | None = None,
    path: Path | None = None,
) -> bytes:
    """A video of numbered frames, one after the other, or at the times that are given, in units of the rate."""
    out = BytesIO()
    with av.open(str(path) if path else out, "w", format=container, options=muxer or {}) as file:
        # all streams are there before the first packet is written
        heard: Any = file.add_stream("aac", rate=8000, layout="mono") if sound else None
        stream: Any = file.add_stream(codec, rate=rate, options=options or {}) if frames else None
        if frames:
            stream.width, stream.height = size
            stream.pix_fmt = "yuv420p"
        if sound:
            _add_sound(file, heard)
        for number in range(frames):
            frame: Any = av.VideoFrame.from_image(numbered(number, size))  # type: ignore[no-untyped-call] # PyAV's
            frame.pts = times[number] if times else number
            file.mux(stream.encode(frame))
        if frames:
            file.mux(stream.encode())
    return path.read_bytes() if path else out.getvalue()


def _add_sound(file: av.container.OutputContainer, stream: Any) -> None:  # noqa: ANN401 - PyAV's
    for number in range(8):
        frame = av.AudioFrame(format="fltp", layout="mono", samples=1024)
        frame.sample_rate, frame.pts, frame.time_base = 8000, 1024 * number, Fraction(1, 8000)
        for plane in frame.planes:
            plane.update(bytes(plane.buffer_size))
        file.mux(stream.encode(frame))
    file.mux(stream.encode())


def with_hidden_frame(webm: bytes) -> bytes:
    """A VP8 video with its first frame once more, hidden: as encoders write frames that others alone refer to."""
    out = BytesIO()
    with av.open(BytesIO(webm), "r") as source, av.open(out, "w", format="webm") as file:
        stream = file.add_stream_from_template(source.streams.video[0])
        for packet in source.demux(video=0):
            if not packet.size or packet.pts is None:
                continue
            data, time = bytes(packet), packet.pts
            packet.stream = stream
            file.mux(packet)
            if time == 0:
                hidden = av.Packet(bytes([data[0] & ~0x10]) + data[1:])
                hidden.pts = hidden.dts = time + 50
                hidden.time_base, hidden.stream = packet.time_base, stream
                file.mux(hidden)
    return out.getvalue()


def animation(frames: int, kind: str = "GIF", duration: int | list[int] = 100) -> bytes:
    """An animation of numbered frames by Pillow, each shown so many milliseconds."""
    out = BytesIO()
    first, *others = (numbered(number) for number in range(frames))
    more = {"lossless": True} if kind == "WEBP" else {"optimize": False}
    first.save(out, kind, save_all=True, append_images=others, duration=duration, loop=0, **more)
    return out.getvalue()


def by_ffmpeg(folder: Path, name: str, *words: str, source: str = TEST_PATTERN) -> Path:
    """A video that the machine's ffmpeg makes, of its own test pattern."""
    path = folder / name
    given = ("-f", "lavfi", "-i", source) if source else ()
    argv = [demand_program("ffmpeg"), "-loglevel", "error", "-y", *given, *words, str(path)]
    subprocess.run(argv, check=True)
    return path


def decoded_by_ffmpeg(path: Path, size: tuple[int, int]) -> list[bytes]:
    """All frames of a video as the machine's ffmpeg decodes them, upright, as RGB."""
    argv = [demand_program("ffmpeg"), "-loglevel", "error", "-i", str(path), "-vsync", "passthrough"]
    done = subprocess.run(
        [*argv, "-f", "rawvideo", "-pix_fmt", "rgb24", "-"], check=True, capture_output=True
    )
    length = size[0] * size[1] * 3
    return [done.stdout[place : place + length] for place in range(0, len(done.stdout), length)]
