from __future__ import annotations

import sys
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from PIL import Image, ImageGrab

from recipes.core.errors import PictureError
from recipes.manifest.load import PROJECT
from recipes.serve.door.image_decode import Detail
from recipes.serve.image_input import read_copied_image, read_image

if TYPE_CHECKING:
    from collections.abc import Callable

PNG = PROJECT / "docs" / "assets" / "shapes.png"


def test_an_image_is_prepared_and_says_what_was_done(tmp_path: Path) -> None:
    path = tmp_path / "a.png"  # the content of a file decides its format
    Image.new("RGB", (3000, 2000), "red").save(path, "WEBP")
    image = read_image(path, Detail.LOW)
    assert image.name == "a.png"
    assert image.notes == ("WebP", "3000x2000 scaled to 627x418")
    with Image.open(BytesIO(image.png)) as shown:
        assert (shown.format, shown.size) == ("PNG", (627, 418))


def test_pixels_of_a_small_image_are_kept() -> None:
    image = read_image(PNG, Detail.HIGH)
    with Image.open(PNG) as given, Image.open(BytesIO(image.png)) as shown:
        assert given.convert("RGB").tobytes() == shown.tobytes()
    assert image.notes == ()


def test_what_is_no_image_is_refused_with_what_it_is(tmp_path: Path) -> None:
    path = tmp_path / "x.jpg"
    path.write_bytes(b"%PDF-1.7")
    with pytest.raises(PictureError) as caught:
        read_image(path, Detail.HIGH)
    assert (caught.value.where, caught.value.exit_code) == (f"--image {path}", 30)
    assert "a PDF" in caught.value.found


def test_a_file_that_is_not_there_is_named_with_where_its_name_starts(tmp_path: Path) -> None:
    with pytest.raises(PictureError) as caught:
        read_image(Path("none.png"), Detail.HIGH)
    assert caught.value.where == "--image none.png"
    assert caught.value.fix.endswith(f" {Path.cwd()}")
    with pytest.raises(PictureError) as caught:
        read_image(tmp_path, Detail.HIGH)
    assert caught.value.found == "a folder"


class Bytes:
    """Standard input with some bytes."""

    def __init__(self, data: bytes, *, is_terminal: bool = False) -> None:
        self.buffer, self._is_terminal = BytesIO(data), is_terminal

    def isatty(self) -> bool:
        return self._is_terminal


def test_standard_input_is_an_image(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", Bytes(PNG.read_bytes()))
    image = read_image(Path("-"), Detail.HIGH)
    assert image.png == read_image(PNG, Detail.HIGH).png


@pytest.mark.parametrize("stdin", [None, Bytes(b"", is_terminal=True)])
def test_a_terminal_is_no_image(monkeypatch: pytest.MonkeyPatch, stdin: Bytes | None) -> None:
    monkeypatch.setattr(sys, "stdin", stdin)
    with pytest.raises(PictureError) as caught:
        read_image(Path("-"), Detail.HIGH)
    assert "<" in caught.value.fix


@pytest.mark.parametrize(
    ("name", "found"),
    [
        ("https://a.example/b.png", "an address"),
        ("data:image/png;base64,xx", "an address"),
        (".", "a folder"),
    ],
)
def test_what_is_no_file_is_called_what_it_is(name: str, found: str) -> None:
    with pytest.raises(PictureError) as caught:
        read_image(Path(name), Detail.HIGH)
    assert caught.value.found == found
    assert "full path" not in caught.value.fix


def test_the_clipboard_has_an_image_or_a_file(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    with Image.open(PNG) as copied:
        copied.load()
        monkeypatch.setattr(ImageGrab, "grabclipboard", lambda: copied)
        assert read_copied_image(Detail.HIGH).png == read_image(PNG, Detail.HIGH).png
    file = tmp_path / "copied.webp"
    Image.new("RGB", (30, 20), "red").save(file, lossless=True)
    monkeypatch.setattr(ImageGrab, "grabclipboard", lambda: [str(file)])
    assert read_copied_image(Detail.HIGH).notes == ("WebP",)


def nothing() -> None:
    return None


def no_program() -> None:
    raise NotImplementedError("wl-paste or xclip is required")


def no_display() -> None:
    raise ChildProcessError("xclip error: Can't open display")


@pytest.mark.parametrize(
    ("grab", "word"), [(nothing, "copied"), (no_program, "xclip"), (no_display, "display")]
)
def test_no_image_on_the_clipboard(
    monkeypatch: pytest.MonkeyPatch, grab: Callable[[], None], word: str
) -> None:
    monkeypatch.setattr(ImageGrab, "grabclipboard", grab)
    with pytest.raises(PictureError) as caught:
        read_copied_image(Detail.HIGH)
    assert word in f"{caught.value.found} {caught.value.fix}"
