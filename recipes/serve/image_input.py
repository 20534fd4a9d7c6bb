"""The pictures of a question: what kind each is, and whether llama.cpp can read it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from recipes.core.errors import PictureError

if TYPE_CHECKING:
    from collections.abc import Callable

# What llama.cpp reads: it takes pictures apart with stb_image (tools/mtmd/mtmd-helper.cpp).
READ = ("JPEG", "PNG", "GIF", "BMP")
MAYBE = "WebP"  # another server may read it
# How a file of each kind starts.
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
ENDS = {"JPEG": b"\xff\xd9", "PNG": b"IEND"}  # without it the file was cut off
HEAD_BYTES = 1024
MOST_BYTES = 100_000_000  # a server takes it as text, in memory, several times over
UPRIGHT = 1  # the EXIF orientation of a picture that is stored as it is looked at
ORIENTATION = 0x0112  # the tag of it
EXIF, PIXELS = 0xE1, 0xDA  # markers of a JPEG: APP1, and SOS
LEAST_SEGMENT = 2  # bytes: a segment counts its own length


@dataclass(frozen=True)
class Picture:
    """A picture.

    Parameters
    ----------
    name
        For people.
    kind
        A key of `SHOWN_BY`.
    data
        The file's bytes.
    """

    name: str
    kind: str
    data: bytes

    @property
    def is_turned(self) -> bool:
        """Whether it is stored lying on its side, or on its head, with a note that says so."""
        return self.kind == "JPEG" and orientation(self.data) != UPRIGHT


def read_picture(path: Path, *, elsewhere: bool = False) -> Picture:
    """Read a picture.

    Parameters
    ----------
    path
        The file.
    elsewhere
        Whether a server is asked that may read more kinds than a pinned one.

    Raises
    ------
    PictureError
        Where it is none, or none that the server reads.
    """
    where = f"--image {path}"
    try:
        with path.open("rb") as file:
            data = file.read(MOST_BYTES + 1)
    except OSError as error:
        raise PictureError(
            where=where,
            expected="a file that can be read",
            found=error.strerror or str(error),
            fix="name a file that this user can read"
            if path.is_absolute()
            else f"give its full path: this one starts at {Path.cwd()}",
        ) from error
    return Picture(path.name, judge_picture(data, where, elsewhere=elsewhere), data)


def judge_picture(data: bytes, where: str, *, elsewhere: bool = False) -> str:
    """Give the kind of a picture. Pure.

    Raises
    ------
    PictureError
        As `read_picture`.
    """
    kind = next((kind for kind, is_it in SHOWN_BY.items() if is_it(data[:HEAD_BYTES])), None)
    found = ""
    if not data:
        found = "an empty file"
    elif len(data) > MOST_BYTES:
        found = f"more than {MOST_BYTES // 10**6} MB"
    elif kind is None:
        found = "no picture: it starts as none does"
    elif kind not in READ and not (elsewhere and kind == MAYBE):
        found = f"{kind}, which llama.cpp cannot read"
    elif ENDS.get(kind, b"") not in data:
        found = f"the start of a {kind}: its end is missing"
    if kind is None or found:
        raise PictureError(
            where=where,
            expected=f"a picture as {', '.join(READ[:-1])} or {READ[-1]}",
            found=found,
            fix="open it in any program for pictures and export it as JPEG or PNG",
        )
    return kind


def orientation(jpeg: bytes) -> int:
    """Give the EXIF orientation of a JPEG, 1 where it has none. Pure.

    CIPA DC-008 (Exif 2.32): segment APP1, "Exif", then TIFF: byte order, offset of the first directory, entries of 12
    bytes.
    """
    place = 2
    while jpeg[place : place + 1] == b"\xff" and place + 4 <= len(jpeg):
        marker, size = jpeg[place + 1], int.from_bytes(jpeg[place + 2 : place + 4], "big")
        if marker == PIXELS or size < LEAST_SEGMENT:  # nothing more, or it is damaged
            break
        body = jpeg[place + 4 : place + 2 + size]
        if marker == EXIF and body.startswith(b"Exif\0\0"):
            return _orientation(body[6:])
        place += 2 + size
    return UPRIGHT


def _orientation(tiff: bytes) -> int:
    orders = {b"II*\0": "little", b"MM\0*": "big"}
    order = orders.get(tiff[:4])
    if order is None:
        return UPRIGHT

    def number(place: int, size: int) -> int:
        return int.from_bytes(tiff[place : place + size], "little" if order == "little" else "big")

    first = number(4, 4)
    for index in range(min(number(first, 2), len(tiff) // 12)):
        entry = first + 2 + 12 * index
        if number(entry, 2) == ORIENTATION:
            return number(entry + 8, 2)
    return UPRIGHT
