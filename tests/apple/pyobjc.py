"""Reads pyobjc's wheels: what their metadata says, and what Apple's compiler wrote into their modules.

pyobjc generates the metadata from Apple's SDK. Its compiled modules hold more: the compiler that had that SDK
writes the whole of each protocol that is named, with all types; and pyobjc's own subclasses of Foundation's classes
override methods with the types that they have there.
"""

from __future__ import annotations

import runpy
import sys
import types
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from tests.apple.objc_tables import Image, Methods

if TYPE_CHECKING:
    from pathlib import Path

FRAMEWORKS = {
    "pyobjc_framework_cocoa-*": ("Foundation", "CoreFoundation"),
    "pyobjc_framework_metal-*": ("Metal",),
}
# subclasses in pyobjc-core that override methods of a class of Foundation
SUBCLASSES = {
    "OC_PythonUnicode": "NSString",
    "OC_BuiltinPythonUnicode": "NSString",
    "OC_PythonArray": "NSMutableArray",
    "OC_BuiltinPythonArray": "NSMutableArray",
    "OC_PythonDictionary": "NSMutableDictionary",
    "OC_BuiltinPythonDictionary": "NSMutableDictionary",
    "OC_PythonNumber": "NSNumber",
    "OC_PythonSet": "NSMutableSet",
    "OC_BuiltinPythonSet": "NSMutableSet",
    "OC_PythonURL": "NSURL",
}


@dataclass
class Pyobjc:
    """What pyobjc knows, by name."""

    constants: dict[str, tuple[str, int]] = field(default_factory=dict)  # name -> framework, value
    variables: dict[str, str] = field(default_factory=dict)  # name -> type
    functions: dict[str, tuple[str, str]] = field(default_factory=dict)  # name -> framework, encoding
    structs: dict[str, tuple[str, list[str]]] = field(default_factory=dict)  # name -> encoding, fields
    # metadata of each selector: (class, selector) -> position of a type (-1 is the result) -> type
    selectors: dict[tuple[str, str], dict[int, str]] = field(default_factory=dict)
    protocols: dict[str, Methods] = field(default_factory=dict)
    classes: dict[str, Methods] = field(default_factory=dict)
    bindings: dict[str, str] = field(default_factory=dict)  # symbol -> library


def read_pyobjc(folder: Path) -> Pyobjc:
    """Read the unpacked wheels."""
    found = Pyobjc()
    for project, frameworks in FRAMEWORKS.items():
        for framework in frameworks:
            _read_metadata(next(folder.glob(f"{project}/{framework}/_metadata.py")), framework, found)
            _read_module(next(folder.glob(f"{project}/{framework}/_{framework}.*.so")), found)
    _read_module(next(folder.glob("pyobjc_core-*/objc/_objc.*.so")), found)
    return found


def _read_module(path: Path, found: Pyobjc) -> None:
    image = Image(path)
    found.protocols |= image.protocols()
    found.bindings |= image.libraries
    for name, methods in image.classes().items():
        if name in SUBCLASSES:
            known = found.classes.setdefault(SUBCLASSES[name], Methods())
            known.instance.update(methods.instance)
            known.of_class.update(methods.of_class)


def _read_metadata(path: Path, framework: str, found: Pyobjc) -> None:
    def register(owner: bytes, selector: bytes, data: dict[str, Any]) -> None:
        kinds = {-1: data.get("retval", {})} | data.get("arguments", {})
        given = {at: _text(each["type"]) for at, each in kinds.items() if "type" in each}
        found.selectors.setdefault((owner.decode(), selector.decode()), {}).update(given)

    def struct(name: str, encoding: bytes, fields: list[str], *_: object) -> None:
        found.structs[name.rpartition(".")[2]] = (encoding.decode(), fields)

    stand_in = types.ModuleType("objc")
    vars(stand_in).update(
        arch="arm64",
        createStructType=struct,
        registerMetaDataForSelector=register,
        __getattr__=lambda _: lambda *_, **__: None,  # what else it registers is about Python's side
    )
    before = sys.modules.get("objc")
    sys.modules["objc"] = stand_in
    try:
        values = runpy.run_path(str(path))
    finally:
        sys.modules.pop("objc")
        if before is not None:
            sys.modules["objc"] = before
    for row in filter(None, values["enums"].split("$")):
        name, _, value = row.partition("@")
        if value.lstrip("-").isdigit():
            found.constants[name] = (framework, int(value))
    for row in filter(None, values["constants"].split("$")):
        name, _, kind = row.partition("@")
        found.variables[name] = kind or "@"
    for name, row in values.get("functions", {}).items():
        found.functions[name] = (framework, _text(row[0]))


def _text(encoding: str | bytes) -> str:
    return encoding.decode() if isinstance(encoding, bytes) else encoding
