"""One entry of the store: its record on disk, and the proof that its tree is still the recorded one."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import msgspec

from recipes.core.digest import Sha256, TreeEntry, blob_entries, tree_of_entries
from recipes.core.errors import StoreError
from recipes.core.filesystem import shown, storage_errors
from recipes.store import tree_listing
from recipes.store.blobs import DAMAGED_FIX

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

RECORD_SCHEMA = "entry/1"


@dataclass(frozen=True)
class Entry:
    """One tree of the store, read-only; its tree digest is in git's SHA-256 object format.

    `kind` says what it is ("toolchain", "bundle", ...), `inputs` what it was made from, in order.
    """

    key: str
    kind: str
    tree: Sha256
    inputs: Mapping[str, str]
    path: Path


class _Record(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    schema: str
    key: str
    kind: str
    tree: str
    inputs: dict[str, str]


def encode_record(entry: Entry) -> bytes:
    """Write the record of an entry: JSON, for people and programs."""
    record = _Record(
        schema=RECORD_SCHEMA,
        key=entry.key,
        kind=entry.kind,
        tree=entry.tree.hex,
        inputs=dict(entry.inputs),
    )
    return msgspec.json.format(msgspec.json.encode(record), indent=1) + b"\n"


def parse_record(data: bytes, key: str, record_path: Path, path: Path) -> Entry:
    """Read the record of an entry; raises StoreError where it is not a record of this key."""
    try:
        record = msgspec.json.decode(data, type=_Record)
        tree = Sha256(record.tree)
        problem = (
            None if (record.schema, record.key) == (RECORD_SCHEMA, key) else "the record of something else"
        )
    except ValueError as error:
        problem = str(error)
    if problem is not None:
        raise StoreError(
            where=str(record_path), expected=f"the record of {key}", found=shown(problem), fix=DAMAGED_FIX
        )
    return Entry(key, record.kind, tree, record.inputs, path)


def verify_tree(entry: Entry, listing_path: Path) -> None:
    """Hash all files of an entry again, over the cores; the listing is only read to name those that differ.

    Raises StoreError where the tree is not the recorded one, with the first files that differ.
    """
    with storage_errors(entry.path):
        try:
            files = blob_entries(entry.path, Sha256)
            tree = tree_of_entries(files, Sha256)
            if tree == entry.tree:
                return
            recorded = tree_listing.read(listing_path, entry.tree)
            found = f"{tree}\n{tree_listing.differences(recorded, files, entry.path)}"
        except ValueError as error:  # something that git cannot store
            found = shown(str(error))
        except (FileNotFoundError, NotADirectoryError) as error:  # removed while it was read
            found = f"{shown(str(error.filename))} is missing"
    raise StoreError(where=str(entry.path), expected=str(entry.tree), found=found, fix=DAMAGED_FIX)


def hash_staged(tree: Path) -> dict[str, TreeEntry]:
    """Hash the files of a tree that is about to become an entry.

    Raises StoreError where it holds a device, a socket or a pipe.
    """
    try:
        return blob_entries(tree, Sha256)
    except ValueError as error:
        raise StoreError(
            where=str(tree),
            expected="files, links and folders only",
            found=shown(str(error)),
            fix="let the step that made this tree leave it out",
        ) from error
