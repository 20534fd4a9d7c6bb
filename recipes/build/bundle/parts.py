"""The parts of a built file by name: sections of ELF, Mach-O and PE, and what their headers say of one build alone."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from recipes.build.audit.binary_reader import parse_elf, parse_macho, parse_pe, read_binary
from recipes.core.errors import AuditError
from recipes.core.filesystem import storage_errors

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

ELF, PE = b"\x7fELF", b"MZ"
MACHO = frozenset((b"\xcf\xfa\xed\xfe", b"\xfe\xed\xfa\xcf", b"\xca\xfe\xba\xbe"))
NO_BYTES = "NOBITS"
STAMPS = frozenset((".note.gnu.build-id", "LC_UUID"))  # what a linker makes of a random number or of the rest
TIMES = frozenset(("TimeDateStamp",))
CODE = frozenset((".text", "__text", ".init", ".fini", ".plt", "__stubs", "__stub_helper"))


@dataclass(frozen=True)
class Part:
    """One part of a file; the name is "" where the file is text, or of no known format."""

    name: str
    data: bytes

    @property
    def is_code(self) -> bool:
        """Whether a processor runs it."""
        return self.name in CODE


def parts_of(path: Path) -> tuple[Part, ...]:
    """Return the parts of a file, in its order; the whole of it where its format is not known or it is damaged."""
    with storage_errors(path):
        data = path.read_bytes()
    for is_one, read in (
        (data[:4] == ELF, _elf),
        (data[:2] == PE, _pe),
        (data[:4] in MACHO, _macho),
    ):
        if is_one:
            try:
                return read_binary(path, "a program", _listed(read))
            except AuditError:
                break
    return (Part("", data),)


def _listed(read: Callable[[bytes], Iterator[Part]]) -> Callable[[bytes], tuple[Part, ...]]:
    return lambda data: tuple(read(data))


def _elf(data: bytes) -> Iterator[Part]:
    elf: Any = parse_elf(data)
    for section in elf.sections:
        if section.size and getattr(section.type, "name", "") != NO_BYTES:
            yield Part(str(section.name), data[section.offset : section.offset + section.size])


def _pe(data: bytes) -> Iterator[Part]:
    pe: Any = parse_pe(data)
    yield Part("TimeDateStamp", int(pe.header.time_date_stamps).to_bytes(4, "little"))
    for section in pe.sections:
        yield Part(str(section.name), data[section.offset : section.offset + section.size])


def _macho(data: bytes) -> Iterator[Part]:
    for binary in parse_macho(data):
        if binary.has_uuid:
            yield Part("LC_UUID", bytes(binary.uuid.uuid))
        for section in binary.sections:
            yield Part(str(section.name), bytes(section.content))
