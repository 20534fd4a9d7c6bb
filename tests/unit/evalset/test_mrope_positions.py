"""Positions of words, images and pairs of frames are those that the reference computed."""

from __future__ import annotations

import io
import struct
import zipfile
from itertools import groupby
from typing import TYPE_CHECKING

import pytest

from recipes.evalset.mrope_positions import positions
from recipes.manifest.load import PROJECT

if TYPE_CHECKING:
    from recipes.evalset.mrope_positions import Grid, Place

KEPT = PROJECT / "tests" / "data" / "pocket" / "vision.npz"
NAMES = ("where, wide", "two images of other sizes", "three turns about an image", "text, then an image")


def kept(name: str) -> list[Place]:
    """Positions as transformers' get_rope_index gave them: an array of 3 rows of 32-bit integers."""
    with zipfile.ZipFile(KEPT) as archive:
        data = io.BytesIO(archive.read(f"positions/{name}.npy"))
    assert data.read(8) == b"\x93NUMPY\1\0"
    head = data.read(*struct.unpack("<H", data.read(2))).decode()
    assert "'<i4'" in head
    numbers = struct.unpack(f"<{len(data.getvalue()[data.tell() :]) // 4}i", data.read())
    count = len(numbers) // 3
    return list(zip(*(numbers[at : at + count] for at in range(0, 3 * count, count)), strict=True))


def pieces_of(places: list[Place]) -> list[int | Grid]:
    """What the prompt was made of: where t stands still there is an image, else a word."""
    found: list[int | Grid] = []
    for _, run in groupby(places, key=lambda place: place[0]):
        members = list(run)
        rows, columns = (len({place[axis] for place in members}) for axis in (1, 2))
        found.append(1 if len(members) == 1 else (rows, columns))
    return found


@pytest.mark.parametrize("name", NAMES)
def test_images_and_words_are_placed_as_the_reference_places_them(name: str) -> None:
    places = kept(name)
    pieces = pieces_of(places)
    assert any(isinstance(piece, tuple) for piece in pieces)
    assert list(positions(pieces)) == places


def test_an_image_is_the_clip_of_one_pair() -> None:
    first = list(positions((2, (4, 6), 1)))
    clip = list(positions((2, (4, 6), 1, 1, (4, 6), 1)))
    assert clip[: len(first)] == first
    apart = clip[len(first) + 1][0] - first[2][0]
    assert clip[len(first) + 1 :] == [(t + apart, h + apart, w + apart) for t, h, w in first[2:]]


def test_a_clip_as_its_definition_places_it() -> None:
    # two stamps of two tokens, pairs of 2 by 3, one word after them
    assert [place[0] for place in positions((2, (2, 3), 2, (2, 3), 1))] == [
        0,
        1,
        *[2] * 6,
        5,
        6,
        *[7] * 6,
        10,
    ]
    assert list(positions((2, (3, 2), 1)))[-1] == (5, 5, 5)
