"""Reads JSON that somebody else wrote: its size is known before any of it is built. Pure.

A parser makes many bytes of few: 64 MB of `[[],[],...` are gigabytes in memory, and deep nesting overflows the stack of
whatever walks it. So brackets, commas and strings are counted first, without building anything.
"""

from __future__ import annotations

import json
import math
import re
from collections import Counter

from recipes.serve.door.refusal import BAD_REQUEST, RefusedError

MOST_DEPTH = 64
MOST_VALUES = 1 << 19  # more than the longest prompt has tokens
OUTSIDE = re.compile(rb"[^\[\]{},]+")
NO_OBJECT = "the body must be a JSON object"


def parse(body: bytes, *, allow_list: bool = False) -> dict[str, object] | list[object]:
    """Return the object, or the list if that is allowed, in a body.

    A RefusedError is raised for anything that readers of JSON disagree about: more than `MOST_DEPTH` levels or
    `MOST_VALUES` values, a name twice in an object, NaN and infinities, text that is not UTF-8.
    """
    demand_small(body)
    try:
        value = json.loads(
            body.decode("utf-8"),
            object_pairs_hook=_object,
            parse_constant=_constant,
            parse_float=_number,
        )
        if b"\\u" in body:
            json.dumps(value, ensure_ascii=False).encode()  # fails on half a surrogate pair
    except UnicodeError as error:
        raise RefusedError(BAD_REQUEST, "the body is not UTF-8") from error
    except ValueError as error:
        raise RefusedError(BAD_REQUEST, f"the body is not JSON: {error}") from error
    if isinstance(value, dict) or (allow_list and isinstance(value, list)):
        return value
    raise RefusedError(BAD_REQUEST, NO_OBJECT)


def demand_small(body: bytes) -> None:
    """Demand that JSON has at most so many levels and values, looking at brackets and commas outside its strings."""
    plain = without_escapes(body)
    too_many = plain.count(b'"') > 4 * MOST_VALUES  # a name and a text for each
    marks = b"" if too_many else OUTSIDE.sub(b"", outside_strings(plain))
    if too_many or sum(marks.count(mark) for mark in (b",", b"[", b"{")) > MOST_VALUES:
        raise RefusedError(BAD_REQUEST, f"the JSON has more than {MOST_VALUES:,} values")
    if depth(marks) > MOST_DEPTH:
        raise RefusedError(BAD_REQUEST, f"the JSON is nested more than {MOST_DEPTH} deep")


def without_escapes(body: bytes) -> bytes:
    r"""Return JSON without escaped backslashes and quotes: then every quote begins or ends a string.

    >>> without_escapes(rb'{"a\"[": ["\\"]}')
    b'{"a[": [""]}'
    """
    return body.replace(b"\\\\", b"").replace(b'\\"', b"")


def outside_strings(plain: bytes) -> bytes:
    """Return what is outside the strings of JSON without escapes. Of text that is no JSON, something of it.

    >>> outside_strings(b'{"a[": [""]}')
    b'{: []}'
    """
    return b"".join(plain.split(b'"')[::2])


def depth(marks: bytes) -> int:
    """Return how deep brackets are nested, at most one more than `MOST_DEPTH`.

    >>> depth(b"[{}{[]}]")
    3
    """
    level = deepest = 0
    for mark in marks:
        if mark in b"[{":
            level += 1
            deepest = max(deepest, level)
            if deepest > MOST_DEPTH:
                break
        elif mark in b"]}":
            level -= 1
    return deepest


def _object(pairs: list[tuple[str, object]]) -> dict[str, object]:
    found = dict(pairs)
    if len(found) < len(pairs):
        counted = Counter(name for name, _ in pairs)
        twice = next(name for name in counted if counted[name] > 1)[:100]
        raise RefusedError(BAD_REQUEST, f"{twice!r} is there twice in one object", twice)
    return found


def _constant(text: str) -> float:
    raise RefusedError(BAD_REQUEST, f"{text} is no number of JSON")


def _number(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise RefusedError(BAD_REQUEST, f"{text[:40]} is too large a number")
    return number
