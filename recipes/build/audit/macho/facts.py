"""Reads one Mach-O file with LIEF: what it asks of the machine it runs on, and shows to other files.

The format is that of Apple's <mach-o/loader.h> and <mach-o/nlist.h>.
"""

from __future__ import annotations

import posixpath
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from recipes.build.audit.binary_reader import has_magic, parse_macho, read_binary
from recipes.build.audit.macho.signature import Signature, parse_signature, wrong_pages, wrong_slots

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

MAGICS = frozenset(
    bytes.fromhex(text)
    for text in (
        "feedface",
        "feedfacf",
        "cefaedfe",
        "cffaedfe",
        "cafebabe",
        "cafebabf",
        "bebafeca",
        "bfbafeca",
    )
)
STAB = 0xE0  # of n_type: any bit of it makes the symbol one of a debugger


@dataclass(frozen=True)
class MachLibrary:
    """One library that a file asks for by LC_LOAD_DYLIB and its like."""

    path: str
    current_version: str


@dataclass(frozen=True)
class MachImport:
    """One symbol that the loader binds, and the file that must have it."""

    symbol: str
    library: str


@dataclass(frozen=True)
class MachFacts:
    """What a file of a bundle asks of the machine it runs on, and shows to other files.

    Parameters
    ----------
    machines
        One processor for each slice, as `uname -m` prints it on a Mac.
    kind
        As LIEF names the header's file type: EXECUTE, DYLIB or BUNDLE.
    platform, minimum_os
        What LC_BUILD_VERSION says; "" where there is none.
    loader, install_name
        Of a program, and of a library.
    imports, exported
        Symbols as the tables spell them, with the underscore.
    debug_symbols
        How many symbols only a debugger reads.
    signature, signature_fault
        One of the two is None.
    wrong_pages, wrong_slots
        What its signature does not hold for.
    signed_from_bytes
        Where the signature begins: all before it must be signed.
    text_size_bytes
        Of the segment __TEXT, in the file.
    """

    name: str
    machines: tuple[str, ...]
    kind: str
    platform: str
    minimum_os: str
    loader: str | None
    install_name: str | None
    libraries: tuple[MachLibrary, ...]
    run_paths: tuple[str, ...]
    imports: tuple[MachImport, ...]
    exported: tuple[str, ...]
    debug_symbols: int
    is_position_independent: bool
    signature: Signature | None
    signature_fault: str | None
    wrong_pages: tuple[int, ...]
    wrong_slots: tuple[int, ...]
    signed_from_bytes: int
    signature_end_bytes: int
    size_bytes: int
    text_size_bytes: int

    @property
    def leaf(self) -> str:
        """Its name without the folder."""
        return posixpath.basename(self.name)


def is_macho(path: Path) -> bool:
    """Whether a file starts as a Mach-O file does, of one processor or of several."""
    return has_magic(path, MAGICS)


def inspect(path: Path, name: str) -> MachFacts:
    """Read one Mach-O file; raises AuditError where it is not Mach-O, or is damaged."""
    return read_binary(
        path,
        "a Mach-O file with its tables inside it",
        lambda data: _read_facts(name, data, parse_macho(data)),
    )


def _read_facts(name: str, data: bytes, slices: Any) -> MachFacts:  # noqa: ANN401 - LIEF's own types
    binary = slices.at(0)  # of one slice; more are a violation of their own
    build = binary.build_version
    start = binary.code_signature.data_offset if binary.has_code_signature else len(data)
    end = start + binary.code_signature.data_size if binary.has_code_signature else len(data)
    signature, fault = _read_signature(data[start:end], is_there=binary.has_code_signature)
    text = binary.get_segment("__TEXT")
    return MachFacts(
        name=name,
        machines=tuple(str(each.header.cpu_type.name).lower() for each in slices),
        kind=binary.header.file_type.name,
        platform=build.platform.name if build else "",
        minimum_os=_version(build.minos) if build else "",
        loader=binary.dylinker.name if binary.has_dylinker else None,
        install_name=next((c.name for c in binary.commands if c.command.name == "ID_DYLIB"), None),
        libraries=tuple(
            MachLibrary(each.name, _version(each.current_version))
            for each in binary.libraries
            if each.command.name != "ID_DYLIB"
        ),
        run_paths=tuple(each.path for each in binary.rpaths),
        imports=_imports(binary),
        exported=tuple(sorted(symbol.name for symbol in binary.exported_symbols)),
        debug_symbols=sum(bool(symbol.raw_type & STAB) for symbol in binary.symbols if symbol.name),
        is_position_independent=binary.is_pie or binary.header.file_type.name != "EXECUTE",
        signature=signature,
        signature_fault=fault,
        wrong_pages=wrong_pages(signature, data) if signature else (),
        wrong_slots=wrong_slots(signature) if signature else (),
        signed_from_bytes=start,
        signature_end_bytes=end,
        size_bytes=len(data),
        text_size_bytes=text.file_size if text else 0,
    )


def _read_signature(data: bytes, *, is_there: bool) -> tuple[Signature | None, str | None]:
    if not is_there:
        return None, "there is none"
    try:
        return parse_signature(data), None
    except (ValueError, UnicodeDecodeError) as error:
        return None, str(error)


def _imports(binary: Any) -> tuple[MachImport, ...]:  # noqa: ANN401 - LIEF's own types
    # a weak definition of the file's own, such as operator new, gives way to another file's and needs none
    own = {symbol.name for symbol in binary.exported_symbols}
    found = {
        MachImport(binding.symbol.name, binding.library.name if binding.has_library else "")
        for binding in binary.bindings
        if binding.has_symbol and (binding.has_library or binding.symbol.name not in own)
    }
    bound = {each.symbol for each in found}
    # A symbol of code that the linker dropped stays in the symbol table, bound by no opcode; the table itself says
    # which library it is of, by its place among the load commands (<mach-o/nlist.h>, GET_LIBRARY_ORDINAL).
    libraries = [each.name for each in binary.libraries if each.command.name != "ID_DYLIB"]
    found |= {
        MachImport(symbol.name, dict(enumerate(libraries, start=1)).get(symbol.library_ordinal, ""))
        for symbol in binary.imported_symbols
        if symbol.name not in bound | own
    }
    return tuple(sorted(found, key=lambda each: (each.symbol, each.library)))


def _version(numbers: Sequence[int]) -> str:
    """Return a version as people write it: the third number only where there is one."""
    return ".".join(map(str, numbers[:2] if not any(numbers[2:]) else numbers))
