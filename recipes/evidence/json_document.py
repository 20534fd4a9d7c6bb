"""JSON documents of others, read strictly: what two readers could understand in two ways is refused. Pure."""

from __future__ import annotations

import json

from recipes.serve.door.json_text import parse
from recipes.serve.door.refusal import RefusedError

MOST_BYTES = 16 << 20  # the largest document of a bundle, an SBOM, has less than 1 MB


def read_object(data: bytes) -> dict[str, object]:
    """Return the object that a document is.

    Raises ValueError, in words, where it is none; where it is too large or nested too deeply; and where a name stands
    twice in an object, a number is none of JSON's, or the text is no UTF-8.
    """
    if len(data) > MOST_BYTES:
        raise ValueError(f"it has {len(data)} bytes, more than {MOST_BYTES}")
    try:
        found = parse(data)
    except RefusedError as error:
        raise ValueError(error.message.replace("the body", "it")) from error
    except (RecursionError, MemoryError) as error:
        raise ValueError("it cannot be read: it is too large or too deep") from error
    assert isinstance(found, dict)  # noqa: S101 - lists were not allowed
    return found


def write_object(content: object) -> bytes:
    """Return a document: keys sorted, no blanks, so that equal contents give equal bytes."""
    return json.dumps(content, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()


def value_at(content: object, *path: str) -> object:
    """Return what lies at a path of names below an object; None where there is nothing."""
    for name in path:
        if not isinstance(content, dict):
            return None
        content = content.get(name)
    return content


def text_at(content: object, *path: str) -> str:
    """Return the text at a path of names; "" where there is none."""
    found = value_at(content, *path)
    return found if isinstance(found, str) else ""


def list_at(content: object, *path: str) -> list[object]:
    """Return the list at a path of names; an empty one where there is none."""
    found = value_at(content, *path)
    return found if isinstance(found, list) else []
