from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from recipes.build.gc_roots import find_reachable
from recipes.core.console import Silent
from recipes.core.digest import Sha256
from recipes.store.gc import (
    Item,
    ItemKind,
    collect,
    describe,
    list_store,
    plan_collection,
)
from tests.support.model_manifests import HUB, LOCAL, a_project
from tests.support.store_files import put_blob, put_entry

if TYPE_CHECKING:
    from pathlib import Path

    from recipes.store.store import Entry, Store

WANTED, UNWANTED = Sha256("a" * 64), Sha256("b" * 64)


def make(store: Store, key: str, size_bytes: int = 10) -> Entry:
    return put_entry(store, key, {"folder/file": key[:1].encode() * size_bytes})


def adopt(store: Store, data: bytes) -> Sha256:
    return Sha256(put_blob(store, data).name)


def verdict(item: Item, *, rejected: bool = False, others: tuple[Item, ...] = ()) -> tuple[bool, str]:
    plan = plan_collection({"wanted"}, {WANTED}, (item, *others), rejected=rejected)
    (found,) = (each for each in plan.decisions if each.item is item)
    return found.goes, found.reason


@pytest.mark.parametrize(
    ("kind", "name", "subject", "goes", "reason"),
    [
        (ItemKind.ENTRY, "wanted", "wanted", False, "a manifest reaches it"),
        (ItemKind.ENTRY, "unwanted", "unwanted", True, "no manifest reaches it"),
        (ItemKind.UNFINISHED, "wanted", "wanted", True, "the process that made it is gone"),
        (ItemKind.BLOB, WANTED.hex, WANTED.hex, False, "a manifest reaches it"),
        (ItemKind.BLOB, UNWANTED.hex, UNWANTED.hex, True, "no manifest reaches it"),
        (ItemKind.PARTIAL, WANTED.hex, WANTED.hex, False, "it can go on"),
        (ItemKind.PARTIAL, f"{WANTED.hex}.json", WANTED.hex, False, "it can go on"),
        (ItemKind.PARTIAL, UNWANTED.hex, UNWANTED.hex, True, "no manifest reaches it"),
        (ItemKind.STAGING, "wanted.0f", "wanted.0f", True, "the process that made it is gone"),
        (ItemKind.REJECTED, "wanted-1", "wanted-1", False, "kept for diagnosis"),
        (ItemKind.NOTE, "logs/wanted.log", "wanted", False, "a manifest reaches what it is about"),
        (
            ItemKind.NOTE,
            "logs/again-wanted.log",
            "again-wanted",
            False,
            "a manifest reaches what it is about",
        ),
        (ItemKind.NOTE, "logs/unwanted.log", "unwanted", True, "no manifest reaches what it is about"),
        (ItemKind.NOTE, "logs/other.log", "other", True, "no manifest reaches what it is about"),
        (ItemKind.LOCK, "wanted", "wanted", True, "nobody holds it"),
    ],
)
def test_each_kind_has_its_rule(kind: ItemKind, name: str, subject: str, goes: bool, reason: str) -> None:  # noqa: FBT001 - a table's column
    assert verdict(Item(kind, name, subject, 5)) == (goes, reason)


@pytest.mark.parametrize("kind", list(ItemKind))
def test_what_a_running_process_works_on_stays(kind: ItemKind) -> None:
    held = Item(kind, "unwanted", "unwanted", 5, held=True)
    assert verdict(held, rejected=True) == (False, "a running process works on it")


def test_rejected_bytes_go_when_asked() -> None:
    assert verdict(Item(ItemKind.REJECTED, "x-1", "x-1", 5), rejected=True) == (True, "asked for")


def test_a_download_goes_once_its_file_is_there() -> None:
    whole = Item(ItemKind.BLOB, WANTED.hex, WANTED.hex, 5)
    sidecar = Item(ItemKind.PARTIAL, f"{WANTED.hex}.json", WANTED.hex, 5)
    assert verdict(sidecar, others=(whole,)) == (True, "the whole file is there")


def test_nothing_reached_means_everything_goes() -> None:
    plan = plan_collection(
        (), (), (Item(ItemKind.NOTE, "logs/a.log", "a", 1), Item(ItemKind.ENTRY, "a", "a", 1))
    )
    assert [item.kind for item in plan.going] == [ItemKind.ENTRY, ItemKind.NOTE]
    assert plan.staying == ()


def test_a_dry_run_lists_what_would_go_with_sizes_and_reasons() -> None:
    plan = plan_collection(
        {"wanted"},
        (),
        (
            Item(ItemKind.LOCK, "l", "l", 0),
            Item(ItemKind.ENTRY, "wanted", "wanted", 98_000_000),
            Item(ItemKind.BLOB, UNWANTED.hex, UNWANTED.hex, 170_400_000),
            Item(ItemKind.ENTRY, "old", "old", 1234),
        ),
    )
    assert describe(plan) == (
        "entry               1.2 kB  old: no manifest reaches it",
        f"file              170.4 MB  {UNWANTED.hex}: no manifest reaches it",
        "lock                   0 B  l: nobody holds it",
        "170.4 MB would be freed, 98.0 MB would stay",
    )


def test_a_dry_run_of_an_empty_store_says_so(store: Store) -> None:
    assert describe(plan_collection((), (), list_store(store))) == ("0 B would be freed, 0 B would stay",)


def fill(store: Store) -> tuple[Sha256, Sha256]:
    make(store, "wanted", 100)
    make(store, "unwanted", 200)
    make(store, "half", 300)
    store.record_path("half").unlink()
    wanted, unwanted = adopt(store, b"wanted blob"), adopt(store, b"unwanted blob")
    (store.partial / f"{wanted.hex}.json").write_bytes(b"{}")
    (store.partial / WANTED.hex).write_bytes(b"123")
    (store.partial / f"{UNWANTED.hex}.d").mkdir()
    (store.partial / f"{UNWANTED.hex}.d" / "x").write_bytes(b"1234")
    (store.tmp.root / "wanted.dead").mkdir()
    store.reject(store.tmp.root / "wanted.dead", "why")
    (store.tmp.root / "wanted.dead").mkdir()
    (store.logs / "wanted.log").write_bytes(b"l")
    (store.logs / "unwanted.log").write_bytes(b"l")
    (store.provenance / "unwanted.json").write_bytes(b"l")
    for key in ("wanted", "unwanted"):
        (store.evidence / key).mkdir()
        (store.evidence / key / "a.json").write_bytes(b"l")
    with store.lock("wanted", Silent()):
        pass
    for name in ("commands.log", "commands.log.1"):  # of the commands: no entry's, and kept
        (store.logs / name).write_bytes(b"l")
    for folder in (store.entries, store.blobs, store.partial, store.locks, store.logs):
        (folder / ".foreign").write_bytes(b"not ours")
    return wanted, unwanted


def test_the_listing_names_every_part_once_and_changes_nothing(store: Store) -> None:
    wanted, unwanted = fill(store)
    before = sorted(store.root.rglob("*"))
    listing = list_store(store)
    assert {(item.kind.value, item.name, item.subject) for item in listing} == {
        ("entry", "wanted", "wanted"),
        ("entry", "unwanted", "unwanted"),
        ("unfinished entry", "half", "half"),
        ("file", wanted.hex, wanted.hex),
        ("file", unwanted.hex, unwanted.hex),
        ("download", f"{wanted.hex}.json", wanted.hex),
        ("download", WANTED.hex, WANTED.hex),
        ("download", f"{UNWANTED.hex}.d", UNWANTED.hex),
        ("temporary folder", "wanted.dead", "wanted.dead"),
        ("rejected bytes", "wanted.dead-1", "wanted.dead-1"),
        ("log", "logs/wanted.log", "wanted"),
        ("log", "logs/unwanted.log", "unwanted"),
        ("log", "provenance/unwanted.json", "unwanted"),
        ("log", "evidence/wanted", "wanted"),
        ("log", "evidence/unwanted", "unwanted"),
        ("lock", "wanted", "wanted"),
    }
    assert len(listing) == 16
    sizes = {item.name: item.size_bytes for item in listing}
    assert (sizes[unwanted.hex], sizes[f"{UNWANTED.hex}.d"]) == (13, 4)
    assert 300 <= sizes["half"] < 600  # the file, and the listing of its name and digest
    assert not any(item.held for item in listing)
    assert sorted(store.root.rglob("*")) == before


def test_a_collection_keeps_what_is_reached_and_removes_the_rest(store: Store) -> None:
    wanted, _ = fill(store)
    plan = plan_collection({"wanted"}, {wanted, WANTED}, list_store(store))
    done = collect(store, plan, Silent())
    assert done.in_use == ()
    assert done.removed == plan.going
    assert done.freed_bytes == sum(item.size_bytes for item in plan.going)
    entry = store.find("wanted")
    assert entry is not None
    store.verify(entry)
    assert store.verified_blob(wanted) is not None
    left = {str(path.relative_to(store.root)) for path in store.root.rglob("*") if not path.is_dir()}
    foreign = {f"{name}/.foreign" for name in ("entries", "blobs/sha256", "partial", "locks", "logs")}
    assert left - foreign == {
        "publishing.lock",
        "entries/wanted.json",
        "entries/wanted/folder/file",
        "listings/wanted",
        f"blobs/sha256/{wanted.hex}",
        f"partial/{WANTED.hex}",
        "rejected/wanted.dead-1/why.txt",
        "logs/commands.log",
        "logs/commands.log.1",
        "logs/wanted.log",
        "evidence/wanted/a.json",
    }
    assert foreign <= left
    assert plan_collection({"wanted"}, {wanted, WANTED}, list_store(store)).going == ()


def test_rejected_bytes_are_collected_when_asked(store: Store) -> None:
    fill(store)
    collect(store, plan_collection((), (), list_store(store), rejected=True), Silent())
    assert list(store.rejected.iterdir()) == []
    assert list_store(store) == ()


def test_what_is_locked_is_listed_as_held_and_stays(store: Store) -> None:
    wanted, unwanted = fill(store)
    with store.lock("unwanted", Silent()), store.lock(unwanted.hex, Silent()), store.scratch("work") as work:
        plan = plan_collection({"wanted"}, {wanted}, list_store(store))
        held = {item.name for item in plan.staying if item.held}
        assert held == {
            "unwanted",
            unwanted.hex,
            work.name,
            "logs/unwanted.log",
            "provenance/unwanted.json",
            "evidence/unwanted",
        }
        collect(store, plan, Silent())
        assert store.find("unwanted") is not None
        assert store.verified_blob(unwanted) is not None
        assert work.is_dir()


def test_what_was_locked_after_the_plan_stays_too(store: Store) -> None:
    _, unwanted = fill(store)
    plan = plan_collection((), (), list_store(store))
    with store.lock("unwanted", Silent()), store.lock(unwanted.hex, Silent()):
        done = collect(store, plan, Silent())
        assert {item.name for item in done.in_use} >= {"unwanted", unwanted.hex}
        assert store.find("unwanted") is not None
        assert store.verified_blob(unwanted) is not None
    assert store.find("wanted") is None


def test_an_unfinished_entry_that_was_finished_after_the_plan_stays(store: Store) -> None:
    make(store, "key")
    record = store.record_path("key")
    data = record.read_bytes()
    record.unlink()
    plan = plan_collection((), (), list_store(store))
    record.write_bytes(data)
    collect(store, plan, Silent())
    entry = store.find("key")
    assert entry is not None
    store.verify(entry)


def test_the_files_of_models_are_reached_where_they_are_pinned(tmp_path: Path) -> None:
    blobs = find_reachable(a_project(tmp_path, local=LOCAL, hub=HUB), tmp_path).blobs
    assert {Sha256("a1" * 32), Sha256("b2" * 32)} <= blobs


def test_what_was_noted_of_a_file_goes_with_it(store: Store) -> None:
    sha = adopt(store, b"gone")
    store.sightings.mkdir()
    for ending in ("json", "chunks"):
        (store.sightings / f"{sha.hex}.{ending}").write_text("noted")
    (store.sightings / f"{WANTED.hex}.json").write_text("of another")
    collect(store, plan_collection(set(), set(), list_store(store)), Silent())
    assert [path.name for path in store.sightings.iterdir()] == [f"{WANTED.hex}.json"]
