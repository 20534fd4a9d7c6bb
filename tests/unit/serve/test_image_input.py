from __future__ import annotations

import re
import struct
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from recipes.core.errors import PictureError
from recipes.manifest.load import PROJECT
from recipes.serve.image_input import MOST_BYTES, Picture, judge_picture, orientation, read_picture

FIX = "open it in any program for pictures and export it as JPEG or PNG"
PNG = (PROJECT / "docs" / "assets" / "shapes.png").read_bytes()
JPEG = b"\xff\xd8\xff\xe0\0\x04xx\xff\xda\0\x02...\xff\xd9"


def exif(number: int, order: str = "<", padding: bytes = b"") -> bytes:
    start = {"<": b"II*\0", ">": b"MM\0*"}[order]
    entries = struct.pack(f"{order}HHIHH", 0x0110, 2, 1, 0, 0) + struct.pack(
        f"{order}HHIHH", 0x0112, 3, 1, number, 0
    )
    body = b"Exif\0\0" + start + struct.pack(f"{order}IH", 8, 2) + entries
    return (
        b"\xff\xd8"
        + padding
        + b"\xff\xe1"
        + struct.pack(">H", len(body) + 2)
        + body
        + b"\xff\xda\0\x02\xff\xd9"
    )


@pytest.mark.parametrize(
    ("data", "kind"), [(PNG, "PNG"), (JPEG, "JPEG"), (b"GIF89a...", "GIF"), (b"BM....", "BMP")]
)
def test_what_llama_cpp_reads_is_let_through(data: bytes, kind: str) -> None:
    assert judge_picture(data, "here") == kind


@pytest.mark.parametrize(
    ("data", "found"),
    [
        (b"", "an empty file"),
        (b"hello", "no picture: it starts as none does"),
        (PNG[:-12], "the start of a PNG: its end is missing"),
        (JPEG[:-2], "the start of a JPEG: its end is missing"),
        (b"RIFF....WEBPVP8 ", "WebP, which llama.cpp cannot read"),
        (b"\0\0\0\x18ftypheic", "HEIC or AVIF, which llama.cpp cannot read"),
        (b"II*\0....", "TIFF, which llama.cpp cannot read"),
        (b"%PDF-1.7", "PDF, which llama.cpp cannot read"),
        (b"<svg xmlns=", "SVG, which llama.cpp cannot read"),
        (b"BM" + bytes(MOST_BYTES), "more than 100 MB"),
    ],
)
def test_what_it_does_not_read_is_refused(data: bytes, found: str) -> None:
    with pytest.raises(PictureError) as error:
        judge_picture(data, "--image x")
    assert str(error.value) == (
        "error: the image cannot be read\n"
        "  where:    --image x\n"
        "  expected: a picture as JPEG, PNG, GIF or BMP\n"
        f"  found:    {found}\n"
        f"  fix:      {FIX}"
    )


def test_another_server_may_read_webp() -> None:
    assert judge_picture(b"RIFF....WEBPVP8 ", "here", elsewhere=True) == "WebP"
    with pytest.raises(PictureError):
        judge_picture(b"%PDF", "here", elsewhere=True)


def test_a_file_that_is_not_there_is_named_with_where_its_name_starts(tmp_path: Path) -> None:
    with pytest.raises(PictureError) as error:
        read_picture(Path("none.png"))
    assert str(error.value) == (
        "error: the image cannot be read\n"
        "  where:    --image none.png\n"
        "  expected: a file that can be read\n"
        "  found:    No such file or directory\n"
        f"  fix:      give its full path: this one starts at {Path.cwd()}"
    )
    with pytest.raises(PictureError, match=re.escape("found:    Is a directory\n  fix:      name a file")):
        read_picture(tmp_path)


def test_a_file_is_read_with_its_name(tmp_path: Path) -> None:
    path = tmp_path / "a.jpg"
    path.write_bytes(PNG)
    assert read_picture(path) == Picture("a.jpg", "PNG", PNG)  # what it is tells, not what it is called


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("number", [1, 3, 6, 8])
def test_a_jpeg_that_is_stored_turned_is_seen(order: str, number: int) -> None:
    jfif = b"\xff\xe0\0\x04xx"
    assert orientation(exif(number, order, jfif)) == number
    assert Picture("x", "JPEG", exif(number, order)).is_turned is (number != 1)
    assert not Picture("x", "PNG", exif(number, order)).is_turned


@given(st.binary(max_size=60), st.integers(0, 60))
def test_whatever_a_jpeg_holds_is_an_orientation(noise: bytes, place: int) -> None:
    data = exif(6)
    assert isinstance(orientation(data[:place] + noise), int)
    assert isinstance(orientation(data[:place] + noise + data[place:]), int)
