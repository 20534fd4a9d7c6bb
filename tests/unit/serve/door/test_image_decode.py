"""What becomes of image files of every kind: made here by code, read, turned, put on white, scaled or refused."""

from __future__ import annotations

import struct
import zlib
from io import BytesIO
from typing import Any

import pillow_heif
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image, ImageCms

from recipes.serve.door.image_decode import (
    ANOTHER,
    AS_VIDEO,
    CROPPED,
    EXPORT,
    MOST_ASPECT,
    SMALLER,
    WHOLE,
    Detail,
    ImageError,
    PreparedImage,
    demand_size,
    prepare_image,
    scaled,
)
from recipes.serve.door.jpeg_end import end_of_picture

RED, GREEN, BLUE = (230, 20, 30), (20, 200, 40), (10, 30, 220)
EIGHTHS = range(1, 9)
LOSSY = 24  # how far off a colour of JPEG, AVIF or HEIC may be


def corners(size: tuple[int, int] = (64, 48)) -> Image.Image:
    """Red at the upper left, green at the upper right, blue below."""
    image = Image.new("RGB", size, BLUE)
    width, height = size
    image.paste(RED, (0, 0, width // 2, height // 2))
    image.paste(GREEN, (width // 2, 0, width, height // 2))
    return image


def coded(image: Image.Image, kind: str, **more: object) -> bytes:
    out = BytesIO()
    if kind == "HEIF":
        pillow_heif.from_pillow(image).save(out, quality=90, **more)
    else:
        image.save(out, kind, **more)
    return out.getvalue()


def noise(side: int = 256) -> Image.Image:
    return Image.merge("RGB", [Image.effect_noise((side, side), 90 + band) for band in range(3)])


def pixels(prepared: PreparedImage) -> Image.Image:
    with Image.open(BytesIO(prepared.png)) as image:
        assert (image.format, image.mode) == ("PNG", "RGB")
        assert image.size == (prepared.width, prepared.height)
        return image.convert("RGB")


def assert_corners(image: Image.Image, most: int = LOSSY) -> None:
    width, height = image.size
    places = ((width // 4, height // 4), (3 * width // 4, height // 4), (width // 2, 3 * height // 4))
    for place, colour in zip(places, (RED, GREEN, BLUE), strict=True):
        found = image.getpixel(place)
        assert isinstance(found, tuple)
        assert all(abs(a - b) <= most for a, b in zip(found, colour, strict=True)), (place, found)


@pytest.mark.parametrize("kind", ["PNG", "BMP", "TIFF"])
def test_pixels_of_lossless_files_are_kept(kind: str) -> None:
    image = noise()
    assert pixels(prepare_image(coded(image, kind))).tobytes() == image.tobytes()


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF", "AVIF", "HEIF"])
def test_every_format_is_read(kind: str) -> None:
    prepared = prepare_image(coded(corners(), kind))
    assert_corners(pixels(prepared))
    names = {"WEBP": "WebP", "HEIF": "HEIC"}
    assert (names.get(kind, kind) in prepared.notes) is (kind not in {"JPEG", "PNG"})


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "TIFF", "AVIF"])
@pytest.mark.parametrize("number", EIGHTHS)
def test_it_is_upright_by_exif_whatever_the_format(kind: str, number: int) -> None:
    stored = {
        1: [],
        2: [Image.Transpose.FLIP_LEFT_RIGHT],
        3: [Image.Transpose.ROTATE_180],
        4: [Image.Transpose.FLIP_TOP_BOTTOM],
        5: [Image.Transpose.TRANSPOSE],
        6: [Image.Transpose.ROTATE_90],
        7: [Image.Transpose.TRANSVERSE],
        8: [Image.Transpose.ROTATE_270],
    }[number]
    image = corners()
    for way in stored:
        image = image.transpose(way)
    exif = Image.Exif()
    exif[0x0112] = number
    prepared = prepare_image(coded(image, kind, exif=exif))
    assert (prepared.width, prepared.height) == (64, 48)
    assert_corners(pixels(prepared))
    assert (f"turned upright (EXIF {number})" in prepared.notes) is (number != 1)


def test_what_is_transparent_is_put_on_white() -> None:
    image = noise(64).convert("RGBA")
    image.putalpha(0)
    image.paste((0, 0, 0, 255), (0, 0, 32, 64))
    for data in (coded(image, "PNG"), coded(image, "WEBP", lossless=True), coded(image, "TIFF")):
        prepared = prepare_image(data)
        shown = pixels(prepared)
        assert (shown.getpixel((10, 10)), shown.getpixel((50, 10))) == ((0, 0, 0), (255, 255, 255))
        assert "transparent: put on white" in prepared.notes
    palette = Image.new("P", (8, 8), 1)
    palette.putpalette([0, 0, 0, 200, 0, 0])
    assert pixels(prepare_image(coded(palette, "PNG", transparency=1))).getpixel((1, 1)) == (255, 255, 255)
    opaque = noise(64).convert("RGBA")
    assert prepare_image(coded(opaque, "PNG")).notes == ()


def test_sixteen_bits_keep_the_upper_eight() -> None:
    image = Image.new("I;16", (256, 1))
    image.putdata([value * 257 for value in range(256)])
    image = image.resize((256, 8), Image.Resampling.NEAREST)
    for kind in ("PNG", "TIFF"):
        shown = pixels(prepare_image(coded(image, kind)))
        assert [shown.getpixel((x, 0)) for x in range(256)] == [(x, x, x) for x in range(256)]


def test_cmyk_goes_by_its_profile() -> None:
    image = Image.new("CMYK", (32, 32), (0, 255, 255, 0))
    without = prepare_image(coded(image, "JPEG", quality=95))
    assert without.notes == ("CMYK without a profile: its colours are approximate",)
    red = pixels(without).getpixel((5, 5))
    assert isinstance(red, tuple)
    assert red[0] > 200
    assert max(red[1:]) < 60
    bad = prepare_image(coded(image, "JPEG", icc_profile=b"no profile at all"))
    assert "damaged profile" in bad.notes[0]


def test_lab_goes_by_its_profile() -> None:
    to_lab = ImageCms.buildTransform(
        ImageCms.createProfile("sRGB"), ImageCms.createProfile("LAB"), "RGB", "LAB"
    )
    lab = ImageCms.applyTransform(corners(), to_lab)
    assert lab is not None
    assert_corners(pixels(prepare_image(coded(lab, "TIFF"))))


@pytest.mark.parametrize("kind", ["GIF", "WEBP", "TIFF", "PNG"])
def test_the_first_of_several_frames_is_taken_and_said(kind: str) -> None:
    data = coded(corners(), kind, save_all=True, append_images=[Image.new("RGB", (64, 48), "white")])
    prepared = prepare_image(data)
    assert_corners(pixels(prepared))
    assert any("the first one" in note for note in prepared.notes)


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF", "AVIF", "HEIF"])
@pytest.mark.parametrize("part", [0.1, 0.5, 0.9])
def test_a_cut_file_is_refused(kind: str, part: float) -> None:
    data = coded(noise(), kind)
    with pytest.raises(ImageError):
        prepare_image(data[: int(len(data) * part)])


@pytest.mark.parametrize("options", [{}, {"progressive": True}, {"restart_marker_rows": 1}, {"quality": 30}])
@pytest.mark.parametrize("part", [0.3, 0.6, 0.9, 0.97])
def test_a_cut_jpeg_with_an_end_put_to_it_is_refused_and_the_whole_one_read(
    options: dict[str, Any], part: float
) -> None:
    exif = Image.Exif()
    exif[0x010E] = "a picture within: \xff\xd9"
    data = coded(noise(), "JPEG", exif=exif, **options)
    assert prepare_image(data).width == 256
    assert prepare_image(data + b"more bytes, as of a video" * 40).width == 256
    for end in (b"\xff\xd9", b"", b"\0\xff\xd9" + data[-500:]):
        with pytest.raises(ImageError) as caught:
            prepare_image(data[: int(len(data) * part)] + end)
        assert "JPEG" in str(caught.value)


def test_the_end_mark_of_a_thumbnail_is_not_the_picture_s() -> None:
    thumbnail = b"\xff\xe1\x00\x08\xff\xd9\xff\xd9ab"
    data = coded(corners(), "JPEG")
    whole = data[:2] + thumbnail + data[2:]
    assert end_of_picture(whole) == len(whole) - 2
    assert end_of_picture(whole[:-2]) is None
    assert end_of_picture(b"\xff\xd8" + thumbnail) is None


def bomb(width: int, height: int) -> list[bytes]:
    """Small files that state a large size."""
    head = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    png = b"\x89PNG\r\n\x1a\n"
    for name, data in ((b"IHDR", head), (b"IDAT", zlib.compress(bytes(1000))), (b"IEND", b"")):
        png += struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))
    gif = b"GIF89a" + struct.pack("<HH", width, height) + b"\x80\0\0\0\0\0\xff\xff\xff,\0\0\0\0"
    gif += struct.pack("<HH", width, height) + b"\0\x02\x02\x44\x01\0;"
    bmp = struct.pack("<2sIHHI", b"BM", 118, 0, 0, 54)
    bmp += struct.pack("<IiiHHIIiiII", 40, width, height, 1, 24, 0, 0, 0, 0, 0, 0) + bytes(64)
    webp = coded(corners(), "WEBP", lossless=True)
    tiff = coded(corners(), "TIFF").replace(struct.pack("<HHII", 256, 4, 1, 64), b"", 0)
    return [png, gif, bmp, webp[:8] + webp[8:21] + b"\xff" * 4 + webp[25:], tiff[: len(tiff) // 3]]


@pytest.mark.parametrize("place", range(5))
def test_the_size_that_a_header_states_is_judged_before_anything_is_decoded(
    place: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Image.Image, "new", lambda *_: pytest.fail("pixels were asked for"), raising=False)
    with pytest.raises(ImageError):
        prepare_image(bomb(20_000, 20_000)[place])


@pytest.mark.parametrize("size", [(2010, 10), (10, 2010), (3, 3000)])
def test_sides_that_no_model_takes_are_refused_by_that_name(size: tuple[int, int]) -> None:
    with pytest.raises(ImageError) as caught:
        prepare_image(coded(Image.new("RGB", size), "PNG"))
    assert f"{MOST_ASPECT} times" in str(caught.value)
    demand_size(2000, 10)


@pytest.mark.parametrize(
    ("data", "found"),
    [
        (b"", "empty"),
        (b"hello", "unknown"),
        (b"%PDF-1.7", "a PDF"),
        (b"<svg xmlns='x'/>", "an SVG"),
        (b"\n<!DOCTYPE html><html>", "a web page"),
        (b"GGUF\3\0\0\0", "a model"),
        (b"8BPS", "Photoshop"),
        (coded(Image.new("F", (64, 64)), "TIFF"), "32 bits"),
        (coded(Image.new("I", (64, 64)), "TIFF"), "32 bits"),
    ],
)
def test_what_is_no_image_is_named(data: bytes, found: str) -> None:
    with pytest.raises(ImageError) as caught:
        prepare_image(data)
    assert found in str(caught.value)


@pytest.mark.parametrize(
    ("data", "fix"),
    [
        (b"", ANOTHER),
        (b"GGUF\3\0\0\0", ANOTHER),
        (b"%PDF-1.7", EXPORT),
        (coded(Image.new("F", (64, 64)), "TIFF"), EXPORT),
        (b"\0\0\0\x18ftypisom\0\0\0\0", AS_VIDEO),
        (coded(corners(), "HEIF")[:30], WHOLE),
        (coded(corners(), "HEIF")[:-40], WHOLE),
        (coded(corners(), "PNG")[:-60], WHOLE),
        (coded(corners((640, 480)), "JPEG")[:-600], WHOLE),
        (coded(Image.new("RGB", (2010, 10)), "PNG"), CROPPED),
        (bomb(20_000, 20_000)[0], SMALLER),
    ],
)
def test_what_helps_is_of_the_fault(data: bytes, fix: str) -> None:
    with pytest.raises(ImageError) as caught:
        prepare_image(data)
    assert caught.value.fix == fix, caught.value


def test_a_telephone_s_photo_is_scaled_as_it_is_asked_for() -> None:
    data = coded(corners((4032, 3024)), "JPEG")
    for detail, size in (
        (Detail.LOW, (591, 443)),
        (Detail.HIGH, (1182, 886)),
        (Detail.ORIGINAL, (4032, 3024)),
    ):
        prepared = prepare_image(data, detail)
        assert (prepared.width, prepared.height) == size
        assert_corners(pixels(prepared))


@given(st.integers(1, 20_000), st.integers(1, 20_000), st.sampled_from(Detail))
def test_a_scaled_size_keeps_its_shape_and_the_limit(width: int, height: int, detail: Detail) -> None:
    new = scaled(width, height, detail.pixels)
    if width * height <= detail.pixels:
        assert new == (width, height)
    else:
        assert 0 < new[0] * new[1] <= max(detail.pixels, *new)
        assert abs(new[0] * height - new[1] * width) <= 2 * max(width, height)


@given(st.data())
def test_damaged_files_are_read_or_refused(data: st.DataObject) -> None:
    kind = data.draw(st.sampled_from(["JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF", "AVIF", "HEIF"]))
    file = bytearray(coded(corners(), kind))
    for _ in range(data.draw(st.integers(1, 4))):
        file[data.draw(st.integers(0, len(file) - 1))] = data.draw(st.integers(0, 255))
    try:
        prepared = prepare_image(bytes(file))
    except ImageError:
        return
    assert prepared.width * prepared.height <= Detail.HIGH.pixels


def test_an_image_that_was_prepared_is_not_changed_again() -> None:
    once = prepare_image(coded(noise(2000), "PNG"))
    again = prepare_image(once.png)
    assert (again.png, again.notes) == (once.png, ())
