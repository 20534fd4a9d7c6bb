"""Image files that lie, made by code: bombs, cuts, odd shapes, and what each format allows and nobody sends."""

from __future__ import annotations

import io
import struct
import zlib
from functools import partial
from random import Random
from typing import TYPE_CHECKING

from PIL import Image

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

SIDE = 60_000  # of an image that only says so


def small_png() -> bytes:
    """Return a good image of 64 by 64."""
    return saved(Image.new("RGB", (64, 64), (200, 30, 30)), "PNG")


def saved(image: Image.Image, kind: str, **more: object) -> bytes:
    """Return an image as a file."""
    file = io.BytesIO()
    image.save(file, kind, **more)
    return file.getvalue()


def noise(size: tuple[int, int], mode: str = "RGB") -> Image.Image:
    """Return an image of random pixels."""
    count = size[0] * size[1] * len(mode)
    return Image.frombytes(mode, size, Random(size[0]).randbytes(count))


def chunk(name: bytes, data: bytes, crc: int | None = None) -> bytes:
    """Return a chunk of a PNG."""
    return (
        struct.pack(">I", len(data))
        + name
        + data
        + struct.pack(">I", zlib.crc32(name + data) if crc is None else crc)
    )


def png(  # noqa: PLR0913, PLR0917 - the fields of the header
    width: int,
    height: int,
    depth: int = 8,
    colour: int = 2,
    data: bytes = b"",
    before: bytes = b"",
    interlace: int = 0,
) -> bytes:
    """Return a PNG of a header and compressed data that need not fit each other."""
    header = struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, interlace)
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", header)
        + before
        + chunk(b"IDAT", zlib.compress(data, 9))
        + chunk(b"IEND", b"")
    )


def bmp(  # noqa: PLR0913, PLR0917 - as above
    width: int, height: int, bits: int = 24, compression: int = 0, data: bytes = bytes(64), size: int = 40
) -> bytes:
    """Return a BMP of a header and pixels that need not fit each other."""
    info = struct.pack("<IiiHHIIiiII", size, width, height, 1, bits, compression, len(data), 0, 0, 0, 0)
    return b"BM" + struct.pack("<IHHI", 54 + len(data), 0, 0, 54) + info + data


def gif(
    width: int, height: int, frames: int = 1, code_size: int = 2, data: bytes = b"\x02\x44\x01\x00"
) -> bytes:
    """Return a GIF of a screen and frames that need not fit each other."""
    table = bytes(range(12))
    frame = b"," + struct.pack("<HHHHB", 0, 0, width, height, 0) + bytes([code_size]) + data
    return b"GIF89a" + struct.pack("<HHBBB", width, height, 0x91, 0, 0) + table + frame * frames + b";"


def jpeg_with(width: int, height: int, components: int = 3) -> bytes:
    """Return a JPEG whose frame header says another size than its data has."""
    data = bytearray(saved(noise((32, 32)), "JPEG"))
    at = data.index(b"\xff\xc0")
    data[at + 5 : at + 9] = struct.pack(">HH", height, width)
    data[at + 9] = components
    return bytes(data)


def bombs() -> Iterator[tuple[str, Callable[[], bytes]]]:
    """Return a bomb in the header of each format: small files that say they are huge."""
    yield "PNG header of 60,000 by 60,000", lambda: png(SIDE, SIDE)
    yield "PNG header of 2 to the 31st", lambda: png((1 << 31) - 1, (1 << 31) - 1)
    yield "PNG header of 2 to the 32nd less 1", lambda: png((1 << 32) - 1, 1)
    yield "GIF screen of 65,535 squared", lambda: gif(65_535, 65_535)
    yield "GIF screen of 20,000 squared, 35 bytes", lambda: gif(20_000, 20_000)[:35]
    yield "GIF of 9,000 squared, 500 frames", lambda: gif(9000, 9000, 500)
    yield "BMP header of 30,000 squared", lambda: bmp(30_000, 30_000)
    yield "BMP header of 60,000 squared, 1 bit", lambda: bmp(SIDE, SIDE, 1)
    yield "BMP header of negative height", lambda: bmp(20_000, -(1 << 31))
    yield "BMP header of negative width", lambda: bmp(-20_000, 20_000)
    yield "BMP run lengths of 30,000 squared", lambda: bmp(30_000, 30_000, 8, 1)
    yield "JPEG frame of 65,500 squared", lambda: jpeg_with(65_500, 65_500)
    yield "JPEG frame of 30,000 by 20,000, 4 components", lambda: jpeg_with(30_000, 20_000, 4)
    yield "PNM header of 60,000 squared", lambda: b"P6 60000 60000 255\n" + bytes(64)
    yield "PNM header of huge numbers", lambda: b"P5 99999999999 99999999999 65535\n" + bytes(64)
    yield (
        "PSD header of 30,000 squared",
        lambda: b"8BPS" + struct.pack(">H6xHIIHH", 1, 3, 30_000, 30_000, 8, 3) + bytes(64),
    )
    yield (
        "TGA header of 65,535 squared",
        lambda: struct.pack("<BBBHHBHHHHBB", 0, 0, 2, 0, 0, 0, 0, 0, 65_535, 65_535, 24, 0) + bytes(64),
    )
    yield (
        "TGA run lengths of 65,535 squared",
        lambda: struct.pack("<BBBHHBHHHHBB", 0, 0, 10, 0, 0, 0, 0, 0, 65_535, 65_535, 32, 8) + b"\xff" * 64,
    )
    yield (
        "HDR header of 30,000 squared",
        lambda: b"#?RADIANCE\nFORMAT=32-bit_rle_rgbe\n\n-Y 30000 +X 30000\n" + bytes(64),
    )
    yield (
        "PIC header of 65,535 squared",
        lambda: (
            b"\x53\x80\xf6\x34"
            + bytes(84)
            + b"PICT"
            + struct.pack(">HHIHH", 65_535, 65_535, 0, 0, 0)
            + bytes(64)
        ),
    )
    yield (
        "WebP header of 16,383 squared",
        lambda: (
            b"RIFF"
            + struct.pack("<I", 30)
            + b"WEBPVP8X"
            + struct.pack("<I", 10)
            + b"\0\0\0\0"
            + b"\xfe\x3f\0" * 2
        ),
    )
    yield "PNG of 20,000 squared, 1 bit, compressed", lambda: png(20_000, 20_000, 1, 0, bytes(20_000 * 2501))
    yield (
        "PNG of 8,000 squared, 64 bits, compressed",
        lambda: png(8000, 8000, 16, 6, bytes(8000 * (8000 * 8 + 1) // 8)),
    )
    yield "PNG of 32 squared with 400 MB of data", lambda: png(32, 32, 8, 2, bytes(400_000_000))


def cuts() -> Iterator[tuple[str, Callable[[], bytes]]]:
    """Return files that end too early, or go on in another format."""
    good = noise((96, 64))
    for kind in ("PNG", "JPEG", "GIF", "BMP", "PPM", "TGA"):
        yield f"{kind} cut in the middle", partial(half, kind)
        yield f"{kind} of its first 20 bytes", partial(start, kind)
    jpeg = saved(good, "JPEG")
    yield "JPEG cut, with an end", lambda: jpeg[: len(jpeg) // 2] + b"\xff\xd9"
    yield "JPEG of one byte a thousand times", lambda: b"\xff\xd8" + b"\xff" * 1000
    yield "two files in one", lambda: small_png() + jpeg
    yield "PNG of a thousand random changes", lambda: changed(saved(good, "PNG"))
    yield "JPEG of a thousand random changes", lambda: changed(jpeg)
    yield "GIF of random changes", lambda: changed(saved(good.convert("P"), "GIF"))
    yield "nothing", lambda: b""
    yield "zeros", lambda: bytes(10_000)
    yield "a program", lambda: b"\x7fELF" + bytes(1000)
    yield "a GGUF", lambda: b"GGUF" + bytes(1000)
    yield (
        "sound",
        lambda: (
            b"RIFF"
            + struct.pack("<I", 36)
            + b"WAVEfmt "
            + struct.pack("<IHHIIHH", 16, 1, 1, 8000, 8000, 1, 8)
            + b"data\0\0\0\xff"
        ),
    )
    yield "sound of MP3", lambda: b"ID3\x04\0\0\0\0\0\0" + b"\xff\xfb\x90\0" * 500
    yield "sound of FLAC", lambda: b"fLaC" + bytes(1000)
    yield "an SVG", lambda: b'<svg xmlns="http://www.w3.org/2000/svg" width="99999" height="99999"/>'
    yield "a video", lambda: b"\0\0\0\x18ftypmp42" + bytes(1000)


def changed(data: bytes) -> bytes:
    """Return a file with random bytes after its header."""
    rng, changed_data = Random(len(data)), bytearray(data)
    for _ in range(1000):
        changed_data[rng.randrange(40, len(data))] = rng.randrange(256)
    return bytes(changed_data)


def sides() -> Iterator[tuple[str, Callable[[], bytes]]]:
    """Return images without area, and images of more than 200 to 1."""
    for width, height in ((0, 0), (0, 5), (5, 0)):
        yield f"PNG of {width} by {height}", partial(png, width, height)
        yield f"BMP of {width} by {height}", partial(bmp, width, height)
        yield f"GIF of {width} by {height}", partial(gif, width, height)
    yield "JPEG of 0 by 0", lambda: jpeg_with(0, 0)
    yield "PNM of 0 by 0", lambda: b"P6 0 0 255\n"
    for width, height in ((3000, 3), (3, 3000), (20_000, 1), (1, 20_000), (402, 2)):
        yield f"sides of {width} to {height}", partial(plain, width, height)


def odd() -> Iterator[tuple[str, Callable[[], bytes]]]:
    """Return images that are right, or nearly so, in ways that nobody sends."""
    good = noise((96, 64))
    data = bytearray(saved(good, "PNG"))
    data[40] ^= 0xFF
    yield "1 by 1", lambda: saved(Image.new("RGB", (1, 1)), "PNG")
    yield "16 bits a value", lambda: saved(Image.new("I;16", (64, 64), 40_000), "PNG")
    yield "1 bit a pixel", lambda: saved(Image.new("1", (64, 64)), "PNG")
    yield "transparent", lambda: saved(Image.new("RGBA", (64, 64), (9, 9, 9, 0)), "PNG")
    yield "CMYK", lambda: saved(good.convert("CMYK"), "JPEG")
    yield "progressive", lambda: saved(good, "JPEG", progressive=True)
    yield (
        "animated",
        lambda: saved(
            good.convert("P"), "GIF", save_all=True, append_images=[noise((96, 64)).convert("P")] * 30
        ),
    )
    exif = Image.Exif()
    exif[0x0112] = 6
    yield "EXIF turned", lambda: saved(good, "JPEG", exif=exif)
    yield (
        "EXIF of 60 kB that points to itself",
        lambda: saved(
            good, "JPEG", exif=b"Exif\0\0II*\0\x08\0\0\0" + b"\x01\0\x69\x87\4\0\1\0\0\0\x08\0\0\0" * 4000
        ),
    )
    yield "wrong sums of a PNG", lambda: bytes(data)
    yield (
        "a palette that is too short",
        lambda: png(
            16,
            16,
            8,
            3,
            b"".join(b"\0" + bytes(range(240, 256)) for _ in range(16)),
            chunk(b"PLTE", bytes(9)),
        ),
    )
    yield "no palette", lambda: png(16, 16, 8, 3, b"".join(b"\0" + bytes(range(16)) for _ in range(16)))
    yield "a palette of 1 MB", lambda: png(16, 16, 8, 3, bytes(17 * 16), chunk(b"PLTE", bytes(1_000_002)))
    yield (
        "transparency longer than the palette",
        lambda: png(16, 16, 8, 3, bytes(17 * 16), chunk(b"PLTE", bytes(6)) + chunk(b"tRNS", bytes(256))),
    )
    yield (
        "GIF of colours out of its table",
        lambda: gif(64, 64, 1, 8, b"\x08\xff\xff\xff\xff\xff\xff\xff\xff\0"),
    )
    yield "GIF of a code size out of range", lambda: gif(64, 64, 1, 200)
    yield "BMP of 16 bits with masks of 0", lambda: bmp(16, 16, 16, 3, bytes(600))
    yield (
        "BMP with an offset beyond its end",
        lambda: bmp(16, 16)[:10] + struct.pack("<I", 1 << 31) + bmp(16, 16)[14:],
    )
    yield "BMP with a header of 5 bytes", lambda: bmp(16, 16, size=5)
    yield "PNG of a colour type that is none", lambda: png(16, 16, 8, 5, bytes(1000))
    yield "PNG of 3 bits a value", lambda: png(16, 16, 3, 2, bytes(1000))
    yield "PNG interlaced, cut", lambda: png(64, 64, 8, 2, bytes(100), interlace=1)
    yield "PNG filters that are none", lambda: png(16, 16, 8, 2, b"\xff" * (16 * 49))
    yield (
        "PNG with 20,000 chunks",
        lambda: png(16, 16, 8, 2, bytes(16 * 49), chunk(b"tEXt", b"a\0b") * 20_000),
    )
    yield (
        "PNG with a chunk of 4 GB",
        lambda: png(16, 16, 8, 2, bytes(16 * 49), struct.pack(">I", (1 << 32) - 1) + b"tEXt"),
    )
    yield (
        "PNG with two headers",
        lambda: png(
            16, 16, 8, 2, bytes(16 * 49), chunk(b"IHDR", struct.pack(">IIBBBBB", SIDE, SIDE, 8, 2, 0, 0, 0))
        ),
    )
    yield (
        "PNG with a profile that is a bomb",
        lambda: png(
            16, 16, 8, 2, bytes(16 * 49), chunk(b"iCCP", b"a\0\0" + zlib.compress(bytes(50_000_000)))
        ),
    )
    yield "JPEG whose tables are missing", lambda: jpeg_without(b"\xff\xdb")
    yield "JPEG whose codes are missing", lambda: jpeg_without(b"\xff\xc4")
    yield "JPEG with a restart each block", lambda: saved(good, "JPEG", restart_marker_blocks=1)
    yield (
        "JPEG of 60,000 comments",
        lambda: saved(good, "JPEG")[:2] + b"\xff\xfe\0\x02" * 60_000 + saved(good, "JPEG")[2:],
    )
    yield "PNM of text", lambda: b"P3 4 4 255\n" + b"9 " * 48
    yield "PNM of a greatest value of 0", lambda: b"P6 4 4 0\n" + bytes(48)
    yield (
        "TGA of a palette that is out of range",
        lambda: struct.pack("<BBBHHBHHHHBB", 0, 1, 1, 60_000, 2, 24, 0, 0, 16, 16, 8, 0) + b"\xff" * 600,
    )


def half(kind: str) -> bytes:
    """Return the first half of a file of a format."""
    data = saved(noise((96, 64)).convert("P" if kind == "GIF" else "RGB"), kind)
    return data[: len(data) // 2]


def start(kind: str) -> bytes:
    """Return the first bytes of a file of a format."""
    return half(kind)[:20]


def plain(width: int, height: int) -> bytes:
    """Return a PNG of one colour."""
    return saved(Image.new("RGB", (width, height)), "PNG")


def jpeg_without(marker: bytes) -> bytes:
    """Return a JPEG without one kind of its segments."""
    data = saved(noise((32, 32)), "JPEG")
    while marker in data:
        at = data.index(marker)
        data = data[:at] + data[at + 2 + int.from_bytes(data[at + 2 : at + 4], "big") :]
    return data
