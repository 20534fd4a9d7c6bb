"""Reads what a compiler writes of Objective-C into a Mach-O file: methods of classes and protocols, and who is asked.

The layouts are those of the runtime, objc4's objc-runtime-new.h: protocol_t, class_t, class_ro_t, category_t and
method_list_t, whose entries are three pointers, or three 32-bit distances where bit 31 of the entry size is set.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from recipes.build.audit.binary_reader import parse_macho

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

RELATIVE = 0x80000000
POINTER = 8


@dataclass(frozen=True)
class Methods:
    """Methods of one class or protocol: selector -> type encoding, of instances and of the class."""

    instance: dict[str, str] = field(default_factory=dict)
    of_class: dict[str, str] = field(default_factory=dict)
    # of protocols: those that they refine
    refines: tuple[str, ...] = ()


class Image:
    """One slice of a Mach-O file, by address."""

    def __init__(self, path: Path, machine: str = "ARM64") -> None:
        self.fat = parse_macho(path.read_bytes())
        self.binary: Any = next(each for each in self.fat if each.header.cpu_type.name == machine)
        self.sections = {section.name: section for section in self.binary.sections}
        self.libraries = {
            binding.symbol.name: binding.library.name
            for binding in self.binary.bindings
            if binding.has_symbol and binding.has_library
        }

    def bytes_at(self, address: int, size: int) -> bytes:
        return bytes(self.binary.get_content_from_virtual_address(address, size))

    def number(self, address: int, size: int = POINTER, *, signed: bool = False) -> int:
        return int.from_bytes(self.bytes_at(address, size), "little", signed=signed)

    def text(self, address: int) -> str:
        parts = []
        while b"\0" not in (part := self.bytes_at(address, 64)):
            parts.append(part)
            address += 64
        return b"".join((*parts, part.partition(b"\0")[0])).decode()

    def pointers(self, section: str) -> list[int]:
        found = self.sections.get(section)
        data = bytes(found.content) if found else b""
        return [number for (number,) in struct.iter_unpack("<Q", data)]

    def protocols(self) -> dict[str, Methods]:
        """Return every protocol that the file describes, by name."""
        return dict(self._protocol(at) for at in self.pointers("__objc_protolist"))

    def classes(self) -> dict[str, Methods]:
        """Return every class and category that the file implements; a category under the name of its class."""
        found: dict[str, Methods] = {}
        for at in self.pointers("__objc_classlist"):
            data = self.number(at + 4 * POINTER) & ~7
            meta = self.number(self.number(at) + 4 * POINTER) & ~7
            found[self.text(self.number(data + 24))] = Methods(
                dict(self._methods(self.number(data + 32))), dict(self._methods(self.number(meta + 32)))
            )
        return found

    def selectors(self) -> dict[int, str]:
        """Return each selector that the code asks for, by the address of its reference."""
        section = self.sections["__objc_selrefs"]
        return {
            section.virtual_address + number * POINTER: self.text(pointer)
            for number, pointer in enumerate(self.pointers("__objc_selrefs"))
        }

    def class_references(self) -> dict[str, str]:
        """Return each class of another library that the code names, and the library that it is bound to."""
        return {
            name.removeprefix("_OBJC_CLASS_$_"): library
            for name, library in self.libraries.items()
            if name.startswith("_OBJC_CLASS_$_")
        }

    def _protocol(self, at: int) -> tuple[str, Methods]:
        lists = [self.number(at + offset) for offset in (24, 32, 40, 48)]
        instance = {**dict(self._methods(lists[0])), **dict(self._methods(lists[2]))}
        of_class = {**dict(self._methods(lists[1])), **dict(self._methods(lists[3]))}
        listed = self.number(at + 16)
        parents = [
            self.text(self.number(self.number(listed + (1 + number) * POINTER) + POINTER))
            for number in range(self.number(listed) if listed else 0)
        ]
        name = self.text(self.number(at + POINTER))
        return name, Methods(instance, of_class, tuple(parents))

    def _methods(self, at: int) -> Iterator[tuple[str, str]]:
        if not at:
            return
        size, count = self.number(at, 4), self.number(at + 4, 4)
        step = size & 0xFFFC
        for start in range(at + 8, at + 8 + count * step, step):
            if size & RELATIVE:
                selector = self.number(start + self.number(start, 4, signed=True))
                types = start + 4 + self.number(start + 4, 4, signed=True)
            else:
                selector, types = self.number(start), self.number(start + POINTER)
            yield self.text(selector), self.text(types)
