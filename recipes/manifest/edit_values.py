"""The text of a manifest: its canonical form, and edits in place that keep comments and layout."""

from __future__ import annotations

import copy
import json
import re
from typing import TYPE_CHECKING

from msgspec import NODEFAULT, Struct, structs

from recipes.core.digest import Digest
from recipes.manifest.strict_yaml import Document, Steps, Value, dotted, read

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping


# Text that YAML takes as it stands, inside brackets too; a colon only in an address.
_PLAIN = re.compile(
    r"((https?|file)://|-(?=[A-Za-z]))?[A-Za-z0-9_./+][A-Za-z0-9_./+@~=%() -]*(?<! )", re.ASCII
)
# What editors would take for something else than text: https://yaml.org/spec/1.2.2/#103-core-schema
_NUMBER = re.compile(
    r"[-+]?[0-9]+|0o[0-7]+|0x[0-9a-fA-F]+|[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?", re.ASCII
)
_WORD = re.compile(r"null|Null|NULL|true|True|TRUE|false|False|FALSE|[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)")
_SCALARS = frozenset(("", "'", '"'))  # the styles that can be edited within their line


def dump_canonical(manifest: Struct) -> str:
    """Write a manifest, or one origin, with its keys in the schema's order, without defaults, two spaces a level."""
    return "\n".join(_lines(_plain_data(manifest), "")) + "\n"


def replace_pins(text: str, changes: Mapping[Steps, str]) -> str:
    """Change scalars of a manifest where they stand, by path, and keep every other character.

    A key that its object lacks is added below the object's last scalar. Raises ManifestError where the text is not a
    manifest, or a value cannot be written in one, and ValueError where a path is not that of a plain or quoted scalar.
    """
    document = read(text, "manifest")
    edits = [_edit(document, path, value) for path, value in changes.items()]
    result = text
    # From the end, so that offsets stay true; what is added at one offset keeps its order.
    for start, end, new in sorted(edits, key=lambda edit: edit[:2])[::-1]:
        result = result[:start] + new + result[end:]
    if read(result, "manifest").data != _changed(document.data, changes):
        raise ValueError(f"cannot edit {', '.join(dotted(path) for path in changes)} in this layout")
    return result


def _edit(document: Document, path: Steps, value: str) -> tuple[int, int, str]:
    """Return two offsets, and what to put between them."""
    if place := document.places.get(path):
        if place.style not in _SCALARS:
            raise ValueError(f"{dotted(path)} is not a scalar within a line")
        was = document.text[place.start : place.end]
        return place.start, place.end, _scalar(value, place.style, number=bool(_NUMBER.fullmatch(was)))
    *parents, key = path
    holder = document.places.get(tuple(parents))
    last = max(
        (
            place.end
            for steps, place in document.places.items()
            if steps[:-1] == tuple(parents) and len(steps) == len(path) and place.style in _SCALARS
        ),
        default=None,
    )
    if not isinstance(key, str) or holder is None or last is None:
        raise ValueError(f"there is no place for {dotted(path)}")
    entry = f"{_scalar(key)}: {_scalar(value)}"
    if holder.style == "{":
        return last, last, f", {entry}"
    end = document.text.find("\n", last)
    end = len(document.text) if end < 0 else end
    return end, end, f"\n{' ' * holder.column}{entry}"


def _changed(data: Value, changes: Mapping[Steps, str]) -> Value:
    """Return the data that a changed text must hold."""
    result = copy.deepcopy(data)
    for path, value in changes.items():
        if not path:
            return value
        holder: object = result
        for step in path[:-1]:
            holder = holder[step]  # type: ignore[index] # _edit has found this path in the data
        holder[path[-1]] = value  # type: ignore[index] # as above
    return result


def _scalar(text: str, style: str = "", *, number: bool = False) -> str:
    """Write one scalar: in the style given where that can hold it, else in double quotes."""
    other = _WORD.fullmatch(text) or (_NUMBER.fullmatch(text) and not number)
    if not style and _PLAIN.fullmatch(text) and not other:
        return text
    if style == "'" and "\n" not in text:
        return "'" + text.replace("'", "''") + "'"
    return json.dumps(text, ensure_ascii=False)  # https://yaml.org/spec/1.2.2/#12-relation-to-json


def _plain_data(value: object) -> object:
    """Return typed data as dictionaries, lists, text and numbers, in the schema's order."""
    if isinstance(value, Struct):
        config = type(value).__struct_config__
        data: dict[str, object] = {str(config.tag_field): config.tag} if config.tag_field else {}
        for field in structs.fields(value):
            item = getattr(value, field.name)
            default = field.default_factory() if field.default_factory is not NODEFAULT else field.default
            if item != default:
                data[field.encode_name] = _plain_data(item)
        return data
    if isinstance(value, dict):
        return {key: _plain_data(item) for key, item in value.items()}
    if isinstance(value, tuple):
        return [_plain_data(item) for item in value]
    return value.hex if isinstance(value, Digest) else value


def _lines(value: object, indent: str) -> Iterator[str]:
    if isinstance(value, dict):
        for key, item in value.items():
            head = f"{indent}{_scalar(key)}:"
            if isinstance(item, dict | list) and item:
                yield head
                yield from _lines(item, indent + "  ")
            else:
                yield f"{head} {_leaf(item)}"
    elif isinstance(value, list):
        for item in value:
            if isinstance(item, dict | list) and item:
                first, *rest = _lines(item, indent + "  ")
                yield f"{indent}- {first.lstrip()}"
                yield from rest
            else:
                yield f"{indent}- {_leaf(item)}"


def _leaf(value: object) -> str:
    if isinstance(value, int):
        return str(value)
    return _scalar(value) if isinstance(value, str) else "{}" if isinstance(value, dict) else "[]"
