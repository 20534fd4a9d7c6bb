"""Image files of all kinds, made by code: what cameras, telephones, programs and broken connections make."""

from __future__ import annotations

import struct
import zlib
from io import BytesIO
from typing import TYPE_CHECKING

import pillow_heif
from PIL import Image, ImageCms, ImageDraw

if TYPE_CHECKING:
    from collections.abc import Iterator

ORIENTATION = 0x0112
TURNED = {  # how a camera stores what is upright, by EXIF orientation
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_90,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_270,
}
WITH_EXIF = ("JPEG", "PNG", "WEBP", "TIFF", "AVIF", "HEIF")
KINDS = (*WITH_EXIF, "GIF", "BMP")
NO_IMAGES = {
    "empty": b"",
    "pdf": b"%PDF-1.7\n%...",
    "svg": b'<svg xmlns="http://www.w3.org/2000/svg"/>',
    "web-page": b"<!doctype html><title>404</title>",
    "psd": b"8BPS\0\1",
    "model": b"GGUF\3\0\0\0",
    "video": b"\x1aE\xdf\xa3" + b"\0" * 40,
    "mp4": b"\0\0\0\x18ftypisom" + b"\0" * 40,
    "jpeg-xl": b"\xff\x0a" + b"\0" * 40,
    "text": b"a picture of a ring\n",
    "zeros": bytes(5000),
}


def scene(size: tuple[int, int] = (200, 150)) -> Image.Image:
    """A drawing that looks different each way up, with noise that makes files long enough to cut."""
    image = Image.effect_noise(size, 60).convert("RGB")
    width, height = size
    draw = ImageDraw.Draw(image)
    draw.ellipse(
        (width // 3, height // 4, max(width // 3, width - 9), max(height // 4, height - 9)),
        outline=(20, 160, 60),
        width=width // 16,
    )
    draw.rectangle((0, 0, width // 4, height // 4), fill=(230, 20, 30))
    return image


def encoded(image: Image.Image, kind: str, **more: object) -> bytes:
    """An image as a file of a kind, by Pillow's name."""
    out = BytesIO()
    if kind == "HEIF":
        pillow_heif.from_pillow(image).save(out, quality=90, **more)
    else:
        image.save(out, kind, **more)
    return out.getvalue()


def turned(image: Image.Image, kind: str, orientation: int) -> bytes:
    """An image as a camera stores it that was held another way."""
    exif = Image.Exif()
    exif[ORIENTATION] = orientation
    data = exif.tobytes() if kind == "HEIF" else exif
    return encoded(image.transpose(TURNED[orientation]), kind, exif=data)


def png(size: tuple[int, int], depth: int, kind: int, row: bytes) -> bytes:
    """A PNG of equal rows, of a depth and a colour type that Pillow does not write."""

    def chunk(name: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

    head = struct.pack(">IIBBBBB", *size, depth, kind, 0, 0, 0)
    pixels = zlib.compress((b"\0" + row) * size[1])
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", pixels) + chunk(b"IEND", b"")


def pictures() -> dict[str, bytes]:
    """All files, by what they are."""
    return dict(
        (*_whole(), *_turned(), *_modes(), *_several(), *_sizes(), *_cut(), *_damaged(), *NO_IMAGES.items())
    )


def _whole() -> Iterator[tuple[str, bytes]]:
    for kind in KINDS:
        yield f"{kind}", encoded(scene(), kind)
    yield "JPEG-progressive", encoded(scene(), "JPEG", progressive=True)
    yield "JPEG-444", encoded(scene(), "JPEG", subsampling=0, quality=98)
    yield "WEBP-lossless", encoded(scene(), "WEBP", lossless=True)
    for compression in ("tiff_lzw", "tiff_adobe_deflate", "packbits", "jpeg"):
        yield f"TIFF-{compression}", encoded(scene(), "TIFF", compression=compression)


def _turned() -> Iterator[tuple[str, bytes]]:
    for kind in WITH_EXIF:
        for orientation in TURNED:
            yield f"{kind}-exif-{orientation}", turned(scene(), kind, orientation)


def _modes() -> Iterator[tuple[str, bytes]]:
    image = scene()
    clear = image.convert("RGBA")
    clear.putalpha(image.convert("L"))
    for kind in ("PNG", "WEBP", "TIFF", "GIF", "AVIF"):
        yield f"{kind}-alpha", encoded(clear, kind)
    for mode in ("1", "L", "P"):
        for kind in ("PNG", "TIFF", "GIF", "BMP"):
            yield f"{kind}-mode-{mode}", encoded(image.convert(mode), kind)
    yield "PNG-LA", encoded(clear.convert("LA"), "PNG")
    yield "PNG-P-transparent", encoded(image.convert("P"), "PNG", transparency=3)
    grey = image.convert("L").convert("I").point(lambda value: value * 257).convert("I;16")
    for kind in ("PNG", "TIFF"):
        yield f"{kind}-16-bits", encoded(grey, kind)
    yield "PNG-rgb-16", png((16, 9), 16, 2, struct.pack(">48H", *[60_000, 5_000, 9_000] * 16))
    yield "PNG-rgba-16", png((16, 9), 16, 6, struct.pack(">64H", *[60_000, 5_000, 9_000, 30_000] * 16))
    for kind in ("JPEG", "TIFF"):
        yield f"{kind}-cmyk", encoded(image.convert("CMYK"), kind)
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    yield "JPEG-srgb", encoded(image, "JPEG", icc_profile=profile)
    yield "JPEG-cmyk-bad-profile", encoded(image.convert("CMYK"), "JPEG", icc_profile=b"no profile")
    yield "TIFF-32-bits", encoded(image.convert("I"), "TIFF")
    yield "TIFF-float", encoded(image.convert("F"), "TIFF")


def _several() -> Iterator[tuple[str, bytes]]:
    other = Image.new("RGB", (200, 150), "blue")
    for kind in ("GIF", "WEBP", "PNG", "AVIF", "TIFF"):
        yield f"{kind}-several", encoded(scene(), kind, save_all=True, append_images=[other])


def _sizes() -> Iterator[tuple[str, bytes]]:
    for size in ((1, 1), (1, 200), (200, 1), (1, 201), (2001, 10), (33, 2000)):
        yield f"PNG-{size[0]}x{size[1]}", encoded(scene(size), "PNG")
    yield "JPEG-12-megapixels", turned(scene((4032, 3024)), "JPEG", 6)
    yield "WEBP-large", encoded(scene((2400, 1800)), "WEBP", quality=50)
    yield "PNG-too-large", encoded(Image.new("1", (17_000, 16_000)), "PNG")


def _cut() -> Iterator[tuple[str, bytes]]:
    for kind in KINDS:
        whole = encoded(scene(), kind)
        for share in (0.1, 0.5, 0.9):
            yield f"{kind}-cut-{share}", whole[: int(len(whole) * share)]
    jpeg = encoded(scene(), "JPEG")
    yield "JPEG-cut-with-end", jpeg[: len(jpeg) // 2] + b"\xff\xd9"
    progressive = encoded(scene(), "JPEG", progressive=True)
    yield "JPEG-progressive-cut", progressive[: len(progressive) // 3]
    gif = encoded(scene(), "GIF", save_all=True, append_images=[Image.new("RGB", (200, 150), "blue")])
    yield "GIF-several-cut", gif[:-300]


def _damaged() -> Iterator[tuple[str, bytes]]:
    for kind in KINDS:
        data = bytearray(encoded(scene(), kind))
        for place in range(len(data) // 2, len(data) // 2 + 20):
            data[place] ^= 0x55
        yield f"{kind}-damaged", bytes(data)
        yield f"{kind}-and-more", encoded(scene(), kind) + b"more" * 50
