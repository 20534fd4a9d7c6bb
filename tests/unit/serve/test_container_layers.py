"""Layers: their bytes follow from names, contents and one time."""

from __future__ import annotations

import os
import tarfile
from typing import TYPE_CHECKING

import pytest

from recipes.serve.container.layers import Member, members_of, write_layer

if TYPE_CHECKING:
    from pathlib import Path

LONG = "opt/" + "/".join("abcdefghij" * 3 for _ in range(6))
MEMBERS = (
    Member("usr/bin/b", b"program", is_program=True),
    Member("usr/a", b"data"),
    Member("tmp", is_shared=True),
    Member("usr/bin-c", b"\xff" * 1000),
    Member("run/secrets"),
    Member(LONG, b"of a long name"),
)


def test_a_layer_is_the_same_in_any_order_and_for_any_user(tmp_path: Path) -> None:
    first = write_layer(tmp_path / "a", MEMBERS, 7)
    before = os.umask(0o077)
    try:
        second = write_layer(tmp_path / "b", MEMBERS[::-1], 7)
    finally:
        os.umask(before)
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()
    assert (first.sha256, first.size_bytes) == (second.sha256, (tmp_path / "b").stat().st_size)
    assert write_layer(tmp_path / "c", MEMBERS, 8).sha256 != first.sha256


def test_a_layer_has_each_file_once_of_root_and_folders_before_what_is_in_them(tmp_path: Path) -> None:
    write_layer(tmp_path / "a", MEMBERS, 7)
    with tarfile.open(tmp_path / "a") as tar:
        entries = tar.getmembers()
    names = [entry.name for entry in entries]
    assert len(set(names)) == len(names)
    for place, name in enumerate(names):
        assert "/" not in name or name.rpartition("/")[0] in names[:place]
    assert {(entry.uid, entry.gid, entry.uname, entry.gname, entry.mtime) for entry in entries} == {
        (0, 0, "", "", 7)
    }
    modes = {entry.name: entry.mode for entry in entries}
    assert [modes[name] for name in ("usr/bin/b", "usr/a", "tmp", "usr", "run/secrets")] == [
        *(0o755, 0o644, 0o1777, 0o755, 0o755)
    ]
    assert LONG in names


def test_the_members_of_a_folder_are_its_files_and_those_that_run_are_programs(tmp_path: Path) -> None:
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "a").write_bytes(b"a")
    (tmp_path / "bin" / "a").chmod(0o700)
    (tmp_path / "b").write_bytes(b"b")
    (tmp_path / "b").chmod(0o600)
    found = {each.name: each.is_program for each in members_of(tmp_path, "opt")}
    assert found == {"opt/bin/a": True, "opt/b": False}


@pytest.mark.parametrize("size_bytes", [0, 1, 511, 512, 513])
def test_a_file_of_any_size_comes_out_as_it_went_in(tmp_path: Path, size_bytes: int) -> None:
    (tmp_path / "in").write_bytes(b"x" * size_bytes)
    write_layer(tmp_path / "a", [Member("x", tmp_path / "in")], 0)
    with tarfile.open(tmp_path / "a") as tar:
        content = tar.extractfile("x")
        assert content is not None
        assert content.read() == b"x" * size_bytes
