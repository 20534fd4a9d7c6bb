"""Parses the SDK's own headers with libclang: what they declare, as the compiler understands it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from clang.cindex import CursorKind, Diagnostic, Index, LinkageKind

if TYPE_CHECKING:
    from pathlib import Path

    from clang.cindex import Cursor

Layout = tuple[tuple[str, int, int], ...]  # of each field: name, offset and size in bytes
SOURCE = """\
#define ACCELERATE_NEW_LAPACK
#define ACCELERATE_LAPACK_ILP64
#include <Foundation/Foundation.h>
#include <Metal/Metal.h>
#include <Accelerate/Accelerate.h>
"""
OWNERS = {
    CursorKind.OBJC_INTERFACE_DECL: "class",
    CursorKind.OBJC_CATEGORY_DECL: "class",
    CursorKind.OBJC_PROTOCOL_DECL: "protocol",
}


@dataclass(frozen=True)
class Method:
    """One method: of a class or protocol, with the type encoding that a caller compiles in."""

    owner: str
    owner_kind: str
    selector: str
    is_of_class: bool
    encoding: str

    def __str__(self) -> str:
        return f"{'+' if self.is_of_class else '-'}[{self.owner} {self.selector}]"


@dataclass
class Declarations:
    """Everything that the headers declare, by name."""

    methods: list[Method] = field(default_factory=list)
    constants: dict[str, int] = field(default_factory=dict)
    variables: dict[str, str] = field(default_factory=dict)  # those of the library: C name -> type encoding
    functions: dict[str, str] = field(default_factory=dict)  # C name -> type encoding
    symbols: dict[str, str] = field(default_factory=dict)  # C name -> symbol, of functions with no body
    structs: dict[str, Layout] = field(default_factory=dict)
    classes: dict[str, str | None] = field(default_factory=dict)  # name -> superclass
    protocols: dict[str, set[str]] = field(default_factory=dict)  # name -> those that it refines


def parse_headers(sdk: Path, zig: Path) -> Declarations:
    """Read the SDK's headers for arm64.

    Parameters
    ----------
    zig
        The folder of the pinned zig, which carries the C library's headers and the compiler's own.

    Raises
    ------
    ValueError
        Where clang finds an error in them.
    """
    includes = [zig / "lib" / "include", *(zig / "lib/libc/include").glob("*darwin-any")]
    arguments = [
        *("-target", "arm64-apple-macos13.3", "-nostdinc", "-fblocks"),
        *(word for folder in includes for word in ("-isystem", str(folder))),
        *("-F", str(sdk / "System/Library/Frameworks")),
    ]
    unit = Index.create().parse("all.m", unsaved_files=[("all.m", SOURCE)], args=arguments)
    errors = [str(each) for each in unit.diagnostics if each.severity >= Diagnostic.Error]
    if errors:
        raise ValueError("\n".join(errors))
    found = Declarations()
    for cursor in unit.cursor.walk_preorder():
        if cursor.location.file and sdk.as_posix() in cursor.location.file.name:
            _take(cursor, found)
    return found


def _take(cursor: Cursor, found: Declarations) -> None:
    kind, name = cursor.kind, cursor.spelling
    if kind in {CursorKind.OBJC_INSTANCE_METHOD_DECL, CursorKind.OBJC_CLASS_METHOD_DECL}:
        owner = cursor.semantic_parent
        is_of_class = kind == CursorKind.OBJC_CLASS_METHOD_DECL
        encoding = cursor.objc_type_encoding
        found.methods.append(Method(owner.spelling, OWNERS[owner.kind], name, is_of_class, encoding))
    elif kind == CursorKind.ENUM_CONSTANT_DECL:
        found.constants[name] = cursor.enum_value
    elif kind == CursorKind.VAR_DECL and cursor.linkage == LinkageKind.EXTERNAL:
        found.variables[name] = cursor.objc_type_encoding
    elif kind == CursorKind.FUNCTION_DECL:
        found.functions[name] = cursor.objc_type_encoding
        if not cursor.is_definition():
            found.symbols[name] = cursor.mangled_name.removeprefix("\1")
    elif kind == CursorKind.STRUCT_DECL and cursor.is_definition() and name:
        found.structs[name] = _layout(cursor)
    elif kind == CursorKind.OBJC_INTERFACE_DECL:
        supers = [
            each.spelling for each in cursor.get_children() if each.kind == CursorKind.OBJC_SUPER_CLASS_REF
        ]
        found.classes[name] = supers[0] if supers else None
    elif kind == CursorKind.OBJC_PROTOCOL_DECL and cursor.is_definition():
        found.protocols[name] = {
            each.spelling for each in cursor.get_children() if each.kind == CursorKind.OBJC_PROTOCOL_REF
        }


def _layout(cursor: Cursor) -> Layout:
    kind = cursor.type
    return tuple(
        (each.spelling, kind.get_offset(each.spelling) // 8, each.type.get_size())
        for each in kind.get_fields()
    )
