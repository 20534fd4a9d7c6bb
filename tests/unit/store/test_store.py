from __future__ import annotations

import errno
import io
import json
import os
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from recipes.core.console import Plain, Silent
from recipes.core.digest import Sha256, hash_tree
from recipes.core.errors import StoreError
from recipes.core.file_lock import is_held
from recipes.store.store import Entry, Store, is_key

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from recipes.core.console import Console

INPUTS = {"source": "sha256:" + "1" * 64, "flags": "-O2"}


def fill(root: Path) -> None:
    (root / "bin").mkdir()
    (root / "bin" / "tool").write_bytes(b"#!/bin/sh\n")
    (root / "bin" / "tool").chmod(0o700)
    (root / "data").write_bytes(b"data")
    (root / "link").symlink_to("bin/tool")


def make(store: Store, key: str = "key") -> Entry:
    with store.stage(key, "bundle", INPUTS) as staging:
        fill(staging.path)
    return staging.entry


def fail(store: Store, error: BaseException) -> None:
    """Stage a tree, and leave the block with the error."""
    with store.stage("key", "bundle", INPUTS) as staging:
        fill(staging.path)
        raise error


def snapshot(store: Store) -> dict[str, tuple[int, bytes]]:
    """All files of the store but locks, with mode and content."""
    return {
        str(path.relative_to(store.root)): (
            path.lstat().st_mode,
            path.read_bytes() if path.is_file() else b"",
        )
        for path in store.root.rglob("*")
        if path.suffix != ".lock"
    }


class TestOpen:
    def test_a_new_store_has_all_its_folders_below_its_format(self, tmp_path: Path) -> None:
        store = Store.open(tmp_path / "deep" / "store")
        assert store.root == tmp_path / "deep" / "store" / "v1"
        folders = (
            "blobs blobs/sha256 entries evidence history listings locks logs partial provenance rejected tmp"
        )
        found = sorted(str(path.relative_to(store.root)) for path in store.root.rglob("*"))
        assert found == folders.split()

    def test_a_relative_path_becomes_absolute(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.chdir(tmp_path)
        assert Store.open(Path("r")).root == tmp_path / "r" / "v1"

    def test_opening_again_finds_what_is_there(self, store: Store) -> None:
        entry = make(store)
        assert Store.open(store.root.parent).find("key") == entry

    @pytest.mark.parametrize("below", ["file", "file/below", "dangling", "x" * 300])
    def test_where_no_store_can_be_made_the_error_says_what_to_set(self, tmp_path: Path, below: str) -> None:
        (tmp_path / "file").touch()
        (tmp_path / "dangling").symlink_to("nowhere/there")
        root = tmp_path / below
        with pytest.raises(StoreError) as caught:
            Store.open(root)
        assert caught.value.where == str(root)
        assert "PINNED_LLAMA_STORE" in caught.value.fix


class TestStage:
    def test_a_staged_tree_becomes_a_read_only_entry(self, store: Store, tmp_path: Path) -> None:
        (tmp_path / "same").mkdir()
        fill(tmp_path / "same")
        entry = make(store)
        tree = hash_tree(tmp_path / "same", Sha256)
        assert entry == Entry("key", "bundle", tree, INPUTS, store.root / "entries" / "key")
        assert store.find("key") == entry
        store.verify(entry)
        modes = {
            str(path.relative_to(entry.path)): f"{path.stat().st_mode & 0o7777:o}"
            for path in (entry.path, *entry.path.rglob("*"))
        }
        assert modes == {".": "555", "bin": "555", "bin/tool": "555", "data": "444", "link": "555"}
        assert (entry.path / "link").readlink() == Path("bin/tool")
        assert list(store.tmp.root.iterdir()) == []

    def test_the_record_says_what_the_entry_is_with_its_inputs_in_order(self, store: Store) -> None:
        entry = make(store)
        record = json.loads(store.record_path("key").read_text(encoding="utf-8"))
        assert record == {
            "schema": "entry/1",
            "key": "key",
            "kind": "bundle",
            "tree": entry.tree.hex,
            "inputs": INPUTS,
        }
        assert list(record["inputs"]) == ["source", "flags"]

    def test_nobody_sees_the_entry_before_it_is_whole(self, store: Store) -> None:
        with store.stage("key", "bundle", INPUTS) as staging:
            fill(staging.path)
            assert store.find("key") is None
            assert list(store.entries.iterdir()) == []
        assert store.find("key") == staging.entry

    @pytest.mark.parametrize("leave", [ValueError, KeyboardInterrupt, SystemExit])
    def test_an_error_or_interrupt_leaves_nothing(self, store: Store, leave: type[BaseException]) -> None:
        before = snapshot(store)
        with pytest.raises(leave):
            fail(store, leave())
        assert snapshot(store) == before
        assert store.find("key") is None

    def test_a_pipe_in_the_tree_is_refused(self, store: Store) -> None:
        with pytest.raises(StoreError, match="neither a file, a link nor a folder"):
            store.ensure("key", "b", {}, lambda folder: os.mkfifo(folder / "pipe"), console=Silent())
        assert store.find("key") is None

    def test_an_error_about_a_file_outside_the_store_passes(self, store: Store) -> None:
        with pytest.raises(PermissionError), store.stage("key", "b", {}):
            raise PermissionError(errno.EACCES, "Permission denied", "/elsewhere")

    @pytest.mark.parametrize("is_scratch", [False, True])
    def test_a_write_that_the_disk_refuses_is_a_store_error(self, store: Store, *, is_scratch: bool) -> None:
        block = store.scratch("work") if is_scratch else store.stage("key", "b", {})
        with pytest.raises(StoreError) as caught, block as made:
            raise OSError(errno.ENOSPC, "No space left on device")
        assert caught.value.where == str(made if isinstance(made, Path) else made.path)

    def test_of_two_equal_trees_the_first_stays(self, store: Store) -> None:
        with store.stage("key", "bundle", INPUTS) as second:
            fill(second.path)
            first = make(store)
            inode = first.path.stat().st_ino
        assert second.entry == first
        assert first.path.stat().st_ino == inode
        assert list(store.tmp.root.iterdir()) == []

    def test_of_two_different_trees_the_first_stays_and_the_second_is_kept_apart(self, store: Store) -> None:
        def race() -> None:
            with store.stage("key", "bundle", INPUTS) as second:
                (second.path / "other").touch()
                make(store)

        with pytest.raises(StoreError) as caught:
            race()
        first = store.find("key")
        assert first is not None
        ours = store.rejected / "key-1" / "tree"
        assert caught.value.where == str(first.path)
        assert caught.value.expected.startswith(str(hash_tree(ours, Sha256)))
        assert caught.value.found.startswith(str(first.tree))
        assert [path.name for path in ours.iterdir()] == ["other"]
        store.verify(first)

    def test_what_a_killed_process_left_between_two_renames_is_replaced(self, store: Store) -> None:
        entry = make(store)
        store.record_path("key").unlink()
        assert store.find("key") is None
        assert make(store) == entry
        store.verify(entry)
        assert list(store.tmp.root.iterdir()) == []

    def test_a_record_without_its_folder_is_no_entry_and_is_replaced(self, store: Store) -> None:
        entry = make(store)
        entry.path.rename(store.root / "gone")
        assert store.find("key") is None
        with store.stage("key", "other", {"x": "y"}) as staging:
            (staging.path / "new").touch()
        assert store.find("key") == staging.entry
        assert staging.entry.kind == "other"

    def test_stagings_of_dead_owners_go_and_those_of_living_ones_stay(self, store: Store) -> None:
        (store.tmp.root / "key.dead").mkdir()
        (store.tmp.root / "key.dead.lock").touch()
        (store.tmp.root / "other.dead").mkdir()
        with store.scratch("key") as alive:
            make(store)
            assert alive.is_dir()
        assert [path.name for path in store.tmp.root.iterdir()] == ["other.dead"]

    @pytest.mark.parametrize(
        "key", ["", ".", "..", "a/b", "/a", ".hidden", "a\n", "a\0", "x.json", "x.lock", "é", "a" * 201]
    )
    def test_a_key_is_a_plain_file_name(self, store: Store, key: str) -> None:
        assert not is_key(key)
        with pytest.raises(ValueError, match="a key has at most 200 letters"):
            store.find(key)
        with pytest.raises(ValueError, match="a key"):
            store.lock(key, Silent())

    @pytest.mark.parametrize("key", ["a", "bundle-b7827-linux-x86_64-cpu-0f", "b@l+1.0", "a" * 200])
    def test_such_keys_work(self, store: Store, key: str) -> None:
        assert make(store, key) == store.find(key)


class TestEnsure:
    def test_an_entry_is_made_once_and_found_afterwards(self, store: Store) -> None:
        made = store.ensure("key", "bundle", INPUTS, fill, console=Silent())
        again = store.ensure("key", "other", {}, unexpected, console=Silent(), check=lambda _: None)
        assert made == (store.find("key"), True)
        assert again == (made.entry, False)
        assert (made.entry.kind, made.entry.inputs) == ("bundle", INPUTS)

    def test_it_is_made_under_the_lock_of_its_key(self, store: Store) -> None:
        held: list[bool] = []
        store.ensure("key", "b", {}, lambda _: held.append(is_held(store.lock_path("key"))), console=Silent())
        assert held == [True]
        assert not is_held(store.lock_path("key"))

    def test_what_another_process_made_while_this_one_waited_is_used(
        self, store: Store, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        lock = store.lock

        @contextmanager
        def wait(name: str, console: Console) -> Iterator[None]:
            with lock(name, console):
                make(store)
                yield

        monkeypatch.setattr(store, "lock", wait)
        assert store.ensure("key", "b", {}, unexpected, console=Silent()) == (store.find("key"), False)

    def test_what_is_there_is_hashed_again_and_checked(self, store: Store) -> None:
        entry = make(store)
        checked: list[Entry] = []
        store.ensure("key", "b", {}, unexpected, console=Silent(), check=checked.append)
        assert checked == [entry]
        set_data(entry.path)
        with pytest.raises(StoreError, match="changed: data"):
            store.ensure("key", "b", {}, unexpected, console=Silent(), check=checked.append)
        assert checked == [entry]

    @pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt])
    def test_a_failure_leaves_no_entry_and_no_lock(self, store: Store, error: type[BaseException]) -> None:
        with pytest.raises(error):
            store.ensure("key", "b", {}, lambda _: throw(error), console=Silent())
        assert list(store.tmp.root.iterdir()) == []
        assert store.ensure("key", "b", {}, fill, console=Silent()).is_new


def throw(error: type[BaseException]) -> None:
    raise error


def unexpected(_: Path) -> None:
    raise AssertionError("the entry was there")


class TestScratch:
    def test_it_is_empty_and_gone_afterwards_whatever_happens(self, store: Store) -> None:
        with store.scratch("work") as folder:
            (folder / "file").touch()
        assert not folder.exists()
        with pytest.raises(KeyboardInterrupt), store.scratch("work"):
            raise KeyboardInterrupt
        assert list(store.tmp.root.iterdir()) == []

    def test_one_of_a_killed_process_is_removed_by_the_next(self, store: Store) -> None:
        (store.tmp.root / "work.dead").mkdir()
        with store.scratch("work"):
            assert not (store.tmp.root / "work.dead").exists()


def set_data(path: Path) -> None:
    (path / "data").chmod(0o644)
    (path / "data").write_bytes(b"DATA")


def relink(path: Path, target: str) -> None:
    path.unlink()
    path.symlink_to(target)


def replace_link(path: Path) -> None:
    path.unlink()
    path.write_bytes(b"bin/tool")


CHANGES: dict[str, Callable[[Path], object]] = {
    "changed: data": set_data,
    "extra: bin/new": lambda path: (path / "bin" / "new").touch(),
    "missing: data": lambda path: (path / "data").unlink(),
    "no longer executable: bin/tool": lambda path: (path / "bin" / "tool").chmod(0o644),
    "executable now: data": lambda path: (path / "data").chmod(0o755),
    "leads to ./data now: link": lambda path: relink(path / "link", "./data"),
    "no longer a link: link": lambda path: replace_link(path / "link"),
}


class TestVerify:
    @pytest.mark.parametrize("line", CHANGES)
    def test_an_entry_changed_afterwards_is_refused_by_name(self, store: Store, line: str) -> None:
        entry, other = make(store), make(store, "other")
        for folder in (entry.path, entry.path / "bin"):
            folder.chmod(0o755)
        CHANGES[line](entry.path)
        before = snapshot(store)
        with pytest.raises(StoreError) as caught:
            store.verify(entry)
        assert caught.value.where == str(entry.path)
        assert caught.value.found.splitlines() == [str(hash_tree(entry.path, Sha256)), line]
        assert snapshot(store) == before
        store.verify(other)

    def test_a_write_permission_alone_is_no_damage(self, store: Store) -> None:
        entry = make(store)
        for path in (entry.path, entry.path / "bin", entry.path / "data"):
            path.chmod(0o755 if path.is_dir() else 0o644)
        store.verify(entry)

    def test_without_the_listing_the_change_is_found_all_the_same(self, store: Store) -> None:
        entry = make(store)
        (store.listings / "key").unlink()
        store.verify(entry)
        set_data(entry.path)
        with pytest.raises(StoreError, match="listing of this tree is lost"):
            store.verify(entry)

    def test_a_pipe_put_into_the_entry_is_refused(self, store: Store) -> None:
        entry = make(store)
        entry.path.chmod(0o755)
        os.mkfifo(entry.path / "pipe")
        with pytest.raises(StoreError, match="pipe is neither"):
            store.verify(entry)

    def test_an_entry_removed_meanwhile_is_missing(self, store: Store) -> None:
        entry = make(store)
        entry.path.rename(store.root / "gone")
        with pytest.raises(StoreError) as caught:
            store.verify(entry)
        assert (caught.value.expected, caught.value.found) == (str(entry.tree), f"{entry.path} is missing")

    def test_a_record_changed_to_another_tree_is_refused(self, store: Store) -> None:
        entry = make(store)
        path = store.record_path("key")
        path.write_text(path.read_text(encoding="utf-8").replace(entry.tree.hex, "0" * 64), encoding="utf-8")
        changed = store.find("key")
        assert changed is not None
        with pytest.raises(StoreError) as caught:
            store.verify(changed)
        assert caught.value.found.splitlines()[0] == str(entry.tree)


def record(**changes: str) -> bytes:
    fields = {"schema": "entry/1", "key": "key", "kind": "b", "tree": "0" * 64, "inputs": {}}
    return json.dumps({**fields, **changes}).encode()


class TestFind:
    @pytest.mark.parametrize(
        ("data", "found"),
        [
            (b"", "Input data was truncated"),
            (b"[]", "Expected `object`, got `array`"),
            (b"\xff", "JSON is malformed: invalid character (byte 0)"),
            (record(tree="0"), "a sha256 digest has 64 digits, this has 1"),
            (record(key="other"), "the record of something else"),
            (record(schema="entry/2"), "the record of something else"),
            (record(x="1"), "Object contains unknown field `x`"),
        ],
    )
    def test_a_record_that_is_not_one_is_refused(self, store: Store, data: bytes, found: str) -> None:
        make(store)
        path = store.record_path("key")
        path.write_bytes(data)
        with pytest.raises(StoreError) as caught:
            store.find("key")
        assert (caught.value.where, caught.value.found) == (str(path), found)

    def test_there_is_no_entry_where_none_was_made(self, store: Store) -> None:
        make(store, "key")
        assert store.find("ke") is None
        assert store.find("key2") is None

    def test_a_file_in_the_place_of_the_folder_is_no_entry(self, store: Store) -> None:
        entry = make(store)
        entry.path.rename(store.root / "gone")
        entry.path.touch()
        assert store.find("key") is None
        assert make(store) == entry


class TestSetAside:
    def test_a_damaged_entry_is_kept_whole_with_the_reason_and_can_be_made_again(self, store: Store) -> None:
        entry = make(store)
        set_data(entry.path)
        folder = store.set_aside("key", "changed by hand")
        assert folder == store.rejected / "key-1"
        assert sorted(path.name for path in folder.iterdir()) == ["listing", "record.json", "tree", "why.txt"]
        assert (folder / "why.txt").read_text(encoding="utf-8") == "changed by hand\n"
        assert (folder / "tree" / "data").read_bytes() == b"DATA"
        assert store.find("key") is None
        assert make(store) == entry
        assert store.set_aside("key", "again") == store.rejected / "key-2"

    def test_its_record_need_not_be_readable(self, store: Store) -> None:
        make(store)
        store.record_path("key").write_bytes(b"")
        assert (store.set_aside("key", "why") / "tree" / "data").exists()
        assert store.find("key") is None


class TestDiscard:
    def test_an_entry_goes_with_all_its_pieces(self, store: Store) -> None:
        empty = snapshot(store)
        make(store)
        store.discard("key")
        assert snapshot(store) == empty
        store.discard("key")

    def test_one_that_was_published_meanwhile_can_be_spared(self, store: Store) -> None:
        entry = make(store)
        store.discard("key", only_unfinished=True)
        store.verify(entry)
        store.record_path("key").unlink()
        store.discard("key", only_unfinished=True)
        assert not entry.path.exists()


class TestLock:
    def test_a_name_is_locked_within_the_block_only(self, store: Store) -> None:
        with store.lock("key", Silent()):
            assert is_held(store.lock_path("key"))
            assert not is_held(store.lock_path("other"))
        assert not is_held(store.lock_path("key"))

    def test_nothing_is_said_where_nobody_is_waited_for(self, store: Store) -> None:
        said = io.StringIO()
        with store.lock("key", Plain(said)):
            make(store)
        assert said.getvalue() == ""
