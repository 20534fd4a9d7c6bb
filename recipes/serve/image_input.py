"""The images of a question: the file format of each, and whether llama.cpp can read it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from recipes.core.errors import PictureError

if TYPE_CHECKING:
    from collections.abc import Callable

# What llama.cpp reads: it decodes images with stb_image (tools/mtmd/mtmd-helper.cpp).
READ = ("JPEG", "PNG", "GIF", "BMP")
MAYBE = "WebP"  # another server may read it
# How a file of each format starts.
SHOWN_BY: dict[str, Callable[[bytes], bool]] = {
    "JPEG": lambda head: head.startswith(b"\xff\xd8\xff"),
    "PNG": lambda head: head.startswith(b"\x89PNG\r\n\x1a\n"),
    "GIF": lambda head: head.startswith((b"GIF87a", b"GIF89a")),
    "BMP": lambda head: head.startswith(b"BM"),
    MAYBE: lambda head: head.startswith(b"RIFF") and head[8:12] == b"WEBP",
    "HEIC or AVIF": lambda head: head[4:8] == b"ftyp",
    "TIFF": lambda head: head.startswith((b"II*\0", b"MM\0*")),
    "PDF": lambda head: head.startswith(b"%PDF"),
    "SVG": lambda head: b"<svg" in head or head.lstrip().startswith(b"<?xml"),
}
ENDS = {"JPEG": b"\xff\xd9", "PNG": b"IEND"}  # without it the file is truncated
HEAD_BYTES = 1024
MOST_BYTES = 100_000_000  # a server holds it in memory as text, several times
UPRIGHT = 1  # the EXIF orientation of an image that is stored as it is shown
ORIENTATION = 0x0112  # the EXIF tag
EXIF, PIXELS = 0xE1, 0xDA  # markers of a JPEG: APP1, and SOS
LEAST_SEGMENT = 2  # bytes: a segment counts its own length
EXPORT = "open it in any image program and export it as JPEG or PNG"


@dataclass(frozen=True)
class InputImage:
    """An image file: its name, its format (a key of `SHOWN_BY`) and its bytes."""

    name: str
    kind: str
    data: bytes

    @property
    def is_rotated(self) -> bool:
        """Whether its EXIF orientation says that it must be rotated, which llama.cpp does not do."""
        return self.kind == "JPEG" and orientation(self.data) != UPRIGHT


def read_image(path: Path, *, allow_webp: bool = False) -> InputImage:
    """Read an image; a PictureError is raised if it is none, or not one that the server reads.

    WebP is for a server that may read more formats than a pinned one.
    """
    where = f"--image {path}"
    try:
        with path.open("rb") as file:
            data = file.read(MOST_BYTES + 1)
    except OSError as error:
        raise PictureError(
            where=where,
            expected="a readable file",
            found=error.strerror or str(error),
            fix="name a file that this user can read"
            if path.is_absolute()
            else f"give the full path: this one is relative to {Path.cwd()}",
        ) from error
    return InputImage(path.name, check_image(data, where, allow_webp=allow_webp), data)


def check_image(data: bytes, where: str, *, allow_webp: bool = False) -> str:
    """Return the format of an image that llama.cpp reads. Pure. Any other is a PictureError, as in `read_image`."""
    kind = next((kind for kind, is_it in SHOWN_BY.items() if is_it(data[:HEAD_BYTES])), None)
    found = ""
    if not data:
        found = "an empty file"
    elif len(data) > MOST_BYTES:
        found = f"more than {MOST_BYTES // 10**6} MB"
    elif kind is None:
        found = "a file of an unknown format"
    elif kind not in READ and not (allow_webp and kind == MAYBE):
        found = f"{kind}, which llama.cpp cannot read"
    elif ENDS.get(kind, b"") not in data:
        found = f"a truncated {kind}: its end is missing"
    if kind is None or found:
        raise PictureError(
            where=where,
            expected=f"an image as {', '.join(READ[:-1])} or {READ[-1]}",
            found=found,
            fix=EXPORT,
        )
    return kind


def orientation(jpeg: bytes) -> int:
    """Return the EXIF orientation of a JPEG, 1 if it has none. Pure.

    CIPA DC-008 (Exif 2.32): segment APP1, "Exif", then TIFF: byte order, offset of the first directory, entries of 12
    bytes.
    """
    place = 2
    while jpeg[place : place + 1] == b"\xff" and place + 4 <= len(jpeg):
        marker, size = jpeg[place + 1], int.from_bytes(jpeg[place + 2 : place + 4], "big")
        if marker == PIXELS or size < LEAST_SEGMENT:  # the image data starts, or the file is damaged
            break
        body = jpeg[place + 4 : place + 2 + size]
        if marker == EXIF and body.startswith(b"Exif\0\0"):
            return _orientation(body[6:])
        place += 2 + size
    return UPRIGHT


def _orientation(tiff: bytes) -> int:
    if tiff[:4] not in {b"II*\0", b"MM\0*"}:
        return UPRIGHT

    def number(place: int, size: int) -> int:
        return int.from_bytes(tiff[place : place + size], "little" if tiff.startswith(b"II") else "big")

    first = number(4, 4)
    for index in range(min(number(first, 2), len(tiff) // 12)):
        entry = first + 2 + 12 * index
        if number(entry, 2) == ORIENTATION:
            return number(entry + 8, 2)
    return UPRIGHT
