"""Reads files out of a Debian package: an ar archive, whose data.tar is compressed (deb(5))."""

from __future__ import annotations

import io
import lzma
import tarfile
from typing import TYPE_CHECKING

import zstandard

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator
    from pathlib import Path

MAGIC = b"!<arch>\n"
HEAD_BYTES = 60
MOST_DATA_BYTES = 1 << 28
MAGIC_XZ, MAGIC_ZSTD = b"\xfd7zXZ\0", b"\x28\xb5\x2f\xfd"


def read_package(path: Path, wanted: Collection[str]) -> dict[str, tuple[bytes, bool]]:
    """Return files of a package by their names in it: their bytes, and whether they are programs.

    Raises ValueError, in words, where it is no package, or has no such regular file.
    """
    data = next((data for name, data in _members(path.read_bytes()) if name.startswith("data.tar")), None)
    if data is None:
        raise ValueError("no Debian package: it has no data.tar")
    found: dict[str, tuple[bytes, bool]] = {}
    try:
        with tarfile.open(fileobj=io.BytesIO(_decompressed(data))) as tar:
            for member in tar:
                name = member.name.removeprefix("./")
                content = tar.extractfile(member) if name in wanted and member.isreg() else None
                if content is not None:
                    found[name] = content.read(), bool(member.mode & 0o100)
    except (tarfile.TarError, lzma.LZMAError, zstandard.ZstdError, EOFError) as error:
        raise ValueError(f"a Debian package whose data.tar is damaged: {error}") from error
    if absent := sorted(set(wanted) - found.keys()):
        raise ValueError(f"a Debian package without the file {absent[0]}")
    return found


def _members(data: bytes) -> Iterator[tuple[str, bytes]]:
    if not data.startswith(MAGIC):
        raise ValueError("no Debian package: it is no ar archive")
    place = len(MAGIC)
    while place < len(data):
        head = data[place : place + HEAD_BYTES]
        if len(head) < HEAD_BYTES or not head.endswith(b"`\n") or not head[48:58].strip().isdigit():
            raise ValueError("a Debian package that is damaged")
        size = int(head[48:58])
        place += HEAD_BYTES
        if place + size > len(data):
            raise ValueError("a Debian package that is cut short")
        yield head[:16].decode("ascii", "replace").rstrip(" /"), data[place : place + size]
        place += size + size % 2


def _decompressed(data: bytes) -> bytes:
    if data.startswith(MAGIC_XZ):
        decoder = lzma.LZMADecompressor()
        plain = decoder.decompress(data, MOST_DATA_BYTES)
        if not decoder.eof:
            raise EOFError("it is cut short, or too large")
        return plain
    if data.startswith(MAGIC_ZSTD):
        return zstandard.ZstdDecompressor().stream_reader(data).read(MOST_DATA_BYTES)
    return data
