"""Reads an answer as it comes: the server-sent events of a chat completion, piece by piece. Pure."""

from __future__ import annotations

import json
import unicodedata
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

LAST = "[DONE]"
KEPT = "\n\t"
CONTROL = {
    "Cc",
    "Cf",
    "Cs",
}  # Unicode's categories of what a terminal might obey, and of halves of characters
JOINERS = "\u200c\u200d"  # zero-width, within words and emoji


class StreamError(Exception):
    """The server ends an answer with an error, or sends what is no answer."""


@dataclass(frozen=True)
class Piece:
    """A piece of an answer.

    Parameters
    ----------
    text
        So many words of it; "" at its end.
    is_thought
        Whether the model only thinks them.
    is_cut
        Whether the answer ends here because there is no more room.
    """

    text: str
    is_thought: bool = False
    is_cut: bool = False


def read_pieces(lines: Iterable[bytes]) -> Iterator[Piece]:
    """Give the pieces of an answer.

    Parameters
    ----------
    lines
        As they come.

    Raises
    ------
    StreamError
        Where it is an error, is none, or breaks off.
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
    raise StreamError("it breaks off")


def error_text(text: str) -> str:
    """Give what a server says is wrong, of its JSON or of whatever it sends; safe to print.

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
    r"""Take out what a terminal would obey.

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
        raise StreamError(f"no answer of a chat: {clean(value)[:200]}") from error
