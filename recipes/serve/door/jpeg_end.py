"""Whether the picture of a JPEG is whole: a cut file can end as a whole one does. Pure, but for the decoder.

Decoders fill what is missing with the last colour, and say so nowhere that Pillow shows. What they read after the last
row is ignored; so other bytes before the end mark change no pixel of a whole picture, and some of one that was cut.
ITU-T T.81, B.1: a marker is FF and a byte that is neither 0 nor FF; RST0 to RST7 stand within the data of a scan.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

SCAN, END = 0xDA, 0xD9
ALONE = {0x01, *range(0xD0, 0xD9)}  # markers without a length
MARKER = re.compile(rb"\xff+([^\x00\xff\xd0-\xd7])")
FILLERS = (b"\x55\xa6\x3c" * 64, b"\xc3\x5a\x96" * 64)


def end_of_picture(jpeg: bytes) -> int | None:
    """Return where the end mark of the first picture is; None if there is none, or the segments before make no sense.

    What is in segments is skipped by their length: a small picture in one has an end mark of its own.
    """
    place = 2
    while match := MARKER.search(jpeg, place):
        kind, place = match[1][0], match.end()
        if kind == END:
            return match.start()
        if kind not in ALONE:
            place += int.from_bytes(jpeg[place : place + 2], "big")
    return None


def is_whole(jpeg: bytes, decode: Callable[[bytes], bytes]) -> bool:
    """Return whether a JPEG has all of its picture; `decode` returns pixels, at any scale."""
    end = end_of_picture(jpeg)
    if end is None:
        return False
    head = jpeg[:end]
    return len({decode(head + filler + b"\xff\xd9") for filler in FILLERS}) == 1
