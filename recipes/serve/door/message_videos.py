"""Finds the videos of a chat's messages, and puts the frames that are read of them in their places. Pure.

`input_video` and `video_url`, each with a file's data or with frames that somebody took; both as llama-server has them
with frames (b11312: tools/server/server-common.cpp), and with the file as its page sends it.
"""

from __future__ import annotations

import base64
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from recipes.evalset.clip_rules import MOST_FRAMES, UNKNOWN_RATE
from recipes.serve.door.clip_plan import ClipPlan, ClipWish
from recipes.serve.door.message_images import DATA_URL, PLACES, WEB, decode_base64, detail_of
from recipes.serve.door.refusal import BAD_REQUEST, RefusedError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from recipes.serve.door.image_decode import Detail

KINDS = ("input_video", "video_url")
PATHS = ("/v1/chat/completions", "/chat/completions", "/api/chat", "/apply-template")
MOST_VIDEOS = 8
MOST_FPS = 1000
MOST_NUMBER = 1 << 31  # of a frame


@dataclass(frozen=True)
class FrameList:
    """Frames that somebody took of a video: their files, their numbers, and the rate that those count in."""

    files: tuple[str, ...]
    indices: tuple[int, ...]
    rate: float
    is_resized: bool


@dataclass(frozen=True)
class VideoSlot:
    """Where a video is in a request: the part of a message, and what is said of it."""

    where: str
    part: dict[str, Any]
    kind: str
    wish: ClipWish
    detail: Detail
    source: str | FrameList  # base64, or frames
    is_wrapped: bool = False

    @property
    def is_fixed(self) -> bool:
        """Whether it has the size already that the model gets."""
        return isinstance(self.source, FrameList) and self.source.is_resized

    def file(self) -> bytes:
        """Return the file's bytes; a RefusedError is raised if the text has none."""
        assert isinstance(self.source, str)  # noqa: S101 - who calls has looked
        return decode_media(self.source, self.where)

    def frames(self) -> list[bytes]:
        """Return the files of frames; a RefusedError is raised for one that is not base64."""
        assert isinstance(self.source, FrameList)  # noqa: S101 - as above
        return [
            decode_media(text, f"{self.where}.frames[{place}]")
            for place, text in enumerate(self.source.files)
        ]

    def put(self, pngs: list[bytes], plan: ClipPlan) -> None:
        """Put a clip in the video's place."""
        del self.part[self.kind]
        self.part["type"] = "input_video"
        self.part["input_video"] = clip_part(pngs, plan) | ({"wrapped": True} if self.is_wrapped else {})

    def put_image(self, png: bytes) -> None:
        """Put an image in the place of a video of a single frame."""
        del self.part[self.kind]
        coded = base64.b64encode(png).decode("ascii")
        self.part["type"], self.part["image_url"] = "image_url", {"url": f"data:image/png;base64,{coded}"}


def clip_part(pngs: list[bytes], plan: ClipPlan) -> dict[str, Any]:
    """Return a clip as llama-server takes it."""
    return {
        "frames": [base64.b64encode(png).decode("ascii") for png in pngs],
        "fps": plan.rate,
        "indices": list(plan.indices),
        "resized": True,
    }


def find_videos(request: dict[str, Any], path: str, default: Detail) -> list[VideoSlot]:
    """Return the videos of a request, in order. A RefusedError is raised for what is none, and for too many."""
    found: list[VideoSlot] = []
    for where, part in _parts(request):
        kind = part["type"]
        if path not in PATHS:
            raise RefusedError(BAD_REQUEST, f"'{where}': a video is read at {PATHS[0]} alone", where)
        found.append(_slot(part, kind, f"{where}.{kind}", default))
    if len(found) > MOST_VIDEOS:
        raise RefusedError(
            BAD_REQUEST, f"{len(found)} videos; at most {MOST_VIDEOS} in a request", "messages"
        )
    return found


def decode_media(text: str, where: str) -> bytes:
    """Return the bytes of a data URL, or of base64 alone; a RefusedError is raised if it is neither."""
    match = DATA_URL.match(text)
    return decode_base64(text[match.end() :] if match else text, where)


def _parts(request: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield the parts that are videos, wherever a request may have media."""
    for place in PLACES:
        yield from _within(request.get(place), place)


def _within(value: Any, where: str) -> Iterator[tuple[str, dict[str, Any]]]:  # noqa: ANN401 - JSON
    if isinstance(value, list):
        for index, item in enumerate(value):
            yield from _within(item, f"{where}[{index}]")
    elif isinstance(value, dict):
        kind = value.get("type")
        if isinstance(kind, str) and kind in KINDS:
            yield where, value
            return
        for name, item in value.items():
            yield from _within(item, f"{where}.{name}")


def _slot(part: dict[str, Any], kind: str, where: str, default: Detail) -> VideoSlot:
    value = part.get(kind)
    if isinstance(value, str):
        value = {"url": value}
    if not isinstance(value, dict):
        raise _refused(where, "an object with 'data' in base64, or 'frames'")
    given = [name for name in ("data", "url", "frames") if value.get(name) is not None]
    if len(given) != 1:
        raise _refused(where, "an object with one of 'data', 'url' and 'frames'")
    wish = ClipWish(
        _number(value, "fps", where, ClipWish().fps),
        _whole(value, "max_frames", where, MOST_FRAMES) if value.get("max_frames") is not None else None,
    )
    detail = detail_of(value.get("detail"), where, default)
    if given == ["frames"]:
        source: str | FrameList = _frames(value, where)
    else:
        place, source = f"{where}.{given[0]}", value[given[0]]
        if not isinstance(source, str):
            raise _refused(place, "text")
        if WEB.match(source) or "://" in source[:100]:
            message = f"'{place}' is an address: no videos are fetched; send it as a data URL"
            raise RefusedError(BAD_REQUEST, message, place)
    return VideoSlot(where, part, kind, wish, detail, source, _flag(value, "wrapped", where))


def _frames(value: dict[str, Any], where: str) -> FrameList:
    files = value["frames"]
    if not (isinstance(files, list) and files and all(isinstance(item, str) for item in files)):
        raise _refused(f"{where}.frames", "a list of images in base64")
    for place, text in enumerate(files):
        if "://" in text[:100]:
            raise _refused(f"{where}.frames[{place}]", "data, not an address")
    if len(files) > MOST_FRAMES:
        raise _refused(f"{where}.frames", f"at most {MOST_FRAMES} frames, not {len(files)}")
    indices = value.get("indices")
    if indices is None:
        indices = list(range(len(files)))
    is_fit = isinstance(indices, list) and len(indices) == len(files)
    is_fit = is_fit and all(type(item) is int and 0 <= item < MOST_NUMBER for item in indices)
    if not is_fit or indices != sorted(indices):
        raise _refused(f"{where}.indices", "the number of each frame in the video, none below the one before")
    rate = _number(value, "fps", where, UNKNOWN_RATE)
    return FrameList(tuple(files), tuple(indices), rate, _flag(value, "resized", where))


def _number(value: dict[str, Any], name: str, where: str, default: float) -> float:
    found = value.get(name)
    if found is None:
        return default
    if isinstance(found, bool) or not isinstance(found, int | float) or not 0 < found <= MOST_FPS:
        raise _refused(f"{where}.{name}", f"a number above 0, of at most {MOST_FPS}")
    return float(found)


def _whole(value: dict[str, Any], name: str, where: str, most: int) -> int:
    found = value.get(name)
    if type(found) is not int or not 2 <= found <= most:  # noqa: PLR2004 - a clip's least
        raise _refused(f"{where}.{name}", f"a whole number from 2 to {most}")
    return found


def _flag(value: dict[str, Any], name: str, where: str) -> bool:
    found = value.get(name)
    if found is not None and not isinstance(found, bool):
        raise _refused(f"{where}.{name}", "true or false")
    return bool(found)


def _refused(where: str, expected: str) -> RefusedError:
    return RefusedError(BAD_REQUEST, f"'{where}' must be {expected}", where)
