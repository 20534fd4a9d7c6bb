"""Requests with videos, as lists of frames, that lie or cost much; and with files that call themselves videos."""

from __future__ import annotations

import base64
from functools import partial
from typing import TYPE_CHECKING, Any

from PIL import Image

from recipes.conformance.hostile import image_files
from recipes.conformance.hostile.attack import CHAT, SAY, Attack, Kind, chat, request
from recipes.conformance.hostile.image_files import noise, saved, small_png

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

MOST_FRAMES = 768
LARGE = (1600, 1152)  # whole tokens: 1,800 a pair
MUST_REFUSE: dict[str, Callable[[], Any]] = {
    "no frames": list,
    "one frame": lambda: [frame()],
    "frames that are a text": lambda: "frames",
    "frames that are numbers": lambda: [1, 2],
    "frames that are lists": lambda: [[frame()], [frame()]],
    "a frame that is null": lambda: [frame(), None],
    "frames of two sizes": lambda: [frame(), frame((64, 96))],
    "frames that are text": lambda: [encoded(b"no image")] * 2,
    "frames that are sound": lambda: [encoded(b"RIFF\x24\0\0\0WAVEfmt " + bytes(40))] * 2,
    "frames of no data": lambda: ["", ""],
    "frames that are a scheme": lambda: ["data:", "data:"],
    "frames of sides of 6000 to 16": lambda: [frame((6000, 16))] * 2,
    "769 frames": lambda: [frame((32, 32))] * (MOST_FRAMES + 1),
    "frames of 60,000 squared": lambda: [encoded(image_files.png(60_000, 60_000))] * 2,
    "768 frames of 4,000 squared": lambda: [encoded(image_files.png(4000, 4000))] * MOST_FRAMES,
}
MAY_PASS: dict[str, Callable[[], Any]] = {
    "768 frames": lambda: [frame((32, 32))] * MOST_FRAMES,
    "an odd number of frames": lambda: [frame()] * 7,
    "frames of one pixel": lambda: [frame((1, 1))] * 2,
    "frames cut in the middle": lambda: [encoded(small_png()[:90])] * 2,
    "16 frames of noise": lambda: [encoded(saved(noise((320, 240)), "PNG"))] * 16,
    "frames by file addresses": lambda: ["file:///dev/zero"] * 2,
}
# fields beside two good frames, that must be refused by their name
FIELDS: dict[str, dict[str, Any]] = {
    "fps 0": {"fps": 0},
    "fps below 0": {"fps": -1},
    "fps of 10^308": {"fps": 1e308},
    "fps a text": {"fps": "fast"},
    "fps a list": {"fps": [30]},
    "an index too few": {"indices": [0]},
    "an index too many": {"indices": [0, 1, 2]},
    "indices that fall": {"indices": [1, 0]},
    "indices below 0": {"indices": [-2, -1]},
    "indices of 2^63": {"indices": [0, 2**63]},
    "indices of 10^300": {"indices": [0, 1e300]},
    "indices that are texts": {"indices": ["0", "1"]},
    "indices an object": {"indices": {"0": 1}},
    "resized a text": {"resized": "yes"},
    "wrapped a number": {"wrapped": 7},
}
QUICK = {
    "769 frames",
    "frames of two sizes",
    "frames of 60,000 squared",
    "an odd number of frames",
    "fps 0",
    "indices of 2^63",
}


def attacks() -> Iterator[Attack]:
    """Return the attacks by videos."""
    for frames, must_refuse in ((MUST_REFUSE, True), (MAY_PASS, False)):
        for name, make in frames.items():
            yield _attack(name, partial(_video, make), must_refuse=must_refuse)
    for name, fields in FIELDS.items():
        yield _attack(name, partial(_two_frames, fields), must_refuse=True)
    yield _attack(
        "resized frames of 40 squared",
        lambda: {"frames": [frame((40, 40))] * 2, "resized": True},
        must_refuse=True,
    )
    yield _attack(
        "resized frames of two pixels by 4,096 tokens",
        lambda: {"frames": [encoded(image_files.png(65_536, 64))] * 2, "resized": True},
        must_refuse=True,
    )
    yield _attack(
        "resized frames of 1,800 tokens, more than the context",
        lambda: {"frames": [frame(LARGE)] * 8, "resized": True},
        must_refuse=False,
    )
    yield _attack(
        "64 videos of 12 frames", lambda: {"frames": [frame((32, 32))] * 12}, must_refuse=False, count=64
    )
    yield _attack("65 videos", lambda: {"frames": [frame((32, 32))] * 2}, must_refuse=True, count=65)
    yield _attack(
        "a video file", lambda: {"data": encoded(b"\0\0\0\x18ftypmp42" + bytes(1000))}, must_refuse=True
    )


def _video(make: Callable[[], object]) -> dict[str, Any]:
    return {"frames": make()}


def _attack(name: str, make: Callable[[], dict[str, Any]], *, must_refuse: bool, count: int = 1) -> Attack:
    return request(
        Kind.CLIPS,
        name,
        CHAT,
        lambda: _question(make(), count),
        must_refuse=must_refuse,
        is_quick=name in QUICK,
    )


def _question(video: dict[str, Any], count: int) -> dict[str, Any]:
    part = {"type": "input_video", "input_video": video}
    return chat() | {
        "messages": [{"role": "user", "content": [*[part] * count, {"type": "text", "text": SAY}]}]
    }


def _two_frames(fields: dict[str, Any]) -> dict[str, Any]:
    return {"frames": [frame()] * 2, **fields}


def frame(size: tuple[int, int] = (64, 64)) -> str:
    """Return a frame of one colour."""
    return encoded(saved(Image.new("RGB", size, (200, 30, 30)), "PNG"))


def encoded(data: bytes) -> str:
    """Return bytes as base64."""
    return base64.b64encode(data).decode("ascii")
