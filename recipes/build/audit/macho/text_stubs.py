"""Reads text stubs (.tbd): which library exports which symbol, as the linker was told.

The format is version 4 of https://github.com/apple/tapi (docs/TBD-Format): YAML documents; those after the first
describe libraries that the first re-exports.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import yaml

from recipes.core.errors import AuditError
from recipes.core.filesystem import storage_errors

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

# what a document's `exports` and `reexports` hold, and what stands before the name in the symbol table
PREFIXES = {
    "symbols": ("",),
    "weak-symbols": ("",),
    "thread-local-symbols": ("",),
    "objc-classes": ("_OBJC_CLASS_$_", "_OBJC_METACLASS_$_"),
    "objc-eh-types": ("_OBJC_EHTYPE_$_",),
    "objc-ivars": ("_OBJC_IVAR_$_",),
}
TARGETS = frozenset({"arm64-macos", "arm64e-macos"})  # a library for arm64e serves arm64 programs too


@dataclass(frozen=True)
class Stub:
    """One library as its stub describes it.

    `install_name` is the path that programs which link it will ask for, `current_version` what the linker records in
    them. Symbols are as symbol tables spell them, with the underscore; of the libraries it re-exports too.
    """

    install_name: str
    current_version: str
    symbols: frozenset[str]


class _Loader(getattr(yaml, "CSafeLoader", yaml.SafeLoader)):  # type: ignore[misc] # the C one where there is one
    """Reads `!tapi-tbd` as the plain mapping that it is."""


_Loader.add_constructor("!tapi-tbd", lambda loader, node: loader.construct_mapping(node, deep=True))
_Loader.add_constructor(  # a version is text: 1.10 is not 1.1
    "tag:yaml.org,2002:float", lambda loader, node: loader.construct_scalar(node)
)


def read_stubs(paths: Iterable[Path]) -> dict[str, Stub]:
    """Read stubs, by the install name that a program asks for; raises AuditError where a file is no stub."""
    stubs = (_read(path) for path in paths)
    return {stub.install_name: stub for stub in stubs}


def _read(path: Path) -> Stub:
    with storage_errors(path):
        text = path.read_text(encoding="utf-8")
    try:
        first, *rest = list(yaml.load_all(text, Loader=_Loader))
        exported = frozenset(symbol for document in (first, *rest) for symbol in _symbols(document))
        return Stub(
            first["install-name"],
            str(first.get("current-version", 1)),
            exported,
        )
    except (yaml.YAMLError, ValueError, KeyError, AttributeError, TypeError) as error:
        raise AuditError(
            where=str(path),
            expected="a text stub of version 4, as YAML",
            found=f"{type(error).__name__}: {error}",
            fix="git checkout -- recipes, or, in a toolchain, python3 noxfile.py -s gc -- --damaged",
        ) from None


def _symbols(document: dict[str, Any]) -> Iterator[str]:
    for part in (*document.get("exports", ()), *document.get("reexports", ())):
        if TARGETS & set(part["targets"]):
            for kind, prefixes in PREFIXES.items():
                yield from (prefix + name for name in part.get(kind, ()) for prefix in prefixes)
