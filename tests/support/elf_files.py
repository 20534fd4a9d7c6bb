"""Writes small ELF files, byte by byte, that a system's own loader accepts: the same on every machine.

Compilers differ, and a check must be tried on what no compiler here would make. One segment holds the whole
file; addresses are file offsets. Structures and constants are those of the gABI and the LSB.
"""

from __future__ import annotations

import platform
import struct
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

MACHINE_CODES = {"x86_64": 62, "aarch64": 183, "riscv64": 243}
GLOBAL, WEAK = 1, 2
DEFAULT, HIDDEN = 0, 2
PT_LOAD, PT_DYNAMIC, PT_INTERP, PT_GNU_STACK = 1, 2, 3, 0x6474E551
SHT_PROGBITS, SHT_SYMTAB, SHT_STRTAB, SHT_HASH, SHT_DYNAMIC, SHT_NOBITS, SHT_DYNSYM = 1, 2, 3, 5, 6, 8, 11
SHT_VERNEED, SHT_VERSYM = 0x6FFFFFFE, 0x6FFFFFFF
DT = {
    "NEEDED": 1, "HASH": 4, "STRTAB": 5, "SYMTAB": 6, "STRSZ": 10, "SYMENT": 11, "SONAME": 14, "RPATH": 15,
    "TEXTREL": 22, "BIND_NOW": 24, "RUNPATH": 29, "FLAGS": 30, "VERSYM": 0x6FFFFFF0, "FLAGS_1": 0x6FFFFFFB,
    "VERNEED": 0x6FFFFFFE, "VERNEEDNUM": 0x6FFFFFFF,
}  # fmt: skip
HEADER_BYTES, SEGMENT_BYTES, SECTION_BYTES, SYMBOL_BYTES = 64, 56, 64, 24


@dataclass(frozen=True)
class Symbol:
    """One dynamic symbol; an undefined one may ask for a version of a library."""

    name: str
    bind: int = GLOBAL
    visibility: int = DEFAULT
    is_defined: bool = True
    library: str = ""
    version: str = ""


@dataclass(frozen=True)
class ElfSpec:
    """What an ELF file shall hold; as it is, a library that every check lets through."""

    machine: str = platform.machine()
    soname: str | None = None
    needed: Sequence[str] = ()
    rpath: str | None = None
    runpath: str | None = None
    symbols: Sequence[Symbol] = ()
    interpreter: str | None = None
    tags: Mapping[str, int] = field(default_factory=dict)
    stack_flags: int | None = 6
    rodata: bytes = b"constants\0"
    extra: Mapping[str, bytes] = field(default_factory=dict)
    has_symbol_table: bool = False
    has_dynamic: bool = True


class Section(NamedTuple):
    """One section header and its bytes."""

    name: str
    kind: int
    data: bytes = b""
    link: int = 0
    info: int = 0
    entry: int = 0


class _Strings:
    def __init__(self) -> None:
        self.data = b"\0"

    def add(self, text: str) -> int:
        offset = len(self.data)
        self.data += text.encode() + b"\0"
        return offset


class _Image:
    """Sections one after another, each at an address that is its offset."""

    def __init__(self, start: int) -> None:
        self.data = b"\0" * start
        self.rows: list[tuple[Section, int, int]] = []

    def add(self, section: Section) -> int:
        self.data += b"\0" * (-len(self.data) % 16)
        offset = len(self.data)
        self.rows.append((section, offset, len(section.data)))
        self.data += section.data
        return offset


def elf_bytes(spec: ElfSpec) -> bytes:
    """Return the bytes of an ELF file of 64 bits, little endian."""
    segments = 1 + bool(spec.interpreter) + spec.has_dynamic + (spec.stack_flags is not None)
    image = _Image(HEADER_BYTES + segments * SEGMENT_BYTES)
    headers: list[tuple[int, int, int, int]] = []
    if spec.interpreter:
        text = spec.interpreter.encode() + b"\0"
        headers.append((PT_INTERP, 4, image.add(Section(".interp", SHT_PROGBITS, text)), len(text)))
    rodata = image.add(Section(".rodata", SHT_PROGBITS, spec.rodata))
    for name, data in spec.extra.items():
        image.add(Section(name, SHT_PROGBITS, data))
    image.rows.append((Section(".bss", SHT_NOBITS), len(image.data), 1 << 20))
    if spec.has_dynamic:
        headers.append(_add_dynamic(spec, image, rodata))
    if spec.has_symbol_table:
        image.add(Section(".strtab", SHT_STRTAB, b"\0"))
        strings = len(image.rows)
        image.add(
            Section(".symtab", SHT_SYMTAB, b"\0" * SYMBOL_BYTES, link=strings, info=1, entry=SYMBOL_BYTES)
        )
    if spec.stack_flags is not None:
        headers.append((PT_GNU_STACK, spec.stack_flags, 0, 0))
    return _finish(spec, image, headers)


def _add_dynamic(spec: ElfSpec, image: _Image, rodata: int) -> tuple[int, int, int, int]:
    strings = _Strings()
    first = len(image.rows) + 1  # section 0 is the empty one
    symtab, versym, verneed, libraries = _symbol_tables(spec, strings, rodata)
    chain = [(index + 1) % len(symtab) if index else 0 for index in range(len(symtab))]
    table = struct.pack(f"<{3 + len(chain)}I", 1, len(chain), 1 % len(chain), *chain)
    rows = [(DT["NEEDED"], strings.add(name)) for name in spec.needed]
    texts = (("SONAME", spec.soname), ("RPATH", spec.rpath), ("RUNPATH", spec.runpath))
    rows += [(DT[tag], strings.add(text)) for tag, text in texts if text is not None]
    rows += [(DT[tag], value) for tag, value in spec.tags.items()]
    rows.append((DT["STRTAB"], image.add(Section(".dynstr", SHT_STRTAB, strings.data))))
    rows.append((DT["STRSZ"], len(strings.data)))
    symbols = b"".join(symtab)
    rows.append(
        (
            DT["SYMTAB"],
            image.add(Section(".dynsym", SHT_DYNSYM, symbols, link=first, info=1, entry=SYMBOL_BYTES)),
        )
    )
    rows.append((DT["SYMENT"], SYMBOL_BYTES))
    rows.append((DT["HASH"], image.add(Section(".hash", SHT_HASH, table, link=first + 1, entry=4))))
    if libraries:
        data = struct.pack(f"<{len(versym)}H", *versym)
        rows.append(
            (DT["VERSYM"], image.add(Section(".gnu.version", SHT_VERSYM, data, link=first + 1, entry=2)))
        )
        place = image.add(Section(".gnu.version_r", SHT_VERNEED, verneed, link=first, info=libraries))
        rows += [(DT["VERNEED"], place), (DT["VERNEEDNUM"], libraries)]
    content = b"".join(struct.pack("<qQ", tag, value) for tag, value in [*rows, (0, 0)])
    return (
        PT_DYNAMIC,
        6,
        image.add(Section(".dynamic", SHT_DYNAMIC, content, link=first, entry=16)),
        len(content),
    )


def _symbol_tables(
    spec: ElfSpec, strings: _Strings, rodata: int
) -> tuple[list[bytes], list[int], bytes, int]:
    symtab, versym = [b"\0" * SYMBOL_BYTES], [0]
    wanted: dict[str, dict[str, int]] = {}
    number = 2  # 0 and 1 are the local and the global version
    for symbol in spec.symbols:
        section, value = (1 + bool(spec.interpreter), rodata) if symbol.is_defined else (0, 0)
        info = symbol.bind << 4 | 1  # an object
        symtab.append(
            struct.pack("<IBBHQQ", strings.add(symbol.name), info, symbol.visibility, section, value, 1)
        )
        if symbol.version and symbol.version not in wanted.setdefault(symbol.library, {}):
            wanted[symbol.library][symbol.version] = number
            number += 1
        versym.append(wanted[symbol.library][symbol.version] if symbol.version else 1)
    records = []
    for library, versions in wanted.items():
        length = 16 + 16 * len(versions)
        follows = 0 if library == list(wanted)[-1] else length
        records.append(struct.pack("<HHIII", 1, len(versions), strings.add(library), 16, follows))
        for index, (version, other) in enumerate(versions.items()):
            after = 0 if index == len(versions) - 1 else 16
            records.append(struct.pack("<IHHII", _hash(version), 0, other, strings.add(version), after))
    return symtab, versym, b"".join(records), len(wanted)


def _hash(name: str) -> int:
    value = 0
    for byte in name.encode():
        value = (value << 4) + byte
        high = value & 0xF0000000
        value = (value ^ high >> 24) & ~high & 0xFFFFFFFF
    return value


def _finish(spec: ElfSpec, image: _Image, headers: Sequence[tuple[int, int, int, int]]) -> bytes:
    names = _Strings()
    labels = [names.add(section.name) for section, _, _ in image.rows]
    labels.append(names.add(".shstrtab"))
    image.add(Section(".shstrtab", SHT_STRTAB, names.data))
    image.data += b"\0" * (-len(image.data) % 16)
    table = len(image.data)
    sections = b"\0" * SECTION_BYTES + b"".join(
        struct.pack("<IIQQQQIIQQ", label, s.kind, 2, place, place, size, s.link, s.info, 1, s.entry)
        for label, (s, place, size) in zip(labels, image.rows, strict=True)
    )
    total = table + len(sections)
    segments = [(PT_LOAD, 6, 0, total), *headers]
    program = b"".join(
        struct.pack(
            "<IIQQQQQQ", kind, flags, offset, offset, offset, size, size, 4096 if kind == PT_LOAD else 8
        )
        for kind, flags, offset, size in segments
    )
    header = struct.pack(
        "<4sBBBB8xHHIQQQIHHHHHH",
        *(b"\x7fELF", 2, 1, 1, 0, 3, MACHINE_CODES[spec.machine], 1, 0),
        *(HEADER_BYTES, table, 0, HEADER_BYTES, SEGMENT_BYTES, len(segments), SECTION_BYTES),
        *(len(labels) + 1, len(labels)),
    )
    start = header + program
    return start + image.data[len(start) :] + sections
