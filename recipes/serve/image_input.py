"""The images of a question: read from where they are, and prepared as the door prepares those of other clients."""

from __future__ import annotations

import base64
import re
import shlex
import struct
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from recipes.core.errors import PictureError
from recipes.evalset.image_sizes import CELL_PX
from recipes.serve.clipboard import ClipboardError, read_clipboard
from recipes.serve.door.image_decode import MOST_BYTES, READ, ImageError, prepare_image

if TYPE_CHECKING:
    from recipes.serve.door.image_decode import Detail

STANDARD_INPUT = "-"
# A path loses one of two slashes: so `https:/` is an address too.
ADDRESS = re.compile(r"(?i)(https?|ftp|data|file):")


@dataclass(frozen=True)
class InputImage:
    """An image for the model: its name, a PNG with its pixels, and what was done to get them."""

    name: str
    png: bytes
    notes: tuple[str, ...] = ()

    @property
    def tokens(self) -> int:
        """About how many tokens it takes."""
        width, height = struct.unpack(">II", self.png[16:24])  # of its first chunk
        return int(width) * int(height) // CELL_PX**2

    def part(self, detail: Detail) -> dict[str, Any]:
        """Return it as a part of a message."""
        url = f"data:image/png;base64,{base64.b64encode(self.png).decode('ascii')}"
        return {"type": "image_url", "image_url": {"url": url, "detail": detail.value}}


def read_image(path: Path, detail: Detail) -> InputImage:
    """Read an image from a file, or from standard input where it is called `-`.

    A PictureError is raised if it is none, or none that can be read.
    """
    where = f"--image {path}"
    if str(path) == STANDARD_INPUT:
        return _prepared("standard input", _standard_input(where), detail, where)
    try:
        with path.open("rb") as file:
            data = file.read(MOST_BYTES + 1)
    except OSError as error:
        raise unreadable(path, where, error, "--image") from error
    return _prepared(path.name, data, detail, where)


def read_copied_image(detail: Detail) -> InputImage:
    """Read the image on the clipboard; a PictureError is raised if there is none, or no clipboard."""
    where = "--clipboard"
    try:
        data = read_clipboard()
    except ClipboardError as error:
        raise PictureError(
            where=where, expected="an image that was copied", found=str(error), fix=error.fix
        ) from error
    return _prepared("clipboard", data, detail, where)


def _standard_input(where: str) -> bytes:
    if sys.stdin is None or sys.stdin.isatty():
        raise PictureError(
            where=where,
            expected="an image on standard input",
            found="a terminal" if sys.stdin else "it is closed",
            fix="direct a file there: ... --image - < photo.heic",
        )
    return sys.stdin.buffer.read(MOST_BYTES + 1)


def _prepared(name: str, data: bytes, detail: Detail, where: str) -> InputImage:
    try:
        prepared = prepare_image(data, detail)
    except ImageError as error:
        expected, found = f"an image as {READ}", str(error)
        raise PictureError(where=where, expected=expected, found=found, fix=error.fix) from error
    return InputImage(name, prepared.png, prepared.notes)


def unreadable(path: Path, where: str, error: OSError, option: str) -> PictureError:
    """Return the error for a file that cannot be opened, named after an option. Pure."""
    found, expected = error.strerror or str(error), "a readable file"
    if ADDRESS.match(str(path)):
        found, expected = "an address", "a file on this machine"
        fix = f"download it: curl -fL ADDRESS | python3 noxfile.py -s ask -- {option} - QUESTION"
    elif path.is_dir():
        found, fix = "a folder", f"name the files in it: {option} {shlex.quote(str(path))}/*"
    elif isinstance(error, FileNotFoundError):
        fix = "name a file that exists"
        if not path.is_absolute():
            fix = f"give the full path: this one is relative to {Path.cwd()}"
    else:
        fix = "name a file that this user can read"
    return PictureError(where=where, expected=expected, found=found, fix=fix)
