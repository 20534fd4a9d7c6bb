"""What a registry sends, as values and as words: nothing in it may harm who reads it. Pure."""

from __future__ import annotations

from typing import TypeVar

import msgspec

from recipes.core.filesystem import shown

SHOWN_CHARACTERS = 200

T = TypeVar("T")


def decode(data: bytes, kind: type[T]) -> T:
    """Read JSON as a type; raises ValueError, which says why, whatever the bytes are."""
    try:
        return msgspec.json.decode(data, type=kind)
    except RecursionError as error:  # a few kilobytes of brackets
        raise ValueError("JSON that is nested too deep") from error


def brief(text: object) -> str:
    r"""Return what somebody else wrote as it can be printed: on one line, and not too long.

    >>> brief("a\nb"), len(brief("x" * 10_000))
    ("'a\\nb'", 203)
    """
    line = shown(str(text))
    return line if len(line) <= SHOWN_CHARACTERS else f"{line[:SHOWN_CHARACTERS]}..."
