"""The images of a question: read from their files, and prepared as the door prepares those of other clients."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from recipes.core.errors import PictureError
from recipes.serve.door.image_decode import EXPORT, MOST_BYTES, READ, ImageError, prepare_image

if TYPE_CHECKING:
    from recipes.serve.door.image_decode import Detail


@dataclass(frozen=True)
class InputImage:
    """An image for the model: its name, a PNG with its pixels, and what was done to get them."""

    name: str
    png: bytes
    notes: tuple[str, ...] = ()


def read_image(path: Path, detail: Detail) -> InputImage:
    """Read an image; a PictureError is raised if it is none, or none that can be read."""
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
    try:
        prepared = prepare_image(data, detail)
    except ImageError as error:
        raise PictureError(
            where=where, expected=f"an image as {READ}", found=str(error), fix=EXPORT
        ) from error
    return InputImage(path.name, prepared.png, prepared.notes)
