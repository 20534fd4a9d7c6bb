"""The text of a manifest: its canonical form, and edits in place that keep comments and layout."""

from __future__ import annotations

import copy
import json
import re
from typing import TYPE_CHECKING

import msgspec

from recipes.digest import Digest
from recipes.document import Document, Place, Steps, Value, dotted, read

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from recipes.schema import Defaults, Recipe, Toolchain

_INDENT = "  "
# Text that YAML takes as it stands, inside brackets too; a colon only in an address.
_PLAIN = re.compile(r"(https?://|file://)?[A-Za-z0-9_./+][A-Za-z0-9_./+@~=%() -]*(?<! )", re.ASCII)
# What editors, which follow https://yaml.org/spec/1.2.2/#103-core-schema, would not take as text.
_NOT_TEXT = re.compile(
    r"~|null|Null|NULL|true|True|TRUE|false|False|FALSE"
    r"|[-+]?[0-9]+|0o[0-7]+|0x[0-9a-fA-F]+"
    r"|[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?|[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)",
    re.ASCII,
)


def dump_canonical(manifest: Recipe | Toolchain | Defaults) -> str:
    """Write a manifest in its canonical form: keys in the schema's order, defaults left out, two spaces a level."""
    return "\n".join(_lines(_plain_data(manifest))) + "\n"


def replace_pins(text: str, changes: Mapping[Steps, str]) -> str:
    """Change scalars of a manifest where they stand, and keep every other character.

    Parameters
    ----------
    text
        A manifest, as `recipes.document.read` takes it.
    changes
        New values by path. A key that its object does not have yet is added below the last scalar of the object.

    Raises
    ------
    ManifestError
        Where the text is not a manifest.
    ValueError
        Where a path names no place for a scalar: a list or an object, a block scalar, an item beyond a list's end.
    """
    document = read(text, "manifest")
    edits = [_edit(document, path, value) for path, value in changes.items()]
    result = text
    # Backwards, so that offsets stay true; additions at one place in the order given.
    for start, end, new in sorted(reversed(edits), key=lambda edit: edit[:2], reverse=True):
        result = result[:start] + new + result[end:]
    if read(result, "manifest").data != _changed(document.data, changes):
        raise ValueError("the changes cannot be made in this text")
    return result


def _edit(document: Document, path: Steps, value: str) -> tuple[int, int, str]:
    """Give what to put between two offsets."""
    in_flow = any(document.places[path[:depth]].style in {"{", "["} for depth in range(len(path)))
