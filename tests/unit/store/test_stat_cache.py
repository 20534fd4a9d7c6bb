"""A file counts as unchanged only while its size, inode and both times are the same."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from recipes.core.digest import Sha256
from recipes.store.stat_cache import Sight, is_unchanged, note_sight
from recipes.store.store import Store

if TYPE_CHECKING:
    from pathlib import Path

DATA = b"0123456789" * 100


def noted(tmp_path: Path) -> tuple[Store, Path, Sha256]:
    store, sha = Store.open(tmp_path / "store"), Sha256.of_bytes(DATA)
    store.blob_path(sha).write_bytes(DATA)
    note_sight(store.blob_path(sha), sha, store)
    assert is_unchanged(store.blob_path(sha), sha, store)
    return store, store.blob_path(sha), sha


def test_bytes_that_were_changed_are_noticed_though_the_time_was_put_back(tmp_path: Path) -> None:
    store, path, sha = noted(tmp_path)
    before = path.stat()
    after = before
    while (
        after.st_ctime_ns == before.st_ctime_ns
    ):  # a kernel's clock for files can stand still for some milliseconds
        with path.open("r+b") as file:
            file.write(b"other")
        os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
        after = path.stat()
    assert (after.st_size, after.st_mtime_ns, after.st_ino) == (
        before.st_size,
        before.st_mtime_ns,
        before.st_ino,
    )
    assert not is_unchanged(path, sha, store)


def test_each_part_of_a_sight_counts(tmp_path: Path) -> None:
    _, path, _ = noted(tmp_path)
    fields = set(vars(Sight.of(path.stat())))
    assert fields == {"size_bytes", "mtime_ns", "ctime_ns", "inode", "device"}


def test_a_link_to_an_unchanged_file_is_not_the_file(tmp_path: Path) -> None:
    store, path, sha = noted(tmp_path)
    path.rename(tmp_path / "moved")
    path.symlink_to(tmp_path / "moved")
    assert not is_unchanged(path, sha, store)


def test_a_sight_without_ctime_that_an_earlier_version_noted_counts_for_nothing(tmp_path: Path) -> None:
    store, path, sha = noted(tmp_path)
    sight = store.sightings / f"{sha.hex}.json"
    text = sight.read_text()
    assert '"ctime_ns"' in text
    sight.write_text(text.replace('"ctime_ns"', '"other"'))
    assert not is_unchanged(path, sha, store)
