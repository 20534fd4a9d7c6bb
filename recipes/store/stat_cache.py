"""Files that need not be read again: what each was like when its digest was last taken.

As git does: a file whose size, inode and both times are the same is taken to hold the same bytes. Who changes a file
can put its mtime back, and not its ctime, which the kernel alone sets; a full verification reads all.
"""

from __future__ import annotations

import os
import stat
from dataclasses import dataclass
from typing import TYPE_CHECKING

import msgspec

from recipes.core.filesystem import make_folders, open_to_write, read_no_link, storage_errors

if TYPE_CHECKING:
    from pathlib import Path

    from recipes.core.digest import Sha256
    from recipes.store.blobs import BlobStore


@dataclass(frozen=True)
class Sight:
    """What identifies a file as the one that was hashed."""

    size_bytes: int
    mtime_ns: int
    ctime_ns: int
    inode: int
    device: int

    @classmethod
    def of(cls, status: os.stat_result) -> Sight:
        """Take it from what the file system says."""
        return cls(status.st_size, status.st_mtime_ns, status.st_ctime_ns, status.st_ino, status.st_dev)


def parse_sight(data: bytes) -> Sight | None:
    """Return what was noted; None where it cannot be understood. Pure."""
    try:
        return msgspec.json.decode(data, type=Sight)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return None


def is_unchanged(path: Path, sha: Sha256, store: BlobStore) -> bool:
    """Whether a file is as it was when it last had this digest. Nothing of it is read."""
    try:
        noted = parse_sight(read_no_link(store.sightings / f"{sha.hex}.json"))
        status = path.lstat()
        return stat.S_ISREG(status.st_mode) and noted == Sight.of(status)
    except OSError:
        return False


def note_sight(path: Path, sha: Sha256, store: BlobStore, before: Sight | None = None) -> None:
    """Note what a file is like now, where its digest was just taken.

    Where it is not as it was `before` it was read, nothing is noted. Raises StoreError where the disk refuses; a store
    that is read-only is no error.
    """
    sight = Sight.of(path.lstat())
    if before is not None and before != sight:
        return
    target = store.sightings / f"{sha.hex}.json"
    if not os.access(store.root, os.W_OK):
        return
    with storage_errors(target):
        make_folders(target.parent)
        fresh = target.with_name(f".{target.name}.{os.getpid()}")
        with os.fdopen(open_to_write(fresh), "wb") as file:
            file.write(msgspec.json.encode(sight))
        fresh.replace(target)
