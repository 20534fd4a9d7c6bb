"""Garbage collection: what no manifest reaches, and what killed processes left.

Deciding is apart from doing: `list_store` looks, `plan_collection` decides, `collect` removes.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING

from recipes.core.file_lock import hold_if_free, is_held
from recipes.core.filesystem import remove_tree, shown, size_text, storage_errors, tree_size_bytes
from recipes.core.log import FILE
from recipes.store.store import Store, is_key

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator
    from pathlib import Path

    from recipes.core.console import Console
    from recipes.core.digest import Sha256

_DIGITS = re.compile(r"[0-9a-f]{64}")


class ItemKind(Enum):
    """What a part of the store is; removed in this order."""

    ENTRY = "entry"
    UNFINISHED = "unfinished entry"
    BLOB = "file"
    PARTIAL = "download"
    STAGING = "temporary folder"
    REJECTED = "rejected bytes"
    NOTE = "log"  # or documents
    LOCK = "lock"


@dataclass(frozen=True)
class Item:
    """One part of the store, by its key, or its path where it has none.

    `subject` is the key, or the digits of the digest, that it is about, and whose lock protects it; `held` tells
    whether a living process works on it.
    """

    kind: ItemKind
    name: str
    subject: str
    size_bytes: int
    held: bool = False


@dataclass(frozen=True)
class Decision:
    """Whether one part goes, and why."""

    item: Item
    goes: bool
    reason: str


@dataclass(frozen=True)
class CollectionPlan:
    """A decision on each part of a store, in the order of removal."""

    decisions: tuple[Decision, ...]

    @property
    def going(self) -> tuple[Item, ...]:
        """The parts to remove."""
        return tuple(decision.item for decision in self.decisions if decision.goes)

    @property
    def staying(self) -> tuple[Item, ...]:
        """The parts to keep."""
        return tuple(decision.item for decision in self.decisions if not decision.goes)


@dataclass(frozen=True)
class Collected:
    """What a collection did."""

    removed: tuple[Item, ...]
    in_use: tuple[Item, ...]  # taken by another process since it was planned

    @property
    def freed_bytes(self) -> int:
        """How much was given back."""
        return _total(self.removed)


def list_store(store: Store) -> tuple[Item, ...]:
    """Look at all parts of a store; changes nothing."""
    with storage_errors(store.root):
        return (*_list_entries(store), *_list_files(store), *_list_leftovers(store))


def plan_collection(
    reachable: Collection[str],
    reachable_blobs: Collection[Sha256],
    present: tuple[Item, ...],
    *,
    rejected: bool = False,
) -> CollectionPlan:
    """Decide what goes.

    What a running process works on stays. For the rest:

    | part             | stays where                                              |
    |------------------|----------------------------------------------------------|
    | entry, file      | a manifest reaches it                                    |
    | unfinished entry | never                                                    |
    | download         | a manifest reaches its file, and the file is not there   |
    | temporary folder | never                                                    |
    | rejected bytes   | their removal is not asked for                           |
    | log              | a manifest reaches the entry that it is about            |
    | lock             | never                                                    |
    """
    digests = {sha.hex for sha in reachable_blobs}
    ends = tuple(f"-{key}" for key in reachable)  # a log is named by its entry, or a word, dash and it
    complete = {item.name for item in present if item.kind is ItemKind.BLOB}

    def decide(item: Item) -> Decision:
        match item.kind:
            case _ if item.held:
                goes, reason = False, "a running process works on it"
            case ItemKind.ENTRY | ItemKind.BLOB:
                goes = item.subject not in (digests if item.kind is ItemKind.BLOB else reachable)
                reason = "no manifest reaches it" if goes else "a manifest reaches it"
            case ItemKind.NOTE:
                goes = not f"-{item.subject}".endswith(ends)
                reason = (
                    "no manifest reaches what it is about" if goes else "a manifest reaches what it is about"
                )
            case ItemKind.PARTIAL if item.subject in complete:
                goes, reason = True, "the whole file is there"
            case ItemKind.PARTIAL:
                goes = item.subject not in digests
                reason = "no manifest reaches it" if goes else "it can go on"
            case ItemKind.UNFINISHED | ItemKind.STAGING:
                goes, reason = True, "the process that made it is gone"
            case ItemKind.REJECTED:
                goes, reason = rejected, "asked for" if rejected else "kept for diagnosis"
            case ItemKind.LOCK:
                goes, reason = True, "nobody holds it"
        return Decision(item, goes, reason)

    order = list(ItemKind)
    items = sorted(present, key=lambda item: (order.index(item.kind), item.name))
    return CollectionPlan(tuple(decide(item) for item in items))


def describe(plan: CollectionPlan) -> tuple[str, ...]:
    """Return the lines of a dry run: what would go, how large it is and why, and the sum."""
    lines = (
        f"{decision.item.kind.value:<16}  {size_text(decision.item.size_bytes):>8}"
        f"  {shown(decision.item.name)}: {decision.reason}"
        for decision in plan.decisions
        if decision.goes
    )
    going, staying = size_text(_total(plan.going)), size_text(_total(plan.staying))
    return (*lines, f"{going} would be freed, {staying} would stay")


def collect(store: Store, plan: CollectionPlan, console: Console) -> Collected:
    """Remove what was decided, but nothing that another process has taken since."""
    removed: list[Item] = []
    in_use: list[Item] = []
    with console.task("collect garbage", len(plan.going), "parts") as task:
        for item in plan.going:
            (removed if _remove(store, item) else in_use).append(item)
            task.advance(1)
    return Collected(tuple(removed), tuple(in_use))


def _remove(store: Store, item: Item) -> bool:
    match item.kind:
        case ItemKind.STAGING:
            return store.tmp.sweep(item.name)
        case ItemKind.REJECTED:
            _remove_file(store.rejected / item.name)
            return True
        case _:
            with hold_if_free(store.lock_path(item.subject)) as free:  # takes the lock file with it
                if free:
                    _remove_locked(store, item)
                return free


def _remove_locked(store: Store, item: Item) -> None:
    match item.kind:
        case ItemKind.ENTRY:
            store.discard(item.name)
        case ItemKind.UNFINISHED:
            store.discard(item.name, only_unfinished=True)
        case ItemKind.BLOB:
            _remove_file(store.blobs / item.name)
            for ending in ("json", "chunks"):
                _remove_file(store.sightings / f"{item.name}.{ending}")
        case ItemKind.PARTIAL:
            _remove_file(store.partial / item.name)
        case ItemKind.NOTE:
            _remove_file(store.root / item.name)
        case _:
            pass  # a lock: its file goes as the lock is released


def _remove_file(path: Path) -> None:
    with storage_errors(path):
        remove_tree(path)


def _list_entries(store: Store) -> Iterator[Item]:
    keys = {path.name.removesuffix(".json") for path in _children(store.entries)}
    keys |= {path.name for path in _children(store.listings)}
    for key in filter(is_key, keys):
        kind = ItemKind.ENTRY if store.is_whole(key) else ItemKind.UNFINISHED
        pieces = (store.entry_path(key), store.record_path(key), store.listings / key)
        yield Item(kind, key, key, sum(map(tree_size_bytes, pieces)), is_held(store.lock_path(key)))


def _list_files(store: Store) -> Iterator[Item]:
    for kind, folder in ((ItemKind.BLOB, store.blobs), (ItemKind.PARTIAL, store.partial)):
        for path in _children(folder):
            digits = path.name.partition(".")[0]
            if _DIGITS.fullmatch(digits):
                yield Item(kind, path.name, digits, tree_size_bytes(path), is_held(store.lock_path(digits)))
    for folder in (store.logs, store.provenance):
        for path in _children(folder):
            if not is_key(path.stem) or path.name in {
                FILE,
                f"{FILE}.1",
            }:  # the commands' log is about no entry
                continue
            held = is_held(store.lock_path(path.stem))
            yield Item(ItemKind.NOTE, f"{folder.name}/{path.name}", path.stem, tree_size_bytes(path), held)
    for path in filter(lambda path: is_key(path.name), _children(store.evidence)):
        held = is_held(store.lock_path(path.name))
        yield Item(
            ItemKind.NOTE, f"{store.evidence.name}/{path.name}", path.name, tree_size_bytes(path), held
        )


def _list_leftovers(store: Store) -> Iterator[Item]:
    for name in store.tmp.names():
        size_bytes = tree_size_bytes(store.tmp.root / name)
        yield Item(ItemKind.STAGING, name, name, size_bytes, store.tmp.is_owned(name))
    for path in _children(store.rejected):
        yield Item(ItemKind.REJECTED, path.name, path.name, tree_size_bytes(path))
    for path in _children(store.locks):
        if is_key(name := path.name.removesuffix(".lock")):
            yield Item(ItemKind.LOCK, name, name, tree_size_bytes(path), is_held(path))


def _children(folder: Path) -> Iterator[Path]:
    # a read-only store of an earlier version may lack a folder that this one would have made
    return folder.iterdir() if folder.is_dir() else iter(())


def _total(items: tuple[Item, ...]) -> int:
    return sum(item.size_bytes for item in items)
