"""Large files to hash and to fetch, and places with room for them."""

from __future__ import annotations

import os
import shutil
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from recipes.serve.free_memory import free_memory
from tests.benchmarks.turns import UnmeasurableError

if TYPE_CHECKING:
    from collections.abc import Iterator

MEMORY = Path("/dev/shm")
BLOCK_BYTES = 16 << 20


@contextmanager
def room(folder: Path, needed_bytes: int) -> Iterator[Path]:
    """Return a new folder, removed afterwards, where there is room for so much and as much again to breathe.

    Raises
    ------
    UnmeasurableError
        Where there is not.
    """
    folder.mkdir(parents=True, exist_ok=True)
    free_bytes = shutil.disk_usage(folder).free
    if free_bytes < 2 * needed_bytes:
        raise UnmeasurableError(
            f"{2 * needed_bytes / 1e9:.1f} GB of room are needed, {free_bytes / 1e9:.1f} are free"
        )
    with TemporaryDirectory(prefix="pinned-llama-bench-", dir=folder) as path:
        yield Path(path)


def is_memory_free(needed_bytes: int) -> bool:
    """Return whether so much memory, and as much again, can be filled with files."""
    if not MEMORY.is_dir():
        return False
    available = free_memory()
    room_bytes = shutil.disk_usage(MEMORY).free
    return min(available.size_bytes if available else 0, room_bytes) >= 2 * needed_bytes


def write_random(path: Path, size_bytes: int) -> None:
    """Write a file that cannot be compressed and has no holes."""
    block = os.urandom(min(BLOCK_BYTES, size_bytes))
    with path.open("wb") as file:
        written = 0
        while written < size_bytes:
            written += file.write(block[: size_bytes - written])
