"""Type encodings of Objective-C, taken apart; as in Apple's "Objective-C Runtime Programming Guide", Type Encodings."""

from __future__ import annotations

import re

QUALIFIERS = "rnNoORVA"
BRACKETS = {"{": "}", "(": ")", "[": "]"}
SIZES = {"c": 1, "C": 1, "B": 1, "s": 2, "S": 2, "i": 4, "I": 4, "f": 4, "q": 8, "Q": 8, "d": 8, "@": 8}


def split(encoding: str) -> list[str]:
    """Return each type of a method's or function's encoding: the result's, then the arguments', without the offsets.

    Raises
    ------
    ValueError
        Where it is none.
    """
    found, at = [], 0
    while at < len(encoding):
        end = _end_of_type(encoding, at)
        found.append(encoding[at:end])
        offset = re.compile(r"[+-]?\d*").match(encoding, end)
        at = offset.end() if offset else end
    return found


def plain(kind: str) -> str:
    """Return a type as every authority writes it.

    Without qualifiers, which say how memory is used and not what is passed; with `B` for a truth value, for which
    pyobjc writes Z; with `*` for each pointer to characters, for which it writes ^t; and structs without their names,
    as Apple's have none where pyobjc makes some up.
    """
    kind = kind.lstrip(QUALIFIERS)
    if kind == "^t":
        return "*"
    if kind.startswith("^"):
        return "^" + plain(kind[1:])
    if kind.startswith("{"):
        _, _, fields = kind[1:-1].partition("=")
        return "{" + "".join(plain(each) for each in split(fields)) + "}"
    return {"Z": "B"}.get(kind, kind)


def layout(kind: str) -> list[tuple[int, int]]:
    """Return offset and size in bytes of each field of a struct of scalars; KeyError where a field is not a scalar."""
    rows, at = [], 0
    for each in split(kind[1:-1].partition("=")[2]):
        size = SIZES[each]
        at += -at % size
        rows.append((at, size))
        at += size
    return rows


def _end_of_type(text: str, at: int) -> int:
    while at < len(text) and text[at] in QUALIFIERS:
        at += 1
    if at == len(text):
        raise ValueError(f"{text} ends before a type")
    if text[at] == "^":
        return _end_of_type(text, at + 1)
    if text[at] in BRACKETS:
        depth = 0
        for end in range(at, len(text)):
            depth += (text[end] in BRACKETS) - (text[end] in BRACKETS.values())
            if not depth:
                return end + 1
        raise ValueError(f"{text}: a bracket stays open")
    if text[at] == "@" and text[at + 1 : at + 2] == "?":
        return at + 2
    if text[at] == "@" and text[at + 1 : at + 2] == '"':
        return text.index('"', at + 2) + 1
    return at + 1
