"""Finds the images of a request, wherever an API puts them, and puts PNGs in their places. Pure.

OpenAI's chat (`image_url`) and responses (`input_image`), Anthropic's messages (`image` with a `source`), and
llama-server's own `multimodal_data`.
"""

from __future__ import annotations

import base64
import binascii
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from recipes.serve.door.image_decode import Detail
from recipes.serve.door.refusal import BAD_REQUEST, RefusedError
from recipes.serve.door.request_fields import MOST_IMAGES

if TYPE_CHECKING:
    from collections.abc import Iterator

PLACES = ("messages", "input", "prompt", "content", "system")  # of a request, where its images can be
OTHER_MEDIA = {"input_audio", "audio_url"}
DATA_URL = re.compile(r"data:[^,]{0,200};base64,", re.IGNORECASE)
WEB = re.compile(r"https?://", re.IGNORECASE)
SPACES = str.maketrans("", "", " \t\r\n")
AUTO = (None, "", "auto")


@dataclass(frozen=True)
class ImageSlot:
    """Where an image is in a request: its text (a URL, or base64 alone), and how its PNG is put there."""

    where: str
    text: str
    detail: Detail
    holder: Any  # the object or list that has the image under `key`
    key: Any
    shape: str  # "url", "text", "source" or "base64"

    @property
    def is_web(self) -> bool:
        """Whether it has to be fetched."""
        return self.shape != "base64" and WEB.match(self.text) is not None

    def data(self) -> bytes:
        """Return the file's bytes; a RefusedError is raised if the text has none."""
        if self.shape == "base64" or (self.shape == "source" and not self.text.startswith("data:")):
            return decode_base64(self.text, self.where)
        match = DATA_URL.match(self.text)
        if match is None:
            raise RefusedError(
                BAD_REQUEST,
                f"'{self.where}' must be a data URL with base64, not {self.text[:40]!r}",
                self.where,
            )
        return decode_base64(self.text[match.end() :], self.where)

    def put(self, data: bytes, kind: str = "image/png") -> None:
        """Put a file in the image's place, with what the request says of its detail."""
        coded = base64.b64encode(data).decode("ascii")
        url = f"data:{kind};base64,{coded}"
        self.holder[self.key] = {
            "url": {"url": url, "detail": self.detail.value},
            "text": url,
            "source": {"type": "base64", "media_type": kind, "data": coded},
            "base64": coded,
        }[self.shape]


def decode_base64(text: str, where: str) -> bytes:
    """Return the bytes of base64, which may have line ends; a RefusedError is raised if it is none."""
    try:
        return base64.b64decode(text.translate(SPACES), validate=True)
    except (binascii.Error, ValueError) as error:
        raise RefusedError(BAD_REQUEST, f"'{where}' is not base64: {error}", where) from error


def find_images(request: dict[str, Any], default: Detail) -> list[ImageSlot]:
    """Return the images of a request, in order. A RefusedError is raised for what is none, and for too many."""
    found = [slot for place in PLACES for slot in _within(request.get(place), place, default)]
    if len(found) > MOST_IMAGES:
        raise RefusedError(
            BAD_REQUEST, f"{len(found)} images; at most {MOST_IMAGES} in a request", "messages"
        )
    return found


def _within(value: Any, where: str, default: Detail) -> Iterator[ImageSlot]:  # noqa: ANN401 - JSON
    if isinstance(value, list):
        for index, item in enumerate(value):
            if isinstance(item, dict | list):
                yield from _within(item, f"{where}[{index}]", default)
    elif isinstance(value, dict):
        yield from _of_part(value, where, default)
        for name, item in value.items():
            if isinstance(item, dict | list) and name not in {"image_url", "source", "multimodal_data"}:
                yield from _within(item, f"{where}.{name}", default)


def _of_part(part: dict[str, Any], where: str, default: Detail) -> Iterator[ImageSlot]:
    kind = part.get("type")
    if kind == "image_url" or (kind == "input_image" and "image_url" in part):
        place, value = f"{where}.image_url", part.get("image_url")
        url = value.get("url") if isinstance(value, dict) else value
        named = value.get("detail") if isinstance(value, dict) else part.get("detail")
        shape = "url" if kind == "image_url" else "text"
        if not isinstance(url, str):
            raise RefusedError(BAD_REQUEST, f"'{place}' must be an object with a 'url'", place)
        yield ImageSlot(place, url, detail_of(named, place, default), part, "image_url", shape)
    elif kind == "image" and isinstance(part.get("source"), dict):
        place, source = f"{where}.source", part["source"]
        text = source.get("url") if source.get("type") == "url" else source.get("data")
        if not isinstance(text, str):
            raise RefusedError(BAD_REQUEST, f"'{place}' must have 'data' in base64", place)
        yield ImageSlot(place, text, default, part, "source", "source")
    elif isinstance(kind, str) and kind in OTHER_MEDIA:
        _refuse_addresses(part.get(kind), f"{where}.{kind}")
    media = part.get("multimodal_data")
    for index, item in enumerate(media if isinstance(media, list) else ()):
        place = f"{where}.multimodal_data[{index}]"
        if not isinstance(item, str):
            raise RefusedError(BAD_REQUEST, f"'{place}' must be base64", place)
        yield ImageSlot(place, item, default, media, index, "base64")


def _refuse_addresses(value: Any, where: str) -> None:  # noqa: ANN401 - JSON
    """Sound is left to the server, which must fetch nothing for it."""
    texts = value.values() if isinstance(value, dict) else [value]
    if any(isinstance(text, str) and "://" in text[:100] for text in texts):
        raise RefusedError(BAD_REQUEST, f"'{where}' must be data, not an address", where)


def detail_of(value: object, where: str, default: Detail) -> Detail:
    """Return what a request says of a detail, or the default; a RefusedError is raised for another word."""
    if value in AUTO:
        return default
    try:
        return Detail(value)
    except ValueError:
        names = ", ".join(detail.value for detail in Detail)
        raise RefusedError(
            BAD_REQUEST, f"'{where}.detail' must be auto, {names}", f"{where}.detail"
        ) from None
