from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from recipes.core.console import Silent
from recipes.core.digest import Sha256, hash_tree
from recipes.core.errors import StoreError
from recipes.store.fsck import report, set_damaged_aside
from tests.support.store_files import overwrite, put_blob, put_entry

if TYPE_CHECKING:
    from recipes.store.store import Store

BLOB = b"blob"
SHA = Sha256.of_bytes(BLOB)


def test_an_intact_store_is_left_as_it_is(store: Store) -> None:
    put_entry(store, "a", {"file": b"a"})
    put_entry(store, "b", {"file": b"b"})
    put_blob(store, BLOB)
    before = sorted(path for path in store.root.rglob("*") if path.suffix != ".lock")
    findings = set_damaged_aside(store, Silent())
    assert report(findings) == ("3 of 3 intact",)
    assert sorted(path for path in store.root.rglob("*") if path.suffix != ".lock") == before


def test_damaged_entries_and_files_are_set_aside_with_the_reason_and_the_rest_stays(store: Store) -> None:
    entry, intact = (
        put_entry(store, "damaged", {"file": b"damaged"}),
        put_entry(store, "intact", {"file": b"intact"}),
    )
    blob, intact_blob = put_blob(store, BLOB), put_blob(store, b"intact")
    overwrite(entry.path / "file", b"x")
    overwrite(blob, b"y")
    found = hash_tree(entry.path, Sha256)
    lines = report(set_damaged_aside(store, Silent()))
    kept_blob, kept_entry = store.rejected / f"{SHA.hex}-1" / SHA.hex, store.rejected / "damaged-1"
    assert lines == (
        f"file {SHA.hex}: damaged, set aside in {kept_blob}",
        f"  expected {SHA}, found {Sha256.of_bytes(b'y')}",
        f"entry damaged: damaged, set aside in {kept_entry}",
        f"  expected {entry.tree}, found {found}",
        "  changed: file",
        "2 of 4 intact",
    )
    assert kept_blob.read_bytes() == b"y"
    assert (kept_entry / "tree" / "file").read_bytes() == b"x"
    assert (kept_entry / "why.txt").read_text(encoding="utf-8") == (
        f"where: {entry.path}\nexpected: {entry.tree}\nfound: {found}\nchanged: file\n"
    )
    assert store.find("damaged") is None
    assert store.verified_blob(SHA) is None
    store.verify(intact)
    assert store.verified_blob(Sha256.of_bytes(b"intact")) == intact_blob
    assert report(set_damaged_aside(store, Silent())) == ("2 of 2 intact",)


def test_an_entry_whose_record_cannot_be_read_is_set_aside_with_its_tree(store: Store) -> None:
    put_entry(store, "key", {"file": b"key"})
    store.record_path("key").write_bytes(b"")
    lines = report(set_damaged_aside(store, Silent()))
    assert lines == (
        f"entry key: damaged, set aside in {store.rejected / 'key-1'}",
        "  expected the record of key, found Input data was truncated",
        "0 of 1 intact",
    )
    assert (store.rejected / "key-1" / "tree" / "file").read_bytes() == b"key"
    assert put_entry(store, "key", {"file": b"key"}) == store.find("key")


def test_what_another_process_works_on_is_not_touched(store: Store) -> None:
    overwrite(put_entry(store, "key", {"file": b"key"}).path / "file", b"x")
    overwrite(put_blob(store, BLOB), b"y")
    with store.lock("key", Silent()), store.lock(SHA.hex, Silent()):
        lines = report(set_damaged_aside(store, Silent()))
    assert lines == (
        f"file {SHA.hex}: not looked at, a running process works on it",
        "entry key: not looked at, a running process works on it",
        "0 of 2 intact",
    )
    assert store.find("key") is not None
    with pytest.raises(StoreError):
        store.verified_blob(SHA)


def test_a_pipe_in_the_place_of_a_file_does_not_stop_the_inspection(store: Store) -> None:
    path = put_blob(store, BLOB)
    path.unlink()
    os.mkfifo(path)
    findings = set_damaged_aside(store, Silent())
    assert findings[0].damage is not None
    assert findings[0].damage.found == "not a file"
    assert not path.exists()
