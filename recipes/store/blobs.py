"""The files of the store: verified downloads by their digest, downloads in progress, and what was refused."""

from __future__ import annotations

import itertools
import os
import stat
from typing import TYPE_CHECKING

from recipes.core.digest import Sha256, hash_file
from recipes.core.errors import StoreError
from recipes.core.filesystem import move, open_no_link, shown, storage_errors, sync

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

DAMAGED_FIX = "python3 noxfile.py -s gc -- --damaged"


class BlobStore:
    """Files in the folder of a store's present format.

    A blob, and its download, belong to whoever holds the store's lock that is named by the digest's digits.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        self.blobs = root / "blobs" / "sha256"
        self.partial = root / "partial"
        self.rejected = root / "rejected"
        # <digits>.json, .chunks: what a file was like when its digest was last taken
        self.sightings = root / "sightings"

    def blob_path(self, sha: Sha256) -> Path:
        """Where a verified file lies, or would."""
        return self.blobs / sha.hex

    def partial_path(self, sha: Sha256) -> Path:
        """Where a download is written until it is complete; a sidecar's name is this one, a dot and more."""
        return self.partial / sha.hex

    def verified_blob(self, sha: Sha256, size_bytes: int | None = None) -> Path | None:
        """Return a file of the store after hashing it again, or None where there is none.

        A file of another size than the pinned one is refused without reading it. Raises StoreError where the file no
        longer has the digest that it is named by, or cannot be read.
        """
        path = self.blob_path(sha)
        with storage_errors(path):
            try:
                status = path.lstat()
                if not stat.S_ISREG(status.st_mode):
                    raise _damaged(path, str(sha), "not a file")
                if size_bytes is not None and status.st_size != size_bytes:
                    raise _damaged(path, f"{size_bytes} bytes, {sha}", f"{status.st_size} bytes")
                found = hash_file(path)
            except FileNotFoundError:
                return None
        if found != sha:
            raise _damaged(path, str(sha), str(found))
        return path

    def adopt_blob(self, partial: Path, sha: Sha256, *, is_shared: bool = False) -> Path:
        """Make a complete download a file of the store; another process may have done so meanwhile.

        The caller MUST have hashed these very bytes to `sha` after the last write to them: they are not read again
        here, but by `verified_blob` at each use. The file is on the store's file system; where it is shared, that is,
        has another name outside the store, its mode is left as it is. Raises StoreError where it is gone or the store
        cannot be written.
        """
        target = self.blob_path(sha)
        with storage_errors(partial):
            try:
                descriptor = open_no_link(partial, os.O_RDONLY)
                try:
                    os.fsync(descriptor)
                    partial.rename(target)
                    # read-only last: one that is killed before the rename must still be writable to go on
                    if not is_shared:
                        os.fchmod(descriptor, 0o444)
                finally:
                    os.close(descriptor)
                sync(self.blobs)
            except FileNotFoundError as error:
                if target.is_file():
                    return target
                raise StoreError(
                    where=str(partial),
                    expected="a complete download",
                    found="nothing: it was removed meanwhile",
                    fix="run the same command again",
                ) from error
        return target

    def reject(self, path: Path, reason: str) -> Path:
        """Set bytes aside that must not be used, with the reason beside them in why.txt, and return their new place."""
        return self._set_aside(path.name, reason, ((path, path.name),)) / path.name

    def _set_aside(self, name: str, reason: str, pieces: Sequence[tuple[Path, str]]) -> Path:
        """Move files and folders, in order, into a new folder with a why.txt; leave out what is missing."""
        with storage_errors(self.rejected):
            folder = self._new_folder(name)
            (folder / "why.txt").write_text(reason.rstrip("\n") + "\n", encoding="utf-8")
            for path, new_name in pieces:
                if path.exists() or path.is_symlink():
                    move(path, folder / new_name)
        return folder

    def _new_folder(self, name: str) -> Path:
        for number in itertools.count(1):
            folder = self.rejected / f"{name}-{number}"
            try:
                folder.mkdir()
            except FileExistsError:
                continue
            return folder
        raise AssertionError("unreachable: count never ends")


def _damaged(path: Path, expected: str, found: str) -> StoreError:
    return StoreError(where=shown(str(path)), expected=expected, found=found, fix=DAMAGED_FIX)
