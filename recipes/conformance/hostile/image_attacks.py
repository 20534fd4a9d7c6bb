"""Requests with image files that lie, and with good ones that cost much."""

from __future__ import annotations

import time
from functools import partial
from typing import TYPE_CHECKING

import psutil
from PIL import Image

from recipes.conformance.hostile import image_files
from recipes.conformance.hostile.attack import (
    CHAT,
    SAY,
    Attack,
    Fault,
    Kind,
    Seen,
    Target,
    chat,
    encode,
    judge_reply,
    request,
    until,
)
from recipes.conformance.hostile.image_files import noise, saved

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

PHONE = (4000, 3000)  # a telephone's photo
LARGE = (1600, 1150)  # 1,800 tokens, seconds of encoding
ENCODES_S = 1.0  # of computing before the client leaves
CPU_S = 1.5  # and after it has gone: a second, and what it takes to see it
MAY_PASS = {"PNG of 32 squared with 400 MB of data"}  # what is too much of it can be left
QUIET_S = 0.5
GONE_S = 60.0
QUICK = {
    "GIF screen of 20,000 squared, 35 bytes",
    "BMP header of 30,000 squared",
    "JPEG frame of 65,500 squared",
}
QUICK |= {
    "PNG cut in the middle",
    "sides of 3000 to 3",
    "wrong sums of a PNG",
    "sound",
    "BMP header of 60,000 squared, 1 bit",
}
QUICK |= {"PNG header of 60,000 by 60,000", "GIF of colours out of its table", "nothing"}


def attacks() -> Iterator[Attack]:
    """Return the attacks by images; bombs and sizes that no model takes must be refused."""
    for files, must_refuse in (
        (image_files.bombs, True),
        (image_files.cuts, False),
        (image_files.sides, True),
        (image_files.odd, False),
    ):
        for name, make in files():
            body = partial(question, make)
            refuse = must_refuse and name not in MAY_PASS
            yield request(Kind.IMAGES, name, CHAT, body, must_refuse=refuse, is_quick=name in QUICK)
    yield Attack(Kind.IMAGES, "a photo of 12 megapixels", photo)
    yield Attack(Kind.IMAGES, "a client that leaves during an encode", leave, is_quick=True)


def question(make: Callable[[], bytes]) -> bytes:
    """Return a question about a file."""
    return encode(chat(make(), SAY))


def photo(target: Target) -> Seen:
    """Send a telephone's photo: it is answered, or refused in words; /health answers meanwhile."""
    body = encode(chat(saved(noise(PHONE), "JPEG", quality=60), SAY))
    return judge_reply(target.send(CHAT, body, timeout_s=240.0))


def leave(target: Target) -> Seen:
    """Close the connection during an encode: the server stops computing soon after.

    Counted in seconds of the processor, so that a busy machine does not count against the server.
    """
    body = encode(chat(saved(Image.effect_noise(LARGE, 60), "PNG"), SAY))
    process = psutil.Process(target.server.process.pid)
    before = cpu_seconds(process)
    with target.connect() as connection:
        connection.sendall(post_head(target, len(body)) + body)
        until(lambda: cpu_seconds(process) - before > ENCODES_S, GONE_S * target.patience)
    left = cpu_seconds(process)
    target.send(CHAT, encode(chat()), timeout_s=GONE_S)  # it waits for what still computes, however slowly
    if not until(lambda: is_quiet(process), GONE_S * target.patience):
        return Seen(f"still computing {GONE_S * target.patience:g} s after the client left", Fault.BUSY)
    after = cpu_seconds(process) - left
    words = f"{left - before:.1f} s of computing before the client left, {after:.1f} s after"
    return Seen(words, Fault.BUSY if after > CPU_S else None)


def post_head(target: Target, length: int) -> bytes:
    """Return the headers of a chat of so many bytes."""
    host = "{}:{}".format(*target.address)
    lines = (
        f"POST {CHAT} HTTP/1.1",
        f"Host: {host}",
        "Content-Type: application/json",
        f"Content-Length: {length}",
    )
    return "\r\n".join((*lines, "", "")).encode()


def cpu_seconds(process: psutil.Process) -> float:
    """Return what a process and its children have computed, in seconds."""
    try:
        times = [process.cpu_times(), *(child.cpu_times() for child in process.children(recursive=True))]
    except psutil.Error:
        return 0.0
    return float(sum(time.user + time.system for time in times))


def is_quiet(process: psutil.Process) -> bool:
    """Whether a process computes nothing for a while."""
    before = cpu_seconds(process)
    time.sleep(QUIET_S)
    return cpu_seconds(process) - before < QUIET_S / 10
