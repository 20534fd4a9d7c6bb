from __future__ import annotations

import hashlib
import io
import os
import shutil
import subprocess
import tarfile
from typing import TYPE_CHECKING

import pytest
import zstandard

from recipes.core.digest import Sha256, hash_tree
from recipes.core.errors import BuildError, StoreError
from recipes.fetch.archives.pack import pack

if TYPE_CHECKING:
    from pathlib import Path

EPOCH_S = 1_769_385_600


@pytest.fixture
def root(tmp_path: Path) -> Path:
    folder = tmp_path / "tree"
    (folder / "bin").mkdir(parents=True)
    (folder / "empty").mkdir()
    (folder / "bin" / "b").write_bytes(b"program" * 1000)
    (folder / "bin" / "b").chmod(0o700)
    (folder / "bin-a").write_bytes(b"")
    (folder / "bin" / ("long" * 40)).write_text("long name")
    (folder / "ü").write_text("ü")
    return folder


def read(archive: Path) -> tarfile.TarFile:
    data = zstandard.ZstdDecompressor().stream_reader(archive.read_bytes()).read()
    return tarfile.open(fileobj=io.BytesIO(data))


def test_entries_are_sorted_and_carry_nothing_of_the_machine(tmp_path: Path, root: Path) -> None:
    pack(root, tmp_path / "x.tar.zst", mtime=EPOCH_S, prefix="b1")
    rows = [
        (m.name, m.mode, m.uid, m.gid, m.uname, m.gname, m.mtime, m.type)
        for m in read(tmp_path / "x.tar.zst").getmembers()
    ]
    same = (0, 0, "", "", EPOCH_S, tarfile.REGTYPE)
    assert rows == [
        ("b1/bin-a", 0o644, *same),
        ("b1/bin/b", 0o755, *same),
        (f"b1/bin/{'long' * 40}", 0o644, *same),
        ("b1/ü", 0o644, *same),
    ]


@pytest.mark.skipif(
    shutil.which("zstd") is None, reason="an independent reader of the format, not ours to install"
)
def test_the_zstd_program_reads_the_archive_without_options(tmp_path: Path, root: Path) -> None:
    pack(root, tmp_path / "x.tar.zst", mtime=EPOCH_S)
    subprocess.run(["zstd", "-q", "-t", str(tmp_path / "x.tar.zst")], check=True)


@pytest.mark.parametrize("prefix", ["", "llama.cpp-b1", "a/b"])
def test_the_archive_unpacks_to_the_same_tree_below_its_prefix(
    tmp_path: Path, root: Path, prefix: str
) -> None:
    pack(root, tmp_path / "x.tar.zst", mtime=EPOCH_S, prefix=prefix)
    read(tmp_path / "x.tar.zst").extractall(tmp_path / "out", filter="data")
    assert hash_tree(tmp_path / "out" / prefix, Sha256) == hash_tree(root, Sha256)


def test_an_existing_archive_is_replaced_whole(tmp_path: Path, root: Path) -> None:
    archive = tmp_path / "x.tar.zst"
    archive.write_text("old")
    pack(root, archive, mtime=EPOCH_S)
    assert len(read(archive).getmembers()) == len([path for path in root.rglob("*") if path.is_file()])
    assert sorted(path.name for path in tmp_path.iterdir()) == ["tree", "x.tar.zst"]


def test_a_link_is_not_packed_and_an_old_archive_stays(tmp_path: Path, root: Path) -> None:
    archive = tmp_path / "x.tar.zst"
    archive.write_text("old")
    (root / "z").symlink_to("bin/b")
    with pytest.raises(BuildError) as caught:
        pack(root, archive, mtime=EPOCH_S)
    assert caught.value.found == "z is neither"
    assert archive.read_text() == "old"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["tree", "x.tar.zst"]


def test_an_interrupt_passes_and_leaves_no_half_an_archive(
    tmp_path: Path, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(tarfile.TarFile, "addfile", interrupt)
    with pytest.raises(KeyboardInterrupt):
        pack(root, tmp_path / "x.tar.zst", mtime=EPOCH_S)
    assert [path.name for path in tmp_path.iterdir()] == ["tree"]


def test_one_flipped_bit_is_noticed(tmp_path: Path, root: Path) -> None:
    archive = tmp_path / "x.tar.zst"
    noise = hashlib.shake_256(b"noise").digest(5000)  # packed as it is: only a checksum sees a change
    (root / "noise").write_bytes(noise)
    pack(root, archive, mtime=EPOCH_S)
    data = bytearray(archive.read_bytes())
    data[len(data) // 2] ^= 1
    archive.write_bytes(data)
    with pytest.raises(zstandard.ZstdError):
        read(archive)


def test_an_archive_that_cannot_be_written_is_a_store_error(
    tmp_path: Path, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", refuse)  # where a full disk is often first noticed
    with pytest.raises(StoreError):
        pack(root, tmp_path / "x.tar.zst", mtime=EPOCH_S)
    assert [path.name for path in tmp_path.iterdir()] == ["tree"]
