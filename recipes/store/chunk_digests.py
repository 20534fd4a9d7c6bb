"""Digests of a file's chunks: what lets a file of 18 GB be hashed again by all cores.

SHA-256 of a whole file cannot be taken in parts. So when a file is found to have its pinned digest, those of its chunks
are noted, taken of the same bytes; later they can be compared by as many cores as there are. They are trusted as the
store is: who can change them can change what a file was last like too.
"""

from __future__ import annotations

import hashlib
import os
import re
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING

from recipes.core.digest import CHUNK_BYTES, Sha256

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

STRIDE_BYTES = 64 << 20
FORMAT = "chunks/1"
_HEAD = re.compile(rf"{FORMAT} ([0-9a-f]{{64}}) (\d{{1,18}}) ([1-9]\d{{0,12}})")


@dataclass(frozen=True)
class Chunks:
    """Digests of a file's chunks, and of the whole."""

    whole: Sha256
    size_bytes: int
    stride_bytes: int
    digests: tuple[Sha256, ...]


def encode_chunks(chunks: Chunks) -> str:
    """Write them as text."""
    lines = (f"{FORMAT} {chunks.whole.hex} {chunks.size_bytes} {chunks.stride_bytes}",)
    return "\n".join((*lines, *(digest.hex for digest in chunks.digests))) + "\n"


def parse_chunks(text: str) -> Chunks | None:
    """Return what was written; None where it is not valid, or not whole."""
    first, *rest = text.split("\n")
    head = _HEAD.fullmatch(first)
    if head is None or not rest or rest.pop():
        return None
    try:
        digests = tuple(map(Sha256, rest))
    except ValueError:
        return None
    size_bytes, stride_bytes = int(head[2]), int(head[3])
    if len(digests) != max(1, -(-size_bytes // stride_bytes)):
        return None
    return Chunks(Sha256(head[1]), size_bytes, stride_bytes, digests)


def hash_with_chunks(
    path: Path, workers: int, on_position: Callable[[int], None], stride_bytes: int = STRIDE_BYTES
) -> Chunks:
    """Take the digest of a whole file in this thread, and of its chunks beside it in `workers` others.

    `on_position` is told how many bytes are done.
    """
    hasher, done = hashlib.sha256(), 0
    with path.open("rb", buffering=0) as file, ThreadPoolExecutor(workers) as pool:
        size_bytes = os.fstat(file.fileno()).st_size
        starts = range(0, max(1, size_bytes), stride_bytes)
        digests = pool.map(lambda start: _hash_chunk(file.fileno(), start, stride_bytes), starts)
        while data := os.pread(file.fileno(), CHUNK_BYTES, done):
            hasher.update(data)
            done += len(data)
            on_position(done)
        return Chunks(Sha256(hasher.hexdigest()), done, stride_bytes, tuple(digests))


def first_difference(
    path: Path, chunks: Chunks, pool: ThreadPoolExecutor, on_advance: Callable[[int], None]
) -> str | None:
    """Compare a file with its chunks' digests, by as many threads as the pool has; say where it differs first."""
    lock = threading.Lock()
    with path.open("rb", buffering=0) as file:
        size_bytes = os.fstat(file.fileno()).st_size
        if size_bytes != chunks.size_bytes:
            return f"{size_bytes} bytes, not {chunks.size_bytes}"

        def differs(index: int) -> bool:
            start = index * chunks.stride_bytes
            found = _hash_chunk(file.fileno(), start, chunks.stride_bytes)
            with lock:
                on_advance(min(chunks.stride_bytes, size_bytes - start))
            return found != chunks.digests[index]

        found = list(pool.map(differs, range(len(chunks.digests))))
    wrong = [index for index, is_wrong in enumerate(found) if is_wrong]
    if not wrong:
        return None
    first = wrong[0] * chunks.stride_bytes
    last = min(size_bytes, first + chunks.stride_bytes)
    return f"other bytes somewhere from {first} to {last}, and in {len(wrong)} of {len(found)} chunks"


def _hash_chunk(descriptor: int, start: int, size_bytes: int) -> Sha256:
    hasher, end = hashlib.sha256(), start + size_bytes
    while start < end and (data := os.pread(descriptor, min(CHUNK_BYTES, end - start), start)):
        hasher.update(data)
        start += len(data)
    return Sha256(hasher.hexdigest())
