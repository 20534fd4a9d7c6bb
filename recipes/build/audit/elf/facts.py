"""Reads one binary file: what an ELF file asks for and shows, what lies at an offset.

The format is that of the System V ABI's generic part (gABI), symbol versions as in the LSB's "Symbol
Versioning", mangled names as in section 5.1 of the Itanium C++ ABI.
"""

from __future__ import annotations

import io
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from recipes.build.audit.bundle_files import read_binary

if TYPE_CHECKING:
    from pathlib import Path

MAGIC = b"\x7fELF"
MACHINES = {
    "EM_X86_64": "x86_64",
    "EM_AARCH64": "aarch64",
    "EM_RISCV": "riscv64",
    "EM_386": "i686",
    "EM_ARM": "armv7l",
}
# a C++ runtime's own names: where two copies see each other's, one frees what the other allocated
STANDARD = re.compile(
    r"_Z(?:T[VTISCHW]|G[VR]|T[hv]n?\d+_(?:n?\d+_)?)?[PK]*Z*(?:N[rVKRO]*)?(?:S[tabsiod]|10__cxxabiv1)"
    r"|_ZT[IS][PK]*[a-z]$|_Z(?:n[wa]|d[la])|__cxa_|__gxx_personality_|__dynamic_cast$|_Unwind_"
)
DEBUG_SECTION = re.compile(r"\.z?debug_|\.stab|\.gdb_index|\.gnu_debug|\.line$")
CONTEXT_BYTES = 60  # of a string on each side of an offset
SHORTEST_TEXT = 4  # characters in a row, as of strings(1); fewer are machine code by chance
PRINTABLE = b"\t" + bytes(range(0x20, 0x7F))


@dataclass(frozen=True)
class ElfFacts:
    """What a file of a bundle asks of the machine it runs on, and shows to other files.

    Parameters
    ----------
    name
        Its path in the bundle.
    machine
        As `uname -m` prints it.
    interpreter
        The loader that a program asks for; None for a library.
    soname, needed, run_paths
        The dynamic section's names; a run path is one folder of RPATH or RUNPATH.
    glibc_needed, glibc_symbols
        The newest glibc symbol version ("" for none), and the symbols that ask for it.
    exported, standard_exports
        Symbols that other files can bind to, weak ones included, and those of a C++ runtime among them.
    unstripped
        Names of the sections that `strip` would remove.
    has_text_relocations, has_executable_stack, binds_now, is_position_independent
        How it is loaded.
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
    standard_exports: tuple[str, ...]
    unstripped: tuple[str, ...]
    has_text_relocations: bool
    has_executable_stack: bool
    binds_now: bool
    is_position_independent: bool


def is_elf(path: Path) -> bool:
    """Whether a file starts as an ELF file does."""
    with path.open("rb") as file:
        return file.read(len(MAGIC)) == MAGIC


def inspect(path: Path) -> ElfFacts:
    """Read one ELF file.

    Raises
    ------
    AuditError
        Where the file is not ELF, is damaged, or has no section headers to judge it by.
    """
    from elftools.elf.elffile import ELFFile

    return read_binary(
        path,
        "an ELF file with section headers",
        lambda data: _read_facts(path.name, ELFFile(io.BytesIO(data))),
    )


def section_at(path: Path, offset: int) -> str | None:
    """Name the part of a file that an offset lies in, as `.rodata+0x1f3`; None where it is not ELF."""
    from elftools.elf.elffile import ELFFile

    try:
        elf = ELFFile(io.BytesIO(path.read_bytes()))
        head = elf.header
        spans = [
            (section.name, section["sh_offset"], section["sh_size"])
            for section in elf.iter_sections()
            if section["sh_type"] not in {"SHT_NULL", "SHT_NOBITS"}
        ]
    except Exception:  # noqa: BLE001 - which one depends on the field that is damaged
        return None
    spans += [
        ("ELF header", 0, head.e_ehsize),
        ("program headers", head.e_phoff, head.e_phnum * head.e_phentsize),
        ("section headers", head.e_shoff, head.e_shnum * head.e_shentsize),
    ]
    for name, start, size in spans:
        if start <= offset < start + size:
            return f"{name}+{offset - start:#x}"
    return "between sections"


def is_standard_symbol(name: str) -> bool:
    """Whether a C++ runtime defines the symbol: namespace std, operator new, exception handling."""
    return STANDARD.match(name) is not None


def glibc_order(version: str) -> tuple[int, ...]:
    """Give what glibc versions are sorted by, oldest first; GLIBC_PRIVATE and its like are newer than any."""
    return tuple(int(part) for part in version.split(".")) if re.fullmatch(r"[\d.]+", version) else (1 << 16,)


def string_at(data: bytes, offset: int, shortest: int = SHORTEST_TEXT) -> str:
    """Give the printable characters around an offset, at most 60 on each side; "" where they are too few."""
    after = _printable_start(data[offset : offset + CONTEXT_BYTES])
    before = _printable_start(data[max(0, offset - CONTEXT_BYTES) : offset][::-1])
    text = (before[::-1] + after).decode("ascii")
    return text if after and len(text) >= shortest else ""


def _printable_start(data: bytes) -> bytes:
    return data[: len(data) - len(data.lstrip(PRINTABLE))]


def _read_facts(name: str, elf: Any) -> ElfFacts:  # noqa: ANN401 - pyelftools carries no types
    segments = tuple(elf.iter_segments())
    sections = tuple(elf.iter_sections())
    tags = [tag for segment in segments if segment["p_type"] == "PT_DYNAMIC" for tag in segment.iter_tags()]
    symbols = next((section for section in sections if section["sh_type"] == "SHT_DYNSYM"), None)
    if tags and symbols is None:
        raise ValueError("a dynamic section, and no section header that names its symbols")
    exported = tuple(
        sorted({symbol.name for symbol in symbols.iter_symbols() if _is_exported(symbol)} if symbols else ())
    )
    glibc, askers = _glibc(sections, symbols)
    values = {tag.entry.d_tag: tag.entry.d_val for tag in tags}
    stack = [segment["p_flags"] for segment in segments if segment["p_type"] == "PT_GNU_STACK"]
    return ElfFacts(
        name=name,
        machine=MACHINES.get(elf["e_machine"], str(elf["e_machine"])),
        interpreter=next((s.get_interp_name() for s in segments if s["p_type"] == "PT_INTERP"), None),
        soname=next((tag.soname for tag in tags if tag.entry.d_tag == "DT_SONAME"), None),
        needed=tuple(tag.needed for tag in tags if tag.entry.d_tag == "DT_NEEDED"),
        run_paths=tuple(
            folder
            for tag in tags
            if tag.entry.d_tag in {"DT_RPATH", "DT_RUNPATH"}
            for folder in getattr(tag, tag.entry.d_tag[3:].lower()).split(":")
        ),
        glibc_needed=glibc,
        glibc_symbols=askers,
        exported=exported,
        standard_exports=tuple(symbol for symbol in exported if is_standard_symbol(symbol)),
        unstripped=tuple(
            s.name for s in sections if s["sh_type"] == "SHT_SYMTAB" or DEBUG_SECTION.match(s.name)
        ),
        has_text_relocations="DT_TEXTREL" in values or bool(values.get("DT_FLAGS", 0) & 0x4),
        has_executable_stack=not stack or any(flags & 0x1 for flags in stack),
        binds_now="DT_BIND_NOW" in values
        or bool(values.get("DT_FLAGS", 0) & 0x8)
        or bool(values.get("DT_FLAGS_1", 0) & 0x1),
        is_position_independent=elf["e_type"] == "ET_DYN",
    )


def _is_exported(symbol: Any) -> bool:  # noqa: ANN401 - pyelftools carries no types
    return (
        symbol["st_shndx"] != "SHN_UNDEF"
        and symbol["st_info"]["bind"] != "STB_LOCAL"
        and symbol["st_other"]["visibility"] in {"STV_DEFAULT", "STV_PROTECTED"}
    )


def _glibc(sections: tuple[Any, ...], symbols: Any) -> tuple[str, tuple[str, ...]]:  # noqa: ANN401 - no types
    numbers = {
        version["vna_other"]: version.name.removeprefix("GLIBC_")
        for section in sections
        if section["sh_type"] == "SHT_GNU_verneed"
        for _, versions in section.iter_versions()
        for version in versions
        if version.name.startswith("GLIBC_")
    }
    newest = max(numbers.values(), key=glibc_order, default="")
    indices = next((section for section in sections if section["sh_type"] == "SHT_GNU_versym"), None)
    if not newest or indices is None or symbols is None:
        return newest, ()
    pairs = zip(symbols.iter_symbols(), indices.iter_symbols(), strict=True)
    return newest, tuple(sorted(s.name for s, index in pairs if numbers.get(index["ndx"]) == newest))
