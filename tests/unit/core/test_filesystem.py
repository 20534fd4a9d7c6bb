from __future__ import annotations

import errno
import os
from typing import TYPE_CHECKING

import pytest

from recipes.core.digest import Sha256, hash_tree
from recipes.core.errors import StoreError
from recipes.core.filesystem import (
    copy_tree,
    copy_writable,
    free_bytes,
    freeze_tree,
    move,
    remove_tree,
    shown,
    size_text,
    storage_errors,
    sync_tree,
    tree_size_bytes,
    write_durably,
)

if TYPE_CHECKING:
    from pathlib import Path


def refusal(number: int, filename: str | None = None) -> OSError:
    return OSError(number, os.strerror(number), filename)


@pytest.mark.parametrize(
    ("number", "word"),
    [
        (errno.ENOSPC, "free some space"),
        (errno.EDQUOT, "free some space"),
        (errno.EROFS, "writable"),
        (errno.EACCES, "permission"),
        (errno.EPERM, "permission"),
        (errno.EFBIG, "ulimit -f"),
        (errno.EMFILE, "ulimit -n"),
        (errno.ENFILE, "ulimit -n"),
        (errno.ENAMETOOLONG, "shorter"),
        (errno.EEXIST, "in the way"),
        (errno.ENOTDIR, "in the way"),
        (errno.EISDIR, "in the way"),
        (errno.ELOOP, "in the way"),
        (errno.EIO, "disk"),
        (errno.ESTALE, "disk"),
        (errno.ENOLCK, "local disk"),
        (errno.ENOSYS, "local disk"),
    ],
)
def test_what_the_system_refuses_comes_with_a_fix(tmp_path: Path, number: int, word: str) -> None:
    with pytest.raises(StoreError) as caught, storage_errors(tmp_path):
        raise refusal(number)
    error = caught.value
    assert error.where == str(tmp_path)
    assert error.found.startswith(os.strerror(number))
    assert word in error.fix
    assert isinstance(error.__cause__, OSError)


def test_whose_permission_is_missing_is_said(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match=f"for user {os.geteuid()}"), storage_errors(tmp_path):
        raise refusal(errno.EACCES)


def test_a_full_disk_says_how_much_is_free_and_how_much_is_needed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("recipes.core.filesystem.free_bytes", lambda _: 1_500_000)
    with pytest.raises(StoreError) as caught, storage_errors(tmp_path / "x", needed_bytes=2_000_000_000):
        raise refusal(errno.ENOSPC)
    assert "1.5 MB free" in caught.value.found
    assert "2.0 GB" in caught.value.expected


def test_a_file_in_the_place_of_a_folder_and_a_name_that_is_too_long(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    for path in (tmp_path / "file" / "below", tmp_path / ("x" * 300)):
        with pytest.raises(StoreError) as caught, storage_errors(tmp_path):
            path.write_bytes(b"")
        assert caught.value.where == str(path)


def test_the_file_that_the_system_names_is_the_place(tmp_path: Path) -> None:
    with pytest.raises(StoreError) as caught, storage_errors(tmp_path):
        raise refusal(errno.EACCES, "/there/a\nb")
    assert caught.value.where == "'/there/a\\nb'"
    with pytest.raises(StoreError) as caught, storage_errors(tmp_path):
        raise OSError(errno.EACCES, "x", b"/there")
    assert caught.value.where == "/there"


def test_of_two_files_the_place_is_the_one_that_would_change(tmp_path: Path) -> None:
    with pytest.raises(StoreError) as caught, storage_errors(tmp_path, below=tmp_path):
        raise OSError(errno.ENOSPC, "", "bin/target", None, str(tmp_path / "link"))
    assert caught.value.where == str(tmp_path / "link")
    with pytest.raises(StoreError) as caught, storage_errors(tmp_path):
        raise OSError(errno.ENOSPC, "", "/target", None, str(tmp_path / "link"))
    assert caught.value.where == str(tmp_path / "link")
    with pytest.raises(StoreError) as caught, storage_errors(tmp_path, below=tmp_path):
        raise OSError(errno.EACCES, "", str(tmp_path / "from"), None, "/elsewhere")
    assert caught.value.where == str(tmp_path / "from")


def test_an_error_about_a_file_outside_the_store_is_not_the_stores(tmp_path: Path) -> None:
    below = tmp_path / "store"
    with pytest.raises(PermissionError), storage_errors(below / "a", below=below):
        raise refusal(errno.EACCES, str(tmp_path / "elsewhere"))
    for name in (None, str(below / "b")):
        with pytest.raises(StoreError), storage_errors(below / "a", below=below):
            raise refusal(errno.EACCES, name)


def test_errors_that_say_nothing_about_the_disk_pass(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError), storage_errors(tmp_path):
        (tmp_path / "missing").read_bytes()
    with pytest.raises(OSError, match="no number"), storage_errors(tmp_path):
        raise OSError("no number")
    with pytest.raises(KeyboardInterrupt), storage_errors(tmp_path):
        raise KeyboardInterrupt


@pytest.mark.parametrize(
    ("size_bytes", "text"),
    [(0, "0 B"), (999, "999 B"), (1000, "1.0 kB"), (1_250_000, "1.2 MB"), (18_550_000_000, "18.6 GB")],
)
def test_sizes_are_in_decimal_units(size_bytes: int, text: str) -> None:
    assert size_text(size_bytes) == text


def test_the_room_is_that_of_the_file_system_even_for_a_path_that_is_not_there(tmp_path: Path) -> None:
    assert free_bytes(tmp_path) > 0
    assert free_bytes(tmp_path / "a" / "b") > 0
    assert free_bytes(tmp_path / ("x" * 300) / "b") > 0


def test_a_name_is_shown_on_one_line_whatever_its_bytes() -> None:
    assert shown("lib/ünïcode 猫") == "lib/ünïcode 猫"
    assert shown(os.fsdecode(b"\xff\n")) == "'\\udcff\\n'"


def build_tree(root: Path) -> None:
    (root / "deep" / "er").mkdir(parents=True)
    (root / "deep" / "er" / "file").write_bytes(b"12345")
    (root / "deep" / "tool").write_bytes(b"123")
    (root / "deep" / "tool").chmod(0o700)
    (root / "closed").mkdir()
    (root / "closed" / "private").write_bytes(b"1")
    (root / "closed" / "private").chmod(0o600)
    (root / "closed").chmod(0o000)
    (root / "link").symlink_to("deep/tool")
    (root / "dangling").symlink_to("nowhere")


def modes(root: Path) -> dict[str, str]:
    return {
        str(path.relative_to(root)): f"{path.lstat().st_mode & 0o7777:o}"
        for path in sorted(root.rglob("*"))
        if not path.is_symlink()
    }


@pytest.mark.parametrize("umask", [0o000, 0o022, 0o077])
def test_a_frozen_tree_is_read_only_with_the_same_modes_under_any_umask(tmp_path: Path, umask: int) -> None:
    root = tmp_path / "root"
    before = os.umask(umask)
    try:
        build_tree(root)
        freeze_tree(root)
    finally:
        os.umask(before)
    assert modes(root) == {
        "closed": "555",
        "closed/private": "444",
        "deep": "555",
        "deep/er": "555",
        "deep/er/file": "444",
        "deep/tool": "555",
    }
    assert f"{root.stat().st_mode & 0o7777:o}" == "755"


def test_freezing_does_not_follow_links(tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "file").touch(0o644)
    (tmp_path / "root").mkdir()
    (tmp_path / "root" / "link").symlink_to(outside)
    (tmp_path / "root" / "to_file").symlink_to(outside / "file")
    freeze_tree(tmp_path / "root")
    assert f"{(outside / 'file').stat().st_mode & 0o777:o}" == "644"


def test_a_frozen_tree_can_be_moved_and_removed(tmp_path: Path) -> None:
    root = tmp_path / "a" / "root"
    build_tree(root)
    freeze_tree(root)
    root.chmod(0o555)
    (tmp_path / "b").mkdir()
    move(root, tmp_path / "b" / "moved")
    assert not root.exists()
    assert (tmp_path / "b" / "moved" / "deep" / "tool").read_bytes() == b"123"
    remove_tree(tmp_path / "b" / "moved")
    assert list((tmp_path / "b").iterdir()) == []


def test_removing_a_tree_leaves_what_its_links_lead_to(tmp_path: Path) -> None:
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside" / "file").touch()
    (tmp_path / "root").mkdir()
    (tmp_path / "root" / "link").symlink_to(tmp_path / "outside")
    (tmp_path / "top_link").symlink_to(tmp_path / "outside")
    remove_tree(tmp_path / "root")
    remove_tree(tmp_path / "top_link")
    remove_tree(tmp_path / "never_there")
    assert [path.name for path in tmp_path.iterdir()] == ["outside"]
    assert (tmp_path / "outside" / "file").exists()


def test_a_tree_weighs_what_its_files_hold(tmp_path: Path) -> None:
    build_tree(tmp_path / "root")
    freeze_tree(tmp_path / "root")  # opens the closed folder
    assert tree_size_bytes(tmp_path / "root") == 9
    assert tree_size_bytes(tmp_path / "root" / "deep" / "tool") == 3
    assert tree_size_bytes(tmp_path / "missing") == 0


def test_a_copy_has_links_as_they_are_and_can_be_written(tmp_path: Path) -> None:
    build_tree(tmp_path / "root")
    freeze_tree(tmp_path / "root")
    copy_writable(tmp_path / "root", tmp_path / "deep" / "copy")
    assert hash_tree(tmp_path / "deep" / "copy", Sha256) == hash_tree(tmp_path / "root", Sha256)
    for path in (tmp_path / "deep" / "copy").rglob("*"):
        assert path.is_symlink() or path.stat().st_mode & 0o200


def test_copying_ends_at_the_first_error_with_its_number(tmp_path: Path) -> None:
    def fill_up(_: str, target: Path) -> None:
        raise OSError(errno.ENOSPC, "No space left on device", str(target))

    build_tree(tmp_path / "root")
    freeze_tree(tmp_path / "root")
    with pytest.raises(OSError, match="No space") as caught:
        copy_tree(tmp_path / "root", tmp_path / "copy", fill_up)
    assert caught.value.errno == errno.ENOSPC


def test_syncing_covers_every_file_and_folder_once_and_no_pipe(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = tmp_path / "root"
    build_tree(root)
    freeze_tree(root)
    os.mkfifo(root / "pipe")  # to open it would wait for ever
    synced: list[Path] = []
    monkeypatch.setattr("recipes.core.filesystem.sync", synced.append)
    sync_tree(root)
    files_and_folders = [path for path in root.rglob("*") if path.name not in {"link", "dangling", "pipe"}]
    assert sorted(synced) == sorted([root, *files_and_folders])


def test_a_failure_to_sync_is_not_swallowed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(_: Path) -> None:
        raise refusal(errno.EIO)

    monkeypatch.setattr("recipes.core.filesystem.sync", refuse)
    with pytest.raises(OSError, match="Input/output"):
        sync_tree(tmp_path)


def test_a_file_is_written_whole(tmp_path: Path) -> None:
    write_durably(tmp_path / "file", b"data")
    write_durably(tmp_path / "file", b"x")
    assert (tmp_path / "file").read_bytes() == b"x"
