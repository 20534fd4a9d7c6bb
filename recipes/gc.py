"""Garbage collection: what in the store no manifest reaches, and what no longer is what its digest says.

Deciding is apart from doing: `list_store` looks, `plan_collection` decides, `collect` removes.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path

from recipes.console import Console
from recipes.digest import Sha256, hash_files
from recipes.errors import StoreError
from recipes.locks import hold_if_free, is_held
from recipes.storage import remove_tree, shown, size_text, storage_errors, tree_size_bytes
from recipes.store import Store


class Kind(Enum):
    """What a part of the store is; removed in this order."""

    ENTRY = "entry"
    UNFINISHED = "unfinished entry"
    BLOB = "file"
    PARTIAL = "download"
    STAGING = "temporary folder"
    REJECTED = "rejected bytes"
    LOCK = "lock"


@dataclass(frozen=True)
class Item:
    """One part of the store.

    Parameters
    ----------
    kind
        What it is.
    name
        Its key, digest or file name.
    size_bytes
        What its files hold.
    held
        A living process works on it.
    """

    kind: Kind
    name: str
    size_bytes: int
    held: bool = False


@dataclass(frozen=True)
class StoreListing:
    """All parts of a store, at one moment."""

    items: tuple[Item, ...]


@dataclass(frozen=True)
class Verdict:
    """What to do with one part, and why."""

    item: Item
    remove: bool
    reason: str


@dataclass(frozen=True)
class CollectionPlan:
    """What to do with each part of a store."""

    verdicts: tuple[Verdict, ...]

    @property
    def removals(self) -> tuple[Verdict, ...]:
        """Those that say remove."""
        return tuple(verdict for verdict in self.verdicts if verdict.remove)

    @property
    def freed_bytes(self) -> int:
        """What the removals give back."""
        return sum(verdict.item.size_bytes for verdict in self.removals)


@dataclass(frozen=True)
class Collected:
    """What a collection did."""

    removed: tuple[Item, ...] = ()
    in_use: tuple[Item, ...] = ()  # taken by another process since it was planned

    @property
    def freed_bytes(self) -> int:
        """What was given back."""
        return sum(item.size_bytes for item in self.removed)


@dataclass(frozen=True)
class Inspection:
    """What hashing everything again found."""

    intact: int = 0
    damaged: tuple[StoreError, ...] = ()
    set_aside: tuple[Path, ...] = field(default=())
    in_use: tuple[str, ...] = ()


def list_store(store: Store) -> StoreListing:
    """Look at all parts of a store; writes nothing.

    Raises
    ------
    StoreError
        Where the store cannot be read.
    """
    with storage_errors(store.root):
        return StoreListing(
            (
                *_entries(store),
                *(
                    Item(Kind.BLOB, path.name, tree_size_bytes(path), _locked(store, path.name))
                    for path in _children(store.blobs)
                    if _is_digest(path.name)
                ),
                *(
                    Item(Kind.PARTIAL, path.name, tree_size_bytes(path), _locked(store, _digest_part(path.name)))
                    for path in _children(store.partial)
                ),
                *(
                    Item(
                        Kind.STAGING, name, tree_size_bytes(store.tmp.root / name), store.tmp.is_owned(name)
                    )
                    for name in store.tmp.names()
                ),
                *(Item(Kind.REJECTED, path.name, tree_size_bytes(path)) for path in _children(store.rejected)),
                *(
                    Item(Kind.LOCK, path.name.removesuffix(".lock"), tree_size_bytes(path), is_held(path))
                    for path in _children(store.locks)
                ),
            )
        )


def plan_collection(
    reachable: Collection[str],
    reachable_blobs: Collection[Sha256],
    present: StoreListing,
    *,
    rejected: bool = False,
) -> CollectionPlan:
    """Decide what goes.

    | part                 | stays where                                                      |
    |----------------------|------------------------------------------------------------------|
    | any                  | a living process works on it                                     |
    | entry, file          | a manifest reaches it                                            |
    | unfinished entry     | never                                                            |
    | download in progress | a manifest reaches its file, and the file is not there yet       |
    | temporary folder     | never                                                            |
    | rejected bytes       | their removal was not asked for                                  |
    | lock                 | never: nobody holds it                                           |

    Parameters
    ----------
    reachable
        Keys of the entries that manifests reach.
    reachable_blobs
        Digests of the files that manifests reach.
    present
        What is there.
    rejected
        Whether rejected bytes go too.
    """
    digests = {sha.hex for sha in reachable_blobs}
    complete = {item.name for item in present.items if item.kind is Kind.BLOB}

    def judge(item: Item) -> tuple[bool, str]:
        if item.held:
            return False, "a running process works on it"
        match item.kind:
            case Kind.ENTRY if item.name in reachable:
                return False, "a manifest reaches it"
            case Kind.BLOB if item.name in digests:
                return False, "a manifest reaches it"
            case Kind.ENTRY | Kind.BLOB:
                return True, "no manifest reaches it"
            case Kind.PARTIAL if _digest_part(item.name) in complete:
                return True, "the download is complete"
            case Kind.PARTIAL if _digest_part(item.name) in digests:
                return False, "a manifest reaches it, and the download can go on"
            case Kind.PARTIAL:
                return True, "no manifest reaches it"
            case Kind.REJECTED:
                return rejected, "its removal was asked for" if rejected else "kept for diagnosis"
            case Kind.UNFINISHED | Kind.STAGING:
                return True, "the process that made it is gone"
            case Kind.LOCK:
                return True, "nobody holds it"

    order = list(Kind)
    items = sorted(present.items, key=lambda item: (order.index(item.kind), item.name))
    return CollectionPlan(tuple(Verdict(item, *judge(item)) for item in items))


def describe(plan: CollectionPlan) -> tuple[str, ...]:
    """Give a dry run's lines: what would go and why, with sizes, then what it would free."""
    lines = [
        f"{verdict.item.kind.value:<16}  {size_text(verdict.item.size_bytes):>8}"
        f"  {shown(verdict.item.name)}  ({verdict.reason})"
        for verdict in plan.removals
    ]
    kept = sum(verdict.item.size_bytes for verdict in plan.verdicts) - plan.freed_bytes
    return (*lines, f"{size_text(plan.freed_bytes)} would be freed, {size_text(kept)} stay")


def collect(store: Store, plan: CollectionPlan, console: Console) -> Collected:
    """Remove what was decided, but nothing that another process has taken since.

    Raises
    ------
    StoreError
        Where the store cannot be written.
    """
    removed, in_use = [], []
    with console.task("collect garbage", len(plan.removals), "parts") as task:
        for verdict in plan.removals:
            (removed if _remove(store, verdict.item) else in_use).append(verdict.item)
            task.advance(1)
    return Collected(tuple(removed), tuple(in_use))


def set_damaged_aside(store: Store, console: Console) -> Inspection:
    """Hash all files and entries again, and move those that changed to rejected/, with the reason.

    Raises
    ------
    StoreError
        Where the store cannot be read or written.
    """
    listing = list_store(store).items
    entries = [item for item in listing if item.kind is Kind.ENTRY]
    blobs = [item for item in listing if item.kind is Kind.BLOB]
    intact, damaged, moved, in_use = 0, [], [], []
    with console.task("hash the store again", sum(item.size_bytes for item in entries + blobs)) as task:
        for item, check in _checks(store, entries, blobs):
            with hold_if_free(store.lock_path(item.name)) as free:
                if not free:
                    in_use.append(item.name)
                elif outcome := check():
                    damaged.append(outcome[0])
                    moved.append(outcome[1])
                else:
                    intact += 1
            task.advance(item.size_bytes)
    return Inspection(intact, tuple(damaged), tuple(moved), tuple(in_use))
