"""Hashing the whole store again: what no longer is what its digest says is set aside."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING

from recipes.core.cores import usable_cores
from recipes.core.digest import Sha256
from recipes.core.errors import StoreError
from recipes.core.file_lock import hold_if_free
from recipes.store.gc import Item, ItemKind, list_store

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from recipes.core.console import Console
    from recipes.store.store import Store


@dataclass(frozen=True)
class HashedItem:
    """What hashing one entry or file found: damage, and where the damaged bytes are now.

    Where another process works on it (`in_use`), it was not looked at.
    """

    item: Item
    damage: StoreError | None = None
    kept_in: Path | None = None
    in_use: bool = False


def set_damaged_aside(store: Store, console: Console) -> tuple[HashedItem, ...]:
    """Hash all entries and files again, over the cores, and move the damaged ones to rejected/."""
    items = list_store(store)
    blobs = sorted((item for item in items if item.kind is ItemKind.BLOB), key=lambda item: item.name)
    entries = sorted((item for item in items if item.kind is ItemKind.ENTRY), key=lambda item: item.name)
    hashed: list[HashedItem] = []
    total_bytes = sum(item.size_bytes for item in (*blobs, *entries))
    with (
        console.task("hash the store again", total_bytes) as task,
        ThreadPoolExecutor(usable_cores()) as pool,
    ):
        for each in pool.map(lambda item: _inspect(store, item, _inspect_blob), blobs):
            hashed.append(each)
            task.advance(each.item.size_bytes)
        for item in entries:  # one after the other: each is hashed over the cores
            hashed.append(_inspect(store, item, _inspect_entry))
            task.advance(item.size_bytes)
    return tuple(hashed)


def report(hashed: tuple[HashedItem, ...]) -> tuple[str, ...]:
    """Return a line for each entry or file that was set aside or not looked at, and one for the rest."""
    lines = []
    for each in hashed:
        name = f"{each.item.kind.value} {each.item.name}"
        if each.in_use:
            lines.append(f"{name}: not looked at, a running process works on it")
        elif each.damage:
            first, *rest = each.damage.found.splitlines()
            lines.append(f"{name}: damaged, set aside in {each.kept_in}")
            lines.append(f"  expected {each.damage.expected}, found {first}")
            lines.extend(f"  {line}" for line in rest)
    intact = sum(1 for each in hashed if not each.damage and not each.in_use)
    return (*lines, f"{intact} of {len(hashed)} intact")


def _inspect(store: Store, item: Item, look: Callable[[Store, Item], HashedItem]) -> HashedItem:
    with hold_if_free(store.lock_path(item.name)) as free:
        return look(store, item) if free else HashedItem(item, in_use=True)


def _inspect_blob(store: Store, item: Item) -> HashedItem:
    sha = Sha256(item.name)
    try:
        store.verified_blob(sha)
    except StoreError as damage:
        return HashedItem(item, damage, store.reject(store.blob_path(sha), _reason(damage)))
    return HashedItem(item)


def _inspect_entry(store: Store, item: Item) -> HashedItem:
    try:
        if entry := store.find(item.name):
            store.verify(entry)
    except StoreError as damage:
        return HashedItem(item, damage, store.set_aside(item.name, _reason(damage)))
    return HashedItem(item)


def _reason(damage: StoreError) -> str:
    return f"where: {damage.where}\nexpected: {damage.expected}\nfound: {damage.found}"
