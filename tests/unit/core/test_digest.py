from __future__ import annotations

import hashlib
import os
from typing import TYPE_CHECKING

import pytest

from recipes.core.digest import (
    CHUNK_BYTES,
    Digest,
    Sha1,
    Sha256,
    TreeEntry,
    blob_entries,
    hash_file,
    hash_tree,
    tree_of_entries,
)

if TYPE_CHECKING:
    from pathlib import Path

# `git hash-object -t tree /dev/null` in either object format
EMPTY_TREE_SHA1 = "4b825dc642cb6eb9a060e54bf8d69288fbee4904"
EMPTY_TREE_SHA256 = "6ef19b41225c5369f1c104d45d8d85efa9b057b53b14b4b9b939dd74decc5321"


@pytest.mark.parametrize(
    ("kind", "text", "message"),
    [
        (Sha256, "a" * 63, "64 digits, this has 63"),
        (Sha256, "a" * 65, "64 digits, this has 65"),
        (Sha256, "", "64 digits, this has 0"),
        (Sha1, "a" * 64, "40 digits, this has 64"),
        (Sha1, "A" * 40, "this has 'A'"),
        (Sha1, "a" * 39 + "g", "this has 'g'"),
        (Sha1, "a" * 39 + "\n", "this has '\\n'"),
        (Sha1, "a" * 39 + "\u0661", "this has '\u0661'"),
    ],
)
def test_a_malformed_digest_is_refused_by_name(kind: type[Digest], text: str, message: str) -> None:
    with pytest.raises(ValueError, match="digest") as caught:
        kind(text)
    assert message in str(caught.value)


def test_digests_of_one_text_in_two_algorithms_are_different_values() -> None:
    assert str(Sha1.of_bytes(b"x")) == "sha1:11f6ad8ec52a2984abaafd7c3b516503785c2072"
    assert str(Sha256.of_bytes(b"x")) == f"sha256:{hashlib.sha256(b'x').hexdigest()}"
    assert Sha1("0" * 40) == Sha1("0" * 40)
    assert Sha256("0" * 64) < Sha256("1" + "0" * 63)
    assert len({Sha1("0" * 40), Sha1("0" * 40)}) == 1


@pytest.mark.parametrize("size_bytes", [0, 1, CHUNK_BYTES - 1, CHUNK_BYTES, CHUNK_BYTES + 1, 3 * CHUNK_BYTES])
def test_a_file_is_hashed_to_its_last_byte(tmp_path: Path, size_bytes: int) -> None:
    data = os.urandom(size_bytes)
    path = tmp_path / "file"
    path.write_bytes(data)
    assert hash_file(path) == Sha256(hashlib.sha256(data).hexdigest())


def test_an_empty_folder_is_the_empty_tree_of_git(tmp_path: Path) -> None:
    (tmp_path / "a" / "b").mkdir(parents=True)  # to git an empty folder is nothing
    assert hash_tree(tmp_path, Sha1) == Sha1(EMPTY_TREE_SHA1)
    assert hash_tree(tmp_path, Sha256) == Sha256(EMPTY_TREE_SHA256)


def test_a_tree_of_one_file_has_the_id_that_git_writes(tmp_path: Path) -> None:
    # printf 'hello\n' > greeting; git add greeting; git write-tree
    (tmp_path / "greeting").write_bytes(b"hello\n")
    assert blob_entries(tmp_path, Sha1) == {
        "greeting": TreeEntry("100644", "ce013625030ba8dba906f756967f9e9ca394464a")
    }
    assert hash_tree(tmp_path, Sha1).hex == "9fbac661424a5e1e7fb9c1a6a516b58fc701f2f0"


def test_only_the_owners_execute_bit_counts(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.touch()
    modes = {}
    for bits in (0o600, 0o644, 0o666, 0o611, 0o700, 0o755, 0o4755):
        path.chmod(bits)
        modes[bits] = blob_entries(tmp_path, Sha1)["file"].mode
    assert modes == {
        0o600: "100644",
        0o644: "100644",
        0o666: "100644",
        0o611: "100644",
        0o700: "100755",
        0o755: "100755",
        0o4755: "100755",
    }


def test_a_link_is_hashed_by_where_it_leads_not_by_what_is_there(tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "file").write_bytes(b"target")
    root = tmp_path / "root"
    root.mkdir()
    (root / "to_folder").symlink_to(outside)
    (root / "to_nothing").symlink_to("nowhere")
    before = blob_entries(root, Sha1)
    assert {name: entry.mode for name, entry in before.items()} == {
        "to_folder": "120000",
        "to_nothing": "120000",
    }
    assert before["to_nothing"].digest_hex == Sha1.of_bytes(b"blob 7\0nowhere").hex
    (outside / "file").write_bytes(b"changed")
    assert blob_entries(root, Sha1) == before


@pytest.mark.parametrize("target", ["./file", "folder/", "a//b", "..", "."])
def test_a_links_target_is_hashed_as_it_is_written(tmp_path: Path, target: str) -> None:
    (tmp_path / "link").symlink_to(target)
    expected = Sha1.of_bytes(b"blob %d\0" % len(target) + target.encode())
    assert blob_entries(tmp_path, Sha1) == {"link": TreeEntry("120000", expected.hex)}


def test_a_folder_sorts_as_if_its_name_ended_with_a_slash() -> None:
    # "a.b" < "a/" < "a0": sorting plain names would put "a" first
    blob = TreeEntry("100644", "0" * 40)
    digest = tree_of_entries({"a/x": blob, "a.b": blob, "a0": blob}, Sha1)
    inner = Sha1.of_bytes(b"tree 29\0" + b"100644 x\0" + bytes(20)).hex
    body = b"100644 a.b\0" + bytes(20) + b"40000 a\0" + bytes.fromhex(inner) + b"100644 a0\0" + bytes(20)
    assert digest == Sha1.of_bytes(b"tree %d\0" % len(body) + body)


def test_a_pipe_is_refused_by_name_and_not_read(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    os.mkfifo(tmp_path / "folder" / "pipe")
    with pytest.raises(ValueError, match="folder/pipe is neither"):
        hash_tree(tmp_path, Sha256)


def test_a_deep_tree_is_hashed(tmp_path: Path) -> None:
    folder = tmp_path.joinpath(*["d"] * 200)
    folder.mkdir(parents=True)
    (folder / "leaf").write_bytes(b"")
    entries = blob_entries(tmp_path, Sha1)
    assert list(entries) == ["d/" * 200 + "leaf"]
    assert hash_tree(tmp_path, Sha1) == tree_of_entries(entries, Sha1)
