"""Reads one PE file with LIEF: what it asks of the Windows that it runs on, and shows to other files.

The format is that of Microsoft's "PE Format" specification; the hash in the place of a time is LLVM's `/Brepro`.
"""

from __future__ import annotations

import posixpath
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from recipes.build.audit.binary_reader import has_magic, parse_pe, read_binary
from recipes.build.audit.symbols import DEBUG_SECTION

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

MAGICS = frozenset({b"MZ"})
MACHINES = {"AMD64": "x86_64", "ARM64": "aarch64", "I386": "i686"}
EXECUTE, WRITE = 0x20000000, 0x80000000  # IMAGE_SCN_MEM_* of a section


@dataclass(frozen=True)
class PeImport:
    """One symbol that the loader binds, and the file that must have it; no symbol where it is asked for by number."""

    symbol: str
    library: str


@dataclass(frozen=True)
class PeFacts:
    """What a file of a bundle asks of the machine it runs on, and shows to other files.

    Parameters
    ----------
    machine
        The processor, as `uname -m` prints it.
    subsystem
        As LIEF names it: WINDOWS_CUI is a program of the console.
    subsystem_version
        The oldest Windows that loads it, as two numbers: (10, 0) is Windows 10, (6, 0) Vista.
    protections
        The DLL characteristics, as LIEF names them, such as DYNAMIC_BASE.
    is_relocatable
        Whether it lists what must be changed where it is placed elsewhere; without that ASLR does nothing.
    writable_code
        Names of the sections that can be both written and executed.
    internal_name
        What a library calls itself, which is what a linker writes into the files that need it; else None.
    times
        Each time stamp of the file that is not 0.
    is_time_a_hash
        Whether the file says that its time stamp is a hash of its content.
    unstripped
        Names of what `strip` would remove.
    rest_bytes
        How much follows the last section; a signature would stand there.
    """

    name: str
    machine: str
    is_library: bool
    subsystem: str
    subsystem_version: tuple[int, int]
    protections: frozenset[str]
    is_relocatable: bool
    writable_code: tuple[str, ...]
    internal_name: str | None
    imports: tuple[PeImport, ...]
    exported: tuple[str, ...]
    times: tuple[int, ...]
    is_time_a_hash: bool
    debug_paths: tuple[str, ...]
    unstripped: tuple[str, ...]
    rest_bytes: int

    @property
    def leaf(self) -> str:
        """Its name without the folder."""
        return posixpath.basename(self.name)


def is_pe(path: Path) -> bool:
    """Whether a file starts as a program of DOS does, as each PE file must."""
    return has_magic(path, MAGICS)


def inspect(path: Path, name: str) -> PeFacts:
    """Read one PE file; raises AuditError where it is not a PE file, or is damaged."""
    return read_binary(
        path, "a PE file with its tables inside it", lambda data: _read_facts(name, parse_pe(data), len(data))
    )


def _read_facts(name: str, binary: Any, size_bytes: int) -> PeFacts:  # noqa: ANN401 - LIEF's own types
    head, optional = binary.header, binary.optional_header
    end = max(section.pointerto_raw_data + section.sizeof_raw_data for section in binary.sections)
    if end > size_bytes:
        raise ValueError(f"sections up to byte {end} of {size_bytes}")
    exports = binary.get_export() if binary.has_exports else None
    exported = tuple(sorted(entry.name for entry in exports.entries)) if exports else ()
    kinds = [entry.type.name for entry in binary.debug]
    return PeFacts(
        name=name,
        machine=MACHINES.get(head.machine.name, head.machine.name),
        is_library="DLL" in {each.name for each in head.characteristics_list},
        subsystem=optional.subsystem.name,
        subsystem_version=(optional.major_subsystem_version, optional.minor_subsystem_version),
        protections=frozenset(each.name for each in optional.dll_characteristics_lists),
        is_relocatable=binary.has_relocations,
        writable_code=tuple(
            section.name
            for section in binary.sections
            if section.characteristics & EXECUTE and section.characteristics & WRITE
        ),
        internal_name=exports.name if exports else None,
        imports=tuple(sorted(_imports(binary), key=lambda each: (each.library.lower(), each.symbol))),
        exported=exported,
        times=tuple(time for time in _times(binary, exports) if time),
        is_time_a_hash="REPRO" in kinds,
        debug_paths=tuple(str(entry.filename) for entry in binary.debug if getattr(entry, "filename", None)),
        unstripped=(
            *(section.name for section in binary.sections if DEBUG_SECTION.match(section.name)),
            *(["symbol table"] if head.numberof_symbols else []),
        ),
        rest_bytes=size_bytes - end,
    )


def _imports(binary: Any) -> Iterator[PeImport]:  # noqa: ANN401 - LIEF's own types
    for library in (*binary.imports, *binary.delay_imports):
        for entry in library.entries:
            yield PeImport("" if entry.is_ordinal else entry.name, library.name)


def _times(binary: Any, exports: Any) -> Iterator[int]:  # noqa: ANN401 - LIEF's own types
    yield binary.header.time_date_stamps
    yield from (entry.timestamp for entry in binary.debug)
    if exports:
        yield exports.timestamp
