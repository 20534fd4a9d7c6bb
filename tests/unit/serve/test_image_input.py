from __future__ import annotations

from io import BytesIO
from pathlib import Path

import pytest
from PIL import Image

from recipes.core.errors import PictureError
from recipes.manifest.load import PROJECT
from recipes.serve.door.image_decode import Detail
from recipes.serve.image_input import read_image

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
    assert caught.value.found == "Is a directory"
