"""What is left of a Mach-O file when its code signature is taken away: what two signings of one build share.

Signing changes four things: the signature at the file's end, the load command that points to it, and the size of the
segment __LINKEDIT, on disk and in memory. Nothing else: those are the places that `codesign` and every linker write.
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, Any

from recipes.build.audit.macho.facts import is_macho
from recipes.core.digest import Sha256
from recipes.core.filesystem import storage_errors

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

MAGIC_64 = 0xFEEDFACF
SEGMENT_64 = 0x19
CODE_SIGNATURE = 0x1D
ALIGNMENT = 16  # bytes: where a signature begins
# <mach-o/loader.h>: magic, cputype, cpusubtype, filetype, ncmds, sizeofcmds, flags, reserved
_HEADER = struct.Struct("<IiiIIIII")
_COMMAND = struct.Struct("<II")
_SEGMENT = struct.Struct("<II16sQQQQiiII")
_DATA = struct.Struct("<IIII")


def strip_signature(data: bytes) -> bytes:
    """Return a Mach-O file of one processor as if it had never been signed.

    Raises ValueError where it is not a little-endian 64-bit Mach-O file, or its commands do not fit it.
    """
    head = _unpack(_HEADER, data, 0)
    if head[0] != MAGIC_64:
        raise ValueError("not a 64-bit Mach-O file of one processor")
    commands = list(_commands(data, head[4], head[5]))
    signatures = [(at, size) for at, kind, size in commands if kind == CODE_SIGNATURE]
    end = len(data)
    result = bytearray(data)
    if len(signatures) > 1:
        raise ValueError("two signatures")
    for at, size in signatures:
        _, _, end, length = _unpack(_DATA, data, at)
        if end + length > len(data) or at + size != _HEADER.size + head[5]:
            raise ValueError("the signature ends after the file, or its load command is not the last")
        result[at : at + size] = bytes(size)
        _HEADER.pack_into(result, 0, *head[:4], head[4] - 1, head[5] - size, *head[6:])
    for at, kind, _ in commands:
        if kind == SEGMENT_64:
            fields = list(_unpack(_SEGMENT, data, at))
            if fields[2].rstrip(b"\0") == b"__LINKEDIT":
                fields[4] = 0  # in memory: follows from the size on disk
                fields[6] = max(0, end - fields[5]) + -end % ALIGNMENT
                _SEGMENT.pack_into(result, at, *fields)
    return bytes(result[:end]) + bytes(-end % ALIGNMENT)


def payload_digest(path: Path) -> Sha256:
    """Return the SHA-256 of a file without its code signature; of all its bytes where it is not Mach-O.

    Raises ValueError as `strip_signature` does.
    """
    with storage_errors(path):
        signed = is_macho(path)
        data = path.read_bytes()
    return Sha256.of_bytes(strip_signature(data) if signed else data)


def payload_listing(root: Path) -> tuple[tuple[str, Sha256], ...]:
    """Return each file below a folder with its payload's digest, in the order of their names.

    Raises ValueError as `strip_signature` does, naming the file.
    """
    rows = []
    for path in sorted(path for path in root.rglob("*") if path.is_file() and not path.is_symlink()):
        name = path.relative_to(root).as_posix()
        try:
            rows.append((name, payload_digest(path)))
        except ValueError as error:
            raise ValueError(f"{name}: {error}") from None
    return tuple(rows)


def _commands(data: bytes, count: int, size: int) -> Iterator[tuple[int, int, int]]:
    at = _HEADER.size
    for _ in range(count):
        kind, length = _unpack(_COMMAND, data, at)
        if length < _COMMAND.size or at + length > _HEADER.size + size:
            raise ValueError("a load command does not fit")
        yield at, kind, length
        at += length


def _unpack(shape: struct.Struct, data: bytes, offset: int) -> tuple[Any, ...]:
    if offset + shape.size > len(data):
        raise ValueError("it ends within its own header")
    return shape.unpack_from(data, offset)
