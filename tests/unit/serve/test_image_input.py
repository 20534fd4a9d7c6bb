from __future__ import annotations

import struct
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from recipes.core.errors import PictureError
from recipes.manifest.load import PROJECT
from recipes.serve.image_input import MOST_BYTES, InputImage, check_image, orientation, read_image

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
    assert check_image(data, "here") == kind


@pytest.mark.parametrize(
    ("data", "found"),
    [
        (b"", "empty"),
        (b"hello", "unknown"),
        (PNG[:-12], "truncated PNG"),
        (JPEG[:-2], "truncated JPEG"),
        (b"RIFF....WEBPVP8 ", "WebP"),
        (b"\0\0\0\x18ftypheic", "HEIC or AVIF"),
        (b"II*\0....", "TIFF"),
        (b"%PDF-1.7", "PDF"),
        (b"<svg xmlns=", "SVG"),
        (b"BM" + bytes(MOST_BYTES), "more than 100 MB"),
    ],
)
def test_what_it_does_not_read_is_refused(data: bytes, found: str) -> None:
    with pytest.raises(PictureError) as caught:
        check_image(data, "--image x")
    assert (caught.value.where, caught.value.exit_code) == ("--image x", 30)
    assert found in caught.value.found


def test_another_server_may_read_webp() -> None:
    assert check_image(b"RIFF....WEBPVP8 ", "here", allow_webp=True) == "WebP"
    with pytest.raises(PictureError):
        check_image(b"%PDF", "here", allow_webp=True)


def test_a_file_that_is_not_there_is_named_with_where_its_name_starts(tmp_path: Path) -> None:
    with pytest.raises(PictureError) as caught:
        read_image(Path("none.png"))
    assert caught.value.where == "--image none.png"
    assert caught.value.fix.endswith(f" {Path.cwd()}")
    with pytest.raises(PictureError) as caught:
        read_image(tmp_path)
    assert caught.value.found == "Is a directory"


def test_the_content_of_a_file_decides_its_format(tmp_path: Path) -> None:
    path = tmp_path / "a.jpg"
    path.write_bytes(PNG)
    assert read_image(path) == InputImage("a.jpg", "PNG", PNG)


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("number", [1, 3, 6, 8])
def test_the_orientation_of_a_jpeg_is_read(order: str, number: int) -> None:
    jfif = b"\xff\xe0\0\x04xx"
    assert orientation(exif(number, order, jfif)) == number
    assert InputImage("x", "JPEG", exif(number, order)).is_rotated is (number != 1)
    assert not InputImage("x", "PNG", exif(number, order)).is_rotated


@given(st.binary(max_size=60), st.integers(0, 60))
def test_whatever_a_jpeg_holds_is_an_orientation(noise: bytes, place: int) -> None:
    data = exif(6)
    assert isinstance(orientation(data[:place] + noise), int)
    assert isinstance(orientation(data[:place] + noise + data[place:]), int)
