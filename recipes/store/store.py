"""The store: a content-addressed directory whose entries appear whole, are read-only and can be verified.

An entry is a folder `entries/<key>` and a record `entries/<key>.json`; it is there only if both are. The
record is renamed into place last and removed first, so that a process killed at any moment leaves an entry or
none. The listing of its files, `listings/<key>`, only serves to say which file differs.
"""

from __future__ import annotations

import os
import re
from contextlib import AbstractContextManager, contextmanager
from typing import TYPE_CHECKING, NamedTuple, Self

from recipes.core.digest import Sha256, tree_of_entries
from recipes.core.errors import StoreError
from recipes.core.file_lock import hold
from recipes.core.filesystem import (
    STORE_VARIABLE,
    freeze_tree,
    make_folders,
    move,
    read_no_link,
    remove_tree,
    shown,
    storage_errors,
    sync,
    sync_tree,
    write_durably,
)
from recipes.store import tree_listing
from recipes.store.blobs import DAMAGED_FIX, BlobStore
from recipes.store.build_history import History
from recipes.store.entry import Entry, encode_record, hash_staged, parse_record, verify_tree
from recipes.store.ownership import demand_own_folders, demand_own_way
from recipes.store.staging import Staging, StagingArea, remove_if_possible

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from pathlib import Path

    from recipes.core.console import Console

__all__ = ["Ensured", "Entry", "Store"]

FORMAT = "v1"  # a change of layout takes a new folder: old and new programs share a root without harm
_KEY = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+@-]{0,199}")


class Ensured(NamedTuple):
    """An entry, and whether this call made it."""

    entry: Entry
    is_new: bool


class Store(BlobStore):
    """Entries, blobs and history below one folder; open it with `Store.open`.

    `ensure` makes an entry once, whichever process asks first. Every method raises StoreError where the store cannot be
    read or written.
    """

    def __init__(self, root: Path) -> None:
        super().__init__(root)
        self.entries = root / "entries"
        self.listings = root / "listings"
        self.locks = root / "locks"
        self.logs = root / "logs"  # and below: <key>.<suffix>, written and read by who makes the entries
        self.provenance = root / "provenance"
        self.evidence = root / "evidence"  # folders of documents, each named by the entry that it is about
        self.tmp = StagingArea(root / "tmp")
        self._publishing = root / "publishing.lock"  # held for a few renames at a time
        self.history = History(root / "history", self._publishing)

    @classmethod
    def open(cls, root: Path) -> Self:
        """Open the store in a folder, and make its folders where they are missing; a read-only store opens too.

        Raises StoreError where there is no store and none can be made, where another user could change it, or where a
        link stands in the place of one of its folders.
        """
        root = root.absolute()
        store = cls(root / FORMAT)
        folders = (store.root, store.blobs.parent, store.sightings, *store._layout())
        demand_own_way(store.root)
        demand_own_folders(folders)
        try:
            for folder in store._layout():
                make_folders(folder)
        except OSError as error:
            # What is complete can be used all the same, and each write says by itself what is wrong.
            if not os.path.isdir(store.entries):  # noqa: PTH112 - Path.is_dir raises where a folder is closed
                raise StoreError(
                    where=shown(str(root)),
                    expected="a folder that can be made and written",
                    found=os.strerror(error.errno or 0),
                    fix=f"set {STORE_VARIABLE} to a folder that you can write, then run the same command",
                ) from error
        demand_own_way(store.root)  # what was made now, somebody else may have made a moment before
        demand_own_folders(folders)
        return store

    def find(self, key: str) -> Entry | None:
        """Return the entry of a key, or None where there is none. Cheap: nothing is hashed.

        Raises StoreError where its record cannot be read or understood.
        """
        path, record_path = self.entry_path(key), self.record_path(key)
        with storage_errors(record_path):
            try:
                data = read_no_link(record_path)
            except FileNotFoundError:
                return None
            is_there = _is_folder(path)
        return parse_record(data, key, record_path, path) if is_there else None

    def verify(self, entry: Entry) -> None:
        """Hash all files of an entry again; raises StoreError as `verify_tree` does."""
        verify_tree(entry, self.listings / entry.key)

    def find_verified(self, key: str, check: Callable[[Entry], None] | None = None) -> Entry | None:
        """Return the entry of a key with every byte of it hashed again, or None where there is none.

        `check` raises where something else does not hold for it. Raises StoreError as `find` and `verify` do.
        """
        entry = self.find(key)
        if entry is not None:
            self.verify(entry)
            if check:
                check(entry)
        return entry

    def ensure(  # noqa: PLR0913 - one call
        self,
        key: str,
        kind: str,
        inputs: Mapping[str, str],
        make: Callable[[Path], None],
        *,
        console: Console,
        check: Callable[[Entry], None] | None = None,
    ) -> Ensured:
        """Return the entry of a key, verified; it is made where it is missing, by one process at a time.

        1. Look for it without a lock, so that a read-only store serves what it has.
        2. Lock its key, and look again: another process may have made it meanwhile.
        3. Fill an empty folder, and publish it: read-only, hashed, recorded, on the disk, by rename.

        `make` fills the empty folder, under the lock; what it raises leaves no entry. It may add to `inputs`, which are
        read when it has ended. `check` is for an entry that is
        there already, as for `find_verified`. Raises StoreError as `find_verified` and `stage` do.
        """
        if entry := self.find_verified(key, check):
            return Ensured(entry, is_new=False)
        with self.lock(key, console):
            if entry := self.find_verified(key, check):
                return Ensured(entry, is_new=False)
            with self.stage(key, kind, inputs) as staging:
                make(staging.path)
            return Ensured(staging.entry, is_new=True)

    @contextmanager
    def stage(self, key: str, kind: str, inputs: Mapping[str, str]) -> Iterator[Staging]:
        """Open an empty folder that becomes the entry of a key when the block ends without an error.

        Everything in it is then made read-only, hashed and recorded, is on the disk, and appears by rename. Where the
        block ends with an error the folder is removed; where the process is killed, the key's next `stage`, or gc,
        removes it. The lock is taken by `ensure`. Raises StoreError where the store cannot be written, the tree holds a
        device or the like, or the same key was published meanwhile with another tree.
        """
        path = self.entry_path(key)
        self.tmp.sweep_purpose(key)
        with self.tmp.own(key) as folder:
            staging = Staging(folder / "tree")
            try:
                with storage_errors(staging.path, below=self.root):
                    staging.path.mkdir()
                    yield staging
                    staging.become(self._publish(path, folder, kind, inputs))
            finally:
                remove_if_possible(folder)

    @contextmanager
    def scratch(self, name: str) -> Iterator[Path]:
        """Yield an empty folder that is removed afterwards; one that a killed process left is removed before."""
        _check_key(name)
        self.tmp.sweep_purpose(name)
        with self.tmp.own(name) as folder:
            try:
                with storage_errors(folder, below=self.root):
                    yield folder
            finally:
                remove_if_possible(folder)

    def lock(self, name: str, console: Console) -> AbstractContextManager[None]:
        """Hold the lock of a name between processes; where it is taken, say once by whom, and wait.

        The name is the key of an entry, or the digits of a blob's digest: gc removes neither while it is locked.
        """
        return hold(
            self.lock_path(name),
            on_wait=lambda owner: console.say(f"waiting for {owner}, which works on {name}"),
        )

    def set_aside(self, key: str, reason: str) -> Path:
        """Move a damaged entry, its record readable or not, to rejected/ with a why.txt; return its new folder."""
        pieces = (
            (self.record_path(key), "record.json"),  # first: from here on there is no such entry
            (self.listings / key, "listing"),
            (self.entry_path(key), "tree"),
        )
        with hold(self._publishing):
            return self._set_aside(key, reason, pieces)

    def discard(self, key: str, *, only_unfinished: bool = False) -> None:
        """Remove an entry, or what is left of one; one that another process published meanwhile can be left."""
        with storage_errors(self.entry_path(key)):
            with hold(self._publishing):
                if only_unfinished and self.is_whole(key):
                    return
                trash = self._unpublish(key)
            remove_tree(trash)

    def is_whole(self, key: str) -> bool:
        """Return whether an entry is there, understandable or not."""
        return self.record_path(key).exists() and _is_folder(self.entry_path(key))

    def entry_path(self, key: str) -> Path:
        """Where the folder of an entry lies, or would."""
        _check_key(key)
        return self.entries / key

    def record_path(self, key: str) -> Path:
        """Where the record of an entry lies, or would."""
        return self.entries / f"{key}.json"

    def lock_path(self, name: str) -> Path:
        """Where the lock file of a name lies, or would."""
        _check_key(name)
        return self.locks / f"{name}.lock"

    def _publish(self, path: Path, folder: Path, kind: str, inputs: Mapping[str, str]) -> Entry:
        """Make the staged tree the entry; where another process did so meanwhile, that one stays."""
        key, tree = path.name, folder / "tree"
        freeze_tree(tree)
        files = hash_staged(tree)
        entry = Entry(key, kind, tree_of_entries(files, Sha256), dict(inputs), path)
        write_durably(folder / "record", encode_record(entry))
        write_durably(folder / "listing", tree_listing.encode(files))
        sync_tree(tree)
        with hold(self._publishing):
            if present := self.find(key):
                return self._agreed(present, entry, tree)
            trash = self._unpublish(key)  # what a killed process left between two renames
            (folder / "listing").rename(self.listings / key)
            tree.rename(path)
            path.chmod(0o555)
            sync(path)
            sync(self.listings)
            sync(self.entries)
            (folder / "record").rename(self.record_path(key))
            sync(self.entries)
        remove_if_possible(trash)
        return entry

    def _agreed(self, present: Entry, ours: Entry, tree: Path) -> Entry:
        if present.tree == ours.tree:
            return present
        kept = self._set_aside(
            ours.key, "another process stored another tree under the same key", ((tree, "tree"),)
        )
        raise StoreError(
            where=str(present.path),
            expected=f"{ours.tree}, made from the same inputs and kept in {kept / 'tree'}",
            found=f"{present.tree}, stored meanwhile",
            fix=f"compare the two folders; if the stored one was changed by hand: {DAMAGED_FIX}",
        )

    def _unpublish(self, key: str) -> Path:
        """Take an entry, or what is left of one, out of the store; return where its tree is, to be removed."""
        trash = self.tmp.new_path(key)
        self.record_path(key).unlink(missing_ok=True)
        sync(self.entries)
        (self.listings / key).unlink(missing_ok=True)
        if os.path.lexists(self.entries / key):
            move(self.entries / key, trash)
        return trash

    def _layout(self) -> tuple[Path, ...]:
        files = (self.blobs, self.partial, self.rejected, self.root / "history")
        notes = (self.logs, self.provenance, self.evidence)
        # entries last: where it is there, all of the layout is
        return (*files, *notes, self.listings, self.locks, self.tmp.root, self.entries)


def _is_folder(path: Path) -> bool:
    return path.is_dir() and not path.is_symlink()


def is_key(name: str) -> bool:
    """Return whether a name can be that of an entry or a lock: a plain file name that no suffix of ours ends."""
    return bool(_KEY.fullmatch(name)) and not name.endswith((".json", ".lock"))


def _check_key(key: str) -> None:
    if not is_key(key):
        raise ValueError(
            f"a key has at most 200 letters, digits and ._+@- and is no .json or .lock, not {key!r}"
        )
