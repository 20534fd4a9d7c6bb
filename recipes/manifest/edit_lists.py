"""Edits of a manifest beyond single scalars: a key renamed or removed, items of a list added, exchanged or removed.

As `edit_values.replace_pins`, which these complete, they keep every other character, comments included.
"""

from __future__ import annotations

import copy
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from recipes.core.errors import ManifestError
from recipes.manifest.edit_values import replace_pins
from recipes.manifest.strict_yaml import Document, Steps, Value, dotted, read

if TYPE_CHECKING:
    from collections.abc import Sequence


@dataclass(frozen=True)
class NewItem:
    """An item to write into a list: its lines, as they would stand at the left margin, without the dash.

    `instead_of` is the item whose comments above it are kept above this one; None where it succeeds none.
    """

    text: str
    instead_of: int | None = None


def rename_key(text: str, path: Steps, name: str, value: str) -> str:
    """Return the text with a key and its scalar, found by its path, replaced where they stand in a block mapping.

    Raises ManifestError where the text is not a manifest, and ValueError where there is no such key, or it cannot be
    renamed where it stands.
    """
    document = read(text, "manifest")
    *parents, key = path
    place, holder = document.places.get(path), document.places.get(tuple(parents))
    lines = text.splitlines(keepends=True)
    if place is None or holder is None or holder.style != "-" or not isinstance(key, str):
        raise ValueError(f"there is no key {dotted(path)} on a line of its own")
    line = lines[place.line - 1]
    if not line[holder.column :].startswith(f"{key}:"):
        raise ValueError(f"the key {dotted(path)} does not begin its line")
    lines[place.line - 1] = f"{line[: holder.column]}{name}{line[holder.column + len(key) :]}"
    return replace_pins("".join(lines), {(*parents, name): value})


def remove_key(text: str, path: Steps) -> str:
    """Return the text without a key and its scalar, found by its path, which stand on a line of their own.

    Raises as `rename_key` does.
    """
    document = read(text, "manifest")
    *parents, key = path
    place, holder = document.places.get(path), document.places.get(tuple(parents))
    lines = text.splitlines(keepends=True)
    if (
        place is None
        or holder is None
        or not lines[place.line - 1].startswith(f"{' ' * holder.column}{key}:")
    ):
        raise ValueError(f"there is no key {dotted(path)} on a line of its own")
    last = text.count("\n", 0, max(place.start, place.end - 1)) + 1
    result = "".join((*lines[: place.line - 1], *lines[last:]))
    expected = copy.deepcopy(document.data)
    at: Any = expected
    for step in parents:
        at = at[step]
    del at[key]
    if not _says(result, expected):
        raise ValueError(f"cannot remove {dotted(path)} in this layout")
    return result


def rewrite_list(text: str, path: Steps, items: Sequence[int | NewItem]) -> str:
    """Rewrite a block list: items that stay, with their comments, and new ones.

    The comment lines directly above an item are the item's own, and go with it. `items` are in their new order; one
    that stays is given by its index. Raises ManifestError where the text is not a manifest, and ValueError where the
    list is not written as one item below the other.
    """
    document = read(text, "manifest")
    count = len(_list_at(document.data, path))
    lines = text.splitlines(keepends=True)
    lines[-1] = lines[-1].rstrip("\n") + "\n"
    dashes = [_dash_line(document, lines, (*path, index)) for index in range(count)]
    if not dashes:
        raise ValueError(f"{dotted(path)} is not a list that has items")
    starts = [_first_comment(lines, dash) for dash in dashes]
    ends = [*starts[1:], _last_line(document, (*path, count - 1)) + 1]
    indent = " " * (len(lines[dashes[0]]) - len(lines[dashes[0]].lstrip()))
    written: list[str] = []
    for item in items:
        if isinstance(item, int):
            written += lines[starts[item] : ends[item]]
            continue
        if item.instead_of is not None:
            written += lines[starts[item.instead_of] : dashes[item.instead_of]]
        first, *rest = item.text.splitlines()
        written += [f"{indent}- {first}\n", *(f"{indent}  {line}\n" for line in rest)]
    before = lines[: starts[0]]
    if not written:
        before[-1] = before[-1].rstrip() + " []\n"
    result = "".join((*before, *written, *lines[ends[-1] :]))
    if not _says(result, _expected(document.data, path, items)):
        raise ValueError(f"cannot edit {dotted(path)} in this layout")
    return result


def _says(text: str, data: Value) -> bool:
    try:
        return read(text, "manifest").data == data
    except ManifestError:
        return False


def _list_at(data: Value, path: Steps) -> list[Value]:
    found: object = data
    for step in path:
        if isinstance(found, dict):
            found = found.get(step)
        else:
            found = found[step] if isinstance(found, list) and isinstance(step, int) else None
    if not isinstance(found, list):
        raise ValueError(f"{dotted(path)} is not a list")  # noqa: TRY004 - of the text, not of an argument
    return found


def _dash_line(document: Document, lines: Sequence[str], path: Steps) -> int:
    """Return the line, from 0, on which an item begins with its dash."""
    number = document.line_of(path) - 1
    if not lines[number].lstrip().startswith("- "):
        raise ValueError(f"{dotted(path)} does not begin a line with its dash")
    return number


def _first_comment(lines: Sequence[str], number: int) -> int:
    while number > 0 and lines[number - 1].lstrip().startswith("#"):
        number -= 1
    return number


def _last_line(document: Document, path: Steps) -> int:
    """Return the line, from 0, on which the last of an item's values ends."""
    end = max(place.end for steps, place in document.places.items() if steps[: len(path)] == path)
    return document.text.count("\n", 0, end)


def _expected(data: Value, path: Steps, items: Sequence[int | NewItem]) -> Value:
    result = copy.deepcopy(data)
    place = _list_at(result, path)
    before = list(place)
    place[:] = [before[item] if isinstance(item, int) else read(item.text, "item").data for item in items]
    return result
