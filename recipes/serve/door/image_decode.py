"""Turns an image file into the pixels that the model gets, as a PNG: one way for the page, the API and `ask`.

The size that the file's header states is judged before anything is decoded. Then: upright by EXIF, alpha over white,
the first frame, 8 bits, CMYK by its profile, and no more pixels than asked for.
"""

from __future__ import annotations

import math
import warnings
from dataclasses import dataclass
from enum import Enum
from io import BytesIO
from typing import TYPE_CHECKING, Any

from recipes.serve.door.jpeg_end import is_whole

if TYPE_CHECKING:
    from PIL import Image

MEGA = 1_000_000
MOST_BYTES = 64 * MEGA  # of a file
MOST_PIXELS = 64 * MEGA  # decoded: a telephone's 48 megapixels, in 256 MB at most
MOST_STATED = 256 * MEGA  # in a header: a JPEG is decoded at a half, a quarter or an eighth
ORIENTATION = 0x0112
MOST_ASPECT = 200  # the longer side of one of upstream's image readers to the shorter
ENCODED_AS = "PNG"
FORMATS = ("JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF", "AVIF", "HEIF")  # JPEG opens MPO too
READ = "JPEG, PNG, WebP, GIF, BMP, TIFF, HEIC or AVIF"
TITLES = {"WEBP": "WebP", "HEIF": "HEIC", "MPO": "JPEG"}
ISO_BRANDS = {b"heic", b"heix", b"mif1", b"msf1", b"avif", b"avis"}  # of HEIC and AVIF; others are videos
A_VIDEO, DAMAGED_ISO = "a video", "a damaged or truncated HEIC or AVIF"
OTHERS = {
    b"%PDF": "a PDF",
    b"<svg": "an SVG",
    b"<?xml": "an SVG or other XML",
    b"<!do": "a web page",
    b"<html": "a web page",
    b"8BPS": "a Photoshop file",
    b"GGUF": "a model",
    b"\x1aE\xdf\xa3": A_VIDEO,
    b"\0\0\0\x0cjXL": "JPEG XL",
    b"\xff\x0a": "JPEG XL",
}
EXPORT = "open it in any image program and export it as JPEG or PNG"
# what helps with an image that cannot be read
ANOTHER = "name another file: there is no picture in this one"
WHOLE = "copy or download it again; or " + EXPORT
SMALLER = "make it smaller in any image program, and export it as JPEG or PNG"
CROPPED = "crop it in any image program, and export it as JPEG or PNG"
AS_VIDEO = "name it after --video"
FIXES = {
    A_VIDEO: AS_VIDEO,
    DAMAGED_ISO: WHOLE,
    "a web page": ANOTHER,
    "a model": ANOTHER,
}  # others are exported


class Detail(Enum):
    """How many pixels of an image the model gets at most; with Qwen's models 1,024 pixels are a token."""

    LOW = "low"
    HIGH = "high"
    ORIGINAL = "original"

    @property
    def pixels(self) -> int:
        """The most pixels; `original` leaves it to the model, and no model here takes more."""
        return {Detail.LOW: 512 * 512, Detail.HIGH: 1024 * 1024}.get(self, 4096 * 4096)


class ImageError(Exception):
    """No image that can be read; the text says what it is or lacks, `fix` what helps."""

    def __init__(self, why: str, fix: str = EXPORT) -> None:
        super().__init__(why)
        self.fix = fix


@dataclass(frozen=True)
class PreparedImage:
    """A PNG of 8-bit RGB, its size, and what was done to get there, each in a few words."""

    png: bytes
    width: int
    height: int
    notes: tuple[str, ...] = ()


def prepare_image(data: bytes, detail: Detail = Detail.HIGH) -> PreparedImage:
    """Return the pixels of an image file for the model. An ImageError is raised if it has none that can be read."""
    if not data:
        raise ImageError("an empty file", ANOTHER)
    if len(data) > MOST_BYTES:
        raise ImageError(f"more than {MOST_BYTES // MEGA} MB", SMALLER)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            return _prepare(data, detail)
        except ImageError:
            raise
        except MemoryError as error:
            raise ImageError("it needs too much memory", SMALLER) from error
        except Exception as error:  # whatever a decoder raises over a file that is damaged
            kind = _format(data)
            raise ImageError(f"a damaged or truncated {kind}: {_first_line(error)}", WHOLE) from error


def _prepare(data: bytes, detail: Detail) -> PreparedImage:
    image = _open(data)
    kind = TITLES.get(image.format or "", image.format or "")
    stated, notes = image.size, [kind] if kind not in {"JPEG", "PNG"} else []
    demand_size(*stated)
    if kind == "JPEG":
        if not is_whole(data, _small_pixels):
            raise ImageError("a truncated JPEG: its end is missing", WHOLE)
        wanted = math.sqrt(detail.pixels / (stated[0] * stated[1]))
        image.draft(None, (math.ceil(stated[0] * wanted), math.ceil(stated[1] * wanted)))
    decoded = stated if image.info.get("progressive") else image.size  # its decoder holds all of it
    if decoded[0] * decoded[1] > MOST_PIXELS:
        raise ImageError(_too_large(*stated), SMALLER)
    if getattr(image, "n_frames", 1) > 1 and kind not in {"JPEG", "HEIC"}:
        notes.append("animated, or of several pages: the first one")
        image.seek(0)
    stored = _orientation(image, kind)
    image.load()
    turned = _orientation(image, kind)  # Pillow turns a TIFF when it loads it
    colours, said = to_rgb(image)
    notes += said
    size = scaled(*colours.size, detail.pixels)
    if size != colours.size:
        colours = _resized(colours, size)
    if turned in range(2, 9):
        colours = _upright(colours, turned)
    if stored in range(2, 9):
        notes.append(f"turned upright (EXIF {stored})")
    if colours.size not in {stated, stated[::-1]}:
        width, height = stated if stored < 5 else stated[::-1]  # noqa: PLR2004 - from 5 on the sides change places
        notes.append(f"{width}x{height} scaled to {colours.width}x{colours.height}")
    out = BytesIO()
    colours.save(out, ENCODED_AS, compress_level=1)
    return PreparedImage(out.getvalue(), *colours.size, tuple(notes))


def load_decoders() -> None:
    """Load what reads images, which takes longer than reading a small one."""
    from pi_heif import register_heif_opener
    from PIL import Image, ImageCms  # noqa: F401 - used later, when no file can be opened any more

    register_heif_opener()
    Image.init()


def demand_size(width: int, height: int) -> None:
    """Raise an ImageError for a size that no model takes, whatever is scaled. Pure."""
    if width < 1 or height < 1:
        raise ImageError(f"it has no pixels: {width}x{height}", ANOTHER)
    if max(width, height) > MOST_ASPECT * min(width, height):
        raise ImageError(f"{width}x{height}: one side is more than {MOST_ASPECT} times the other", CROPPED)
    if width * height > MOST_STATED:
        raise ImageError(_too_large(width, height), SMALLER)


def scaled(width: int, height: int, most_pixels: int) -> tuple[int, int]:
    """Return the size of the same shape with at most so many pixels; a smaller image stays as it is. Pure.

    >>> scaled(4032, 3024, 1024 * 1024), scaled(640, 480, 1024 * 1024)
    ((1182, 886), (640, 480))
    """
    if width * height <= most_pixels:
        return width, height
    by = math.sqrt(most_pixels / (width * height))
    return max(1, int(width * by)), max(1, int(height * by))


def _open(data: bytes) -> Image.Image:
    from PIL import Image, UnidentifiedImageError

    load_decoders()
    Image.MAX_IMAGE_PIXELS = MOST_STATED // 2  # it raises at twice as many: frames and tiles have sizes too
    try:
        return Image.open(BytesIO(data), formats=FORMATS)
    except UnidentifiedImageError as error:
        found = _other(data)
        raise ImageError(found, FIXES.get(found, EXPORT)) from error
    except Image.DecompressionBombError as error:
        raise ImageError(
            f"too large: its header states more than {MOST_STATED // MEGA} megapixels", SMALLER
        ) from error


def _small_pixels(jpeg: bytes) -> bytes:
    from PIL import Image

    image = Image.open(BytesIO(jpeg), formats=("JPEG",))
    # the later scans of a progressive one change only what an eighth of the size does not show
    image.draft(None, (image.width // 2, image.height // 2) if image.info.get("progressive") else (1, 1))
    pixels: bytes = image.tobytes()
    return pixels


def to_rgb(image: Image.Image) -> tuple[Image.Image, list[str]]:
    """Return an image as 8-bit RGB, and what that took."""
    from PIL import Image

    if image.mode in {"I", "F"}:
        raise ImageError(f"its samples have 32 bits (mode {image.mode})")
    if image.mode.startswith("I;16"):
        return image.point(lambda value: value * (1 / 256)).convert("L").convert("RGB"), ["16 bits to 8"]
    if image.mode in {"CMYK", "LAB"}:
        return _by_profile(image)
    if image.has_transparency_data:
        whole = image.convert("RGBA")
        alpha = whole.getchannel("A")
        on_white = Image.new("RGB", image.size, "white")
        on_white.paste(whole, mask=alpha)
        return on_white, ["transparent: put on white"] if alpha.getextrema() != (255, 255) else []
    return image.convert("RGB"), []


def _by_profile(image: Image.Image) -> tuple[Image.Image, list[str]]:
    from PIL import ImageCms

    profile: Any = image.info.get("icc_profile")
    if image.mode == "CMYK" and not profile:
        return image.convert("RGB"), ["CMYK without a profile: its colours are approximate"]
    try:
        source: Any = ImageCms.createProfile("LAB")
        if image.mode == "CMYK":
            source = ImageCms.ImageCmsProfile(BytesIO(profile))
        done = ImageCms.profileToProfile(image, source, ImageCms.createProfile("sRGB"), outputMode="RGB")
    except (ImageCms.PyCMSError, OSError):
        return image.convert("RGB"), [f"{image.mode} with a damaged profile: its colours are approximate"]
    assert done is not None  # noqa: S101 - it is made in place only where that is asked for
    return done, [f"{image.mode} to RGB by its profile"]


def _resized(image: Image.Image, size: tuple[int, int]) -> Image.Image:
    from PIL import Image

    return image.resize(size, Image.Resampling.BICUBIC, reducing_gap=3.0)


def _orientation(image: Image.Image, kind: str) -> int:
    found = (
        image.getexif().get(ORIENTATION, 1) if kind != "HEIC" else 1
    )  # libheif turns it, by its own property
    return found if isinstance(found, int) else 1


def _upright(image: Image.Image, turned: int) -> Image.Image:
    """Undo an EXIF orientation (CIPA DC-008, tag 0x0112), 2 to 8."""
    from PIL.Image import Transpose as By

    ways = (By.FLIP_LEFT_RIGHT, By.ROTATE_180, By.FLIP_TOP_BOTTOM, By.TRANSPOSE, By.ROTATE_270, By.TRANSVERSE)
    return image.transpose((*ways, By.ROTATE_90)[turned - 2])


def _too_large(width: int, height: int) -> str:
    most = MOST_PIXELS // MEGA
    return f"too large: {width}x{height}, {width * height / MEGA:.0f} megapixels; at most {most} are decoded"


def _format(data: bytes) -> str:
    try:
        name = _open(data).format or ""
    except Exception:  # noqa: BLE001 - as above
        return "image"
    return TITLES.get(name, name)


def _other(data: bytes) -> str:
    if data[4:8] == b"ftyp" and data[8:12] in ISO_BRANDS:
        return DAMAGED_ISO
    if data[4:8] in {b"ftyp", b"moov", b"mdat"}:
        return A_VIDEO
    head = data[:256].lstrip()
    for start, title in OTHERS.items():
        if head[: len(start)].lower() == start.lower():
            return title
    return "a file of an unknown format, or with a damaged header"


def _first_line(error: Exception) -> str:
    lines = str(error).splitlines()
    return lines[0][:200] if lines else type(error).__name__
