"""Reads one ELF file with LIEF: what it asks of the machine it runs on, shows to other files, and has at an offset.

The format is that of the System V ABI's generic part (gABI), symbol versions as in the LSB's "Symbol Versioning".
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from recipes.build.audit.binary_reader import has_magic, name_of, parse_elf, read_binary
from recipes.build.audit.symbols import DEBUG_SECTION
from recipes.core.errors import AuditError

if TYPE_CHECKING:
    from pathlib import Path

MAGICS = frozenset({b"\x7fELF"})
MACHINES = {"X86_64": "x86_64", "AARCH64": "aarch64", "RISCV": "riscv64", "I386": "i686", "ARM": "armv7l"}
TEXT_RELOCATIONS = 0x4  # DF_TEXTREL of DT_FLAGS
EXECUTE = 0x1  # PF_X
VERSION_INDEX, LOCAL, GLOBAL = 0x7FFF, 0, 1  # of a symbol: the bit above them hides it


@dataclass(frozen=True)
class ElfFacts:
    """What a file of a bundle asks of the machine it runs on, and shows to other files.

    The machine is as `uname -m` prints it; only a program has an interpreter. A run path is one folder of RPATH or
    RUNPATH. `glibc_needed` is the newest glibc symbol version ("" for none), `glibc_symbols` are those that ask for it.
    Exported are weak symbols too. `unstripped` names the sections that `strip` would remove.
    """

    name: str
    machine: str
    interpreter: str | None
    soname: str | None
    needed: tuple[str, ...]
    run_paths: tuple[str, ...]
    glibc_needed: str
    glibc_symbols: tuple[str, ...]
    exported: tuple[str, ...]
    unstripped: tuple[str, ...]
    has_text_relocations: bool
    has_executable_stack: bool


def is_elf(path: Path) -> bool:
    """Whether a file begins as an ELF file does."""
    return has_magic(path, MAGICS)


def inspect(path: Path, name: str) -> ElfFacts:
    """Read one ELF file; raises AuditError where it is not ELF, is damaged, or has no section headers."""
    return read_binary(
        path, "an ELF file with section headers", lambda data: _read_facts(name, parse_elf(data), len(data))
    )


def section_at(path: Path, offset: int) -> str | None:
    """Return the part of a file that holds an offset, as `.rodata+0x1f3`; None where it is no whole ELF file."""
    try:
        return read_binary(path, "an ELF file", lambda data: _place_in(parse_elf(data), offset))
    except AuditError:
        return None


def glibc_order(version: str) -> tuple[int, ...]:
    """Return what glibc versions are sorted by, oldest first; GLIBC_PRIVATE and its like are newer than any."""
    return tuple(int(part) for part in version.split(".")) if re.fullmatch(r"[\d.]+", version) else (1 << 16,)


def _read_facts(name: str, elf: Any, size_bytes: int) -> ElfFacts:  # noqa: ANN401 - LIEF's own types
    _check_whole(elf, size_bytes)
    entries = [(name_of(entry.tag), entry) for entry in elf.dynamic_entries]
    values = {tag: entry.value for tag, entry in entries}
    symbols = list(elf.dynamic_symbols)
    glibc, askers = _glibc(elf, symbols, values.get("VERNEEDNUM", 0))
    stack = [segment.raw_flags for segment in elf.segments if name_of(segment.type) == "GNU_STACK"]
    return ElfFacts(
        name=name,
        machine=MACHINES.get(name_of(elf.header.machine_type), name_of(elf.header.machine_type)),
        interpreter=_text(elf.interpreter) if elf.has_interpreter else None,
        soname=next((_text(entry.name) for tag, entry in entries if tag == "SONAME"), None),
        needed=tuple(_text(entry.name) for tag, entry in entries if tag == "NEEDED"),
        run_paths=tuple(
            folder
            for tag, entry in entries
            if tag in {"RPATH", "RUNPATH"}
            for folder in _text(getattr(entry, tag.lower())).split(":")
        ),
        glibc_needed=glibc,
        glibc_symbols=askers,
        exported=tuple(sorted({_text(symbol.name) for symbol in symbols if _is_exported(symbol)})),
        unstripped=tuple(
            _text(section.name)
            for section in elf.sections
            if name_of(section.type) == "SYMTAB" or DEBUG_SECTION.match(_text(section.name))
        ),
        has_text_relocations="TEXTREL" in values or bool(values.get("FLAGS", 0) & TEXT_RELOCATIONS),
        has_executable_stack=not stack or any(flags & EXECUTE for flags in stack),
    )


def _place_in(elf: Any, offset: int) -> str | None:  # noqa: ANN401 - as above
    head = elf.header
    if not head.numberof_sections:
        return None
    spans = [(_text(section.name), section.offset, section.size) for section in _stored(elf)]
    spans += [
        ("ELF header", 0, head.header_size),
        ("program headers", head.program_header_offset, head.numberof_segments * head.program_header_size),
        ("section headers", head.section_header_offset, head.numberof_sections * head.section_header_size),
    ]
    found = (f"{name}+{offset - start:#x}" for name, start, size in spans if start <= offset < start + size)
    return next(found, "between sections")


def _check_whole(elf: Any, size_bytes: int) -> None:  # noqa: ANN401 - as above
    """Refuse what LIEF reads in part only: it skips tables that lie outside the file, and says so to nobody."""
    head = elf.header
    counts = (len(elf.sections), len(elf.segments))
    if not head.numberof_sections or counts != (head.numberof_sections, head.numberof_segments):
        raise ValueError(
            f"{counts[0]} sections and {counts[1]} segments of {head.numberof_sections} and {head.numberof_segments}"
        )
    end = max((part.offset + part.size for part in _stored(elf)), default=0)
    end = max(end, *(part.file_offset + part.physical_size for part in elf.segments), 0)
    if end > size_bytes:
        raise ValueError(f"sections or segments up to byte {end} of {size_bytes}")
    tables = [entry.value for entry in elf.dynamic_entries if name_of(entry.tag) == "SYMTAB"]
    symbols = [section for section in elf.sections if name_of(section.type) == "DYNSYM"]
    if len(elf.dynamic_entries) and [each.virtual_address for each in symbols] != tables:
        raise ValueError("a dynamic section, and no section header that names its symbols")
    if symbols and len(elf.dynamic_symbols) * symbols[0].entry_size != symbols[0].size:
        raise ValueError(f"{len(elf.dynamic_symbols)} symbols in a table of {symbols[0].size} bytes")


def _stored(elf: Any) -> list[Any]:  # noqa: ANN401 - as above
    """Return the sections that have bytes in the file."""
    return [section for section in elf.sections if name_of(section.type) not in {"SHT_NULL_", "NOBITS"}]


def _text(name: str | bytes) -> str:
    if isinstance(name, bytes):  # what LIEF returns where it is not UTF-8
        raise TypeError(f"{name!r} is not UTF-8")
    return name


def _is_exported(symbol: Any) -> bool:  # noqa: ANN401 - as above
    return (
        symbol.shndx != 0
        and name_of(symbol.binding) != "LOCAL"
        and name_of(symbol.visibility) in {"DEFAULT", "PROTECTED"}
    )


def _glibc(elf: Any, symbols: list[Any], promised: int) -> tuple[str, tuple[str, ...]]:  # noqa: ANN401 - as above
    """Return the newest glibc version, and who asks for it; refuse tables of versions that do not fit each other."""
    libraries = list(elf.symbols_version_requirement)
    needed = {
        version.other: _text(version.name)
        for library in libraries
        for version in library.get_auxiliary_symbols()
    }
    versions = [each.value & VERSION_INDEX for each in elf.symbols_version]
    defined = {each.ndx for each in elf.symbols_version_definition}
    unknown = set(versions) - needed.keys() - defined - {LOCAL, GLOBAL}
    if len(libraries) != promised or unknown or len(versions) not in {len(symbols), 0 if not needed else -1}:
        raise ValueError(
            f"versions of {len(libraries)} libraries of {promised}, and none for {sorted(unknown)}"
        )
    numbers = {
        number: name.removeprefix("GLIBC_") for number, name in needed.items() if name.startswith("GLIBC_")
    }
    newest = max(numbers.values(), key=glibc_order, default="")
    pairs = zip(symbols, versions, strict=False)
    return newest, tuple(
        sorted(_text(s.name) for s, number in pairs if newest and numbers.get(number) == newest)
    )
