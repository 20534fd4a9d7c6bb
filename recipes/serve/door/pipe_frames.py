"""What goes over the pipes of a worker: frames, each of two lengths, JSON, and bytes."""

from __future__ import annotations

import json
import struct
from typing import IO, Any

LENGTHS = struct.Struct(">IQ")


def write_frame(out: IO[bytes], says: dict[str, Any], data: bytes = b"") -> None:
    """Write a frame."""
    text = json.dumps(says).encode()
    out.write(LENGTHS.pack(len(text), len(data)) + text)
    out.write(data)
    out.flush()


def read_frame(source: IO[bytes]) -> tuple[dict[str, Any], bytes]:
    """Read a frame; an EOFError is raised where the other side is gone."""
    lengths = LENGTHS.unpack(_read(source, LENGTHS.size))
    says: dict[str, Any] = json.loads(_read(source, lengths[0]))
    return says, _read(source, lengths[1])


def _read(source: IO[bytes], size: int) -> bytes:
    data = source.read(size)
    if len(data) < size:
        raise EOFError
    return data
