"""Takes out of a Mach-O file what would let another library's symbols replace the hidden ones of its own.

C++ has weak definitions: of those that meet in a process, one serves all. The loader looks them up by name, first in
the system's libc++ (dyld's Loader.cpp). zig's linker lists hidden ones too, which Apple's and LLVM's do not: the
vtables of our libc++, say, which would become those of the system's, of another version. The pointers
concerned lead to the file's own definitions already; so the entries are dropped, and the pages are hashed again.
"""

from __future__ import annotations

import hashlib
import struct
from typing import TYPE_CHECKING, Any, NamedTuple

from recipes.build.audit.binary_reader import parse_macho
from recipes.build.audit.macho.facts import is_macho
from recipes.build.audit.macho.signature import SLOT_CODE_DIRECTORY, parse_signature
from recipes.core.errors import AuditError
from recipes.core.filesystem import storage_errors

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

# <mach-o/loader.h>: the opcode is the upper half of a byte, its operand the lower
SYMBOL, TYPE, PLACE, BIND, DONE = 0x40, 0x50, 0x70, 0x90, 0x00
POINTER = 1  # the type of all of them
_POINTER = struct.Struct("<Q")


class Coalesced(NamedTuple):
    """A pointer that the loader sets by the name of a weak definition: where it is, by segment and offset in it."""

    symbol: str
    segment: int
    offset: int


def keep_hidden_symbols(root: Path) -> int:
    """Edit every Mach-O file of a bundle whose hidden symbols could be replaced, and return the number of entries.

    Raises AuditError where a file is none that this linker makes.
    """
    dropped = 0
    with storage_errors(root):
        for path in sorted(path for path in root.rglob("*") if path.is_file() and is_macho(path)):
            data = path.read_bytes()
            try:
                edited, count = without_hidden(data)
            except (ValueError, IndexError, struct.error) as error:
                raise AuditError(
                    where=path.relative_to(root).as_posix(),
                    expected="weak bindings as zig's linker writes them",
                    found=str(error),
                    fix="compare recipes/build/audit/macho/weak_symbols.py with what the linker writes",
                ) from None
            if count:
                path.write_bytes(edited)
            dropped += count
    return dropped


def without_hidden(data: bytes) -> tuple[bytes, int]:
    """Return a file without the weak bindings of symbols that it does not export, and how many there were.

    Raises ValueError where a pointer does not lead to the file's own definition, or the file cannot be edited so.
    """
    slices = parse_macho(data)
    if not slices.at(0).has_dyld_info:
        raise ValueError("no LC_DYLD_INFO")
    binary = slices.at(0)
    bindings = weak_bindings(binary)
    exported = {symbol.name for symbol in binary.exported_symbols}
    kept = [each for each in bindings if each.symbol in exported]
    if len(kept) == len(bindings):
        return data, 0
    own = {symbol.name: symbol.value for symbol in binary.symbols if symbol.numberof_sections}
    rebased = {relocation.address for relocation in binary.relocations}
    for each in set(bindings) - set(kept):
        segment = binary.segments[each.segment]
        (value,) = _POINTER.unpack_from(data, segment.file_offset + each.offset)
        if value != own.get(each.symbol) or segment.virtual_address + each.offset not in rebased:
            raise ValueError(f"{each.symbol}: a pointer to {value:#x}, and not to the file's own definition")
    start, size = binary.dyld_info.weak_bind
    encoded = encode(kept)
    if len(encoded) > size:
        raise ValueError(f"{len(encoded)} bytes of bindings, where {size} were")
    edited = data[:start] + encoded.ljust(size, b"\0") + data[start + size :]
    if weak_bindings(parse_macho(edited).at(0)) != kept:
        raise ValueError("other bindings than the ones to keep")
    return hash_pages(edited, binary.code_signature.data_offset), len(bindings) - len(kept)


def weak_bindings(binary: Any) -> list[Coalesced]:  # noqa: ANN401 - LIEF's own types
    """Return the weak bindings of LIEF's view of a file, in order; raises ValueError where one is no plain pointer."""
    found = [each for each in binary.bindings if each.binding_class.name == "WEAK"]
    if odd := [each.symbol.name for each in found if each.addend or each.binding_type.name != "POINTER"]:
        raise ValueError(f"{odd[0]}: bound by something else than a pointer")
    return [
        Coalesced(each.symbol.name, each.segment.index, each.address - each.segment.virtual_address)
        for each in found
    ]


def encode(bindings: Sequence[Coalesced]) -> bytes:
    """Return the opcodes for weak bindings, in their order; what is as for the one before is not said again."""
    stream = bytearray((TYPE | POINTER,))
    place = None
    for each in bindings:
        stream += bytes((SYMBOL,)) + each.symbol.encode() + b"\0"
        if (each.segment, each.offset) != place:
            stream += bytes((PLACE | each.segment,)) + _uleb(each.offset)
        stream.append(BIND)
        place = (each.segment, each.offset + _POINTER.size)
    return bytes((*stream, DONE))


def hash_pages(data: bytes, start: int) -> bytes:
    """Return a file whose ad-hoc signature, which starts at an offset, speaks of the bytes that it has.

    Raises ValueError where there is no such signature, or an identity stands behind it.
    """
    signature = parse_signature(data[start:])
    if not signature.is_ad_hoc:
        raise ValueError("a signature with an identity")
    directory = signature.blobs[SLOT_CODE_DIRECTORY]
    (first,) = struct.unpack_from(">I", directory, 16)  # hashOffset
    size, limit = signature.page_size_bytes, signature.code_limit_bytes
    hashes = b"".join(
        hashlib.new(signature.hash_name, data[at : min(at + size, limit)]).digest()
        for at in range(0, limit, size)
    )
    place = data.index(directory, start) + first
    return data[:place] + hashes + data[place + len(hashes) :]


def _uleb(value: int) -> bytes:
    parts = bytearray()
    while True:
        value, low = value >> 7, value & 0x7F
        parts.append(low | (0x80 if value else 0))
        if not value:
            return bytes(parts)
