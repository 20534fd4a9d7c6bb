"""Reads a streamed answer: the server-sent events of a chat completion. Pure."""

from __future__ import annotations

import json
import unicodedata
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

LAST = "[DONE]"
KEPT = "\n\t"
# Unicode categories of characters that a terminal may obey, and of surrogates.
CONTROL = {"Cc", "Cf", "Cs"}
JOINERS = "\u200c\u200d"  # zero-width, within words and emoji


class StreamError(Exception):
    """The stream ends with an error, or is not a chat completion."""


@dataclass(frozen=True)
class Piece:
    """A piece of an answer."""

    text: str  # "" at the end of the answer
    is_thought: bool = False  # reasoning, not part of the answer
    is_cut: bool = False  # the answer ends here because the context is full


def read_pieces(lines: Iterable[bytes]) -> Iterator[Piece]:
    """Yield the pieces of an answer from the lines of its stream.

    A StreamError is raised if the stream is an error, is not an answer, or ends too early.
    """
    for line in lines:
        name, _, value = line.decode("utf-8", "replace").partition(":")
        value = value.strip()
        if name == "error":  # llama-server's own, in the middle of a stream
            raise StreamError(error_text(value))
        if name != "data":
            continue
        if value == LAST:
            return
        yield from _pieces(value)
    raise StreamError("the answer ends too early")


def error_text(text: str) -> str:
    """Return a server's error message, from its JSON or any other body; safe to print.

    >>> error_text('{"error": {"code": 400, "message": "no"}}'), error_text("<html>")
    ('no', '<html>')
    """
    try:
        said = json.loads(text)["error"]
        message = said["message"] if isinstance(said, dict) else said
    except (ValueError, LookupError, TypeError):
        message = text
    return clean(str(message))[:500].strip() or "nothing"


def clean(text: str) -> str:
    r"""Remove characters that a terminal would obey.

    >>> clean("a\x1b[2Jb\n")
    'a[2Jb\n'
    """
    return "".join(
        letter for letter in text if letter in KEPT + JOINERS or unicodedata.category(letter) not in CONTROL
    )


def _pieces(value: str) -> Iterator[Piece]:
    try:
        data: dict[str, Any] = json.loads(value)
        if "error" in data:
            raise StreamError(error_text(value))
        for choice in data["choices"]:
            delta = choice.get("delta") or {}
            for name in ("reasoning_content", "content"):
                text = delta.get(name)
                if text:
                    yield Piece(clean(text), is_thought=name != "content")
            if choice.get("finish_reason") == "length":
                yield Piece("", is_cut=True)
    except (ValueError, LookupError, TypeError, AttributeError) as error:
        raise StreamError(f"not a chat completion: {clean(value)[:200]}") from error
