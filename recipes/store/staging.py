"""Temporary folders with an owner: its maker holds its lock, and once the maker is dead it is removed."""

from __future__ import annotations

import os
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

from recipes.core.errors import StoreError
from recipes.core.file_lock import hold, hold_if_free, is_held
from recipes.core.filesystem import remove_tree, storage_errors

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from recipes.store.entry import Entry

LOCK_SUFFIX = ".lock"


class Staging:
    """A folder that becomes an entry."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._entry: Entry | None = None

    @property
    def entry(self) -> Entry:
        """What the folder became; only after the `with` block."""
        if self._entry is None:
            raise RuntimeError("a staging folder is an entry only after its with block")
        return self._entry

    def become(self, entry: Entry) -> None:
        """Take note of the entry; called by the store."""
        self._entry = entry


class StagingArea:
    """Folders in progress, each named by a purpose, a dot and random digits; on the same file system as the store."""

    def __init__(self, root: Path) -> None:
        self.root = root

    @contextmanager
    def own(self, purpose: str) -> Iterator[Path]:
        """Yield a new empty folder. While this process lives nobody else removes it; the caller removes it."""
        folder = self.new_path(purpose)
        # The lock comes before the folder and goes after it: a folder without a lock is nobody's.
        with hold(self._lock_path(folder.name), discard=True):
            with storage_errors(folder):
                folder.mkdir()
            yield folder

    def new_path(self, purpose: str) -> Path:
        """Return a path that nobody uses. What is moved there without a lock goes with the next sweep."""
        return self.root / f"{purpose}.{os.urandom(8).hex()}"

    def names(self, purpose: str | None = None) -> tuple[str, ...]:
        """Names of the folders here, of one purpose or all, whether their owners live or not."""
        if not self.root.is_dir():
            return ()
        names = {path.name.removesuffix(LOCK_SUFFIX) for path in self.root.iterdir()}
        return tuple(sorted(name for name in names if purpose is None or name.startswith(f"{purpose}.")))

    def is_owned(self, name: str) -> bool:
        """Return whether the owner of a folder lives."""
        return is_held(self._lock_path(name))

    def sweep(self, name: str) -> bool:
        """Remove a folder if its owner is dead, and say whether."""
        with hold_if_free(self._lock_path(name)) as free, storage_errors(self.root / name):
            if free:
                remove_tree(self.root / name)
            return free

    def sweep_purpose(self, purpose: str) -> None:
        """Remove what dead owners left of one purpose, as far as it can be removed."""
        for name in self.names(purpose):
            with suppress(OSError, StoreError):
                self.sweep(name)

    def _lock_path(self, name: str) -> Path:
        return self.root / f"{name}{LOCK_SUFFIX}"


def remove_if_possible(path: Path) -> None:
    """Remove a tree that is not needed any more; what cannot be removed now is left for gc.

    For use where the work is done, or has failed for a reason that must not be hidden by this one.
    """
    with suppress(OSError):
        remove_tree(path)
