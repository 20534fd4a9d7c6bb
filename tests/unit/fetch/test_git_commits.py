"""Commits are read from loose objects and packs alone, and each is named by the hash of its own bytes."""

from __future__ import annotations

import shutil
import zlib
from typing import TYPE_CHECKING

import pytest

from recipes.core.digest import Sha1
from recipes.fetch.archives import git_commits
from recipes.fetch.archives.git_commits import Commit, read_commits
from recipes.fetch.archives.members import Refused
from tests.support.git_objects import (
    BLOB,
    COMMIT,
    OFS_DELTA,
    REF_DELTA,
    commit_bytes,
    make_pack,
    make_repository,
    object_id,
    repack,
    seal,
    write_objects,
)
from tests.support.git_server import git

if TYPE_CHECKING:
    from pathlib import Path

TREE, OTHER = "1" * 40, "2" * 40
VERSIONS = [{"a.c": f"int a = {number};\n", "b/c.h": "#pragma once\n"} for number in range(12)]


def as_git_says(git_directory: Path) -> set[Commit]:
    lines = git("log", "--all", "--format=%H %T %ct", cwd=git_directory).splitlines()
    return {Commit(Sha1(c), Sha1(t), int(time)) for c, t, time in (line.split() for line in lines)}


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """A repository of twelve commits with long messages alike, so that git stores some as deltas of others."""
    make_repository(tmp_path, *VERSIONS, message="the same long message of many words " * 20)
    return tmp_path / "git"


def ids(objects: Path) -> list[str]:
    return [commit.id.hex for commit in read_commits(objects)]


@pytest.mark.slow  # it starts git
def test_loose_objects_give_the_commits_that_git_lists(repository: Path) -> None:
    found = list(read_commits(repository / "objects"))
    assert len(found) == 12
    assert set(found) == as_git_says(repository)


@pytest.mark.slow  # it starts git
@pytest.mark.parametrize("by_offset", ["true", "false"])
def test_a_pack_gives_the_commits_that_git_lists_also_those_that_are_deltas(
    repository: Path, by_offset: str
) -> None:
    pack = repack(repository, "-c", f"repack.useDeltaBaseOffset={by_offset}")
    listed = git("verify-pack", "-v", str(pack.with_suffix(".idx")), cwd=repository).splitlines()
    # id, type, two sizes, offset; of a delta its depth and its base as well
    assert [line for line in listed if " commit " in line and len(line.split()) == 7]
    assert not list(repository.glob("objects/??/*"))
    found = list(read_commits(repository / "objects"))
    assert len(found) == 12
    assert set(found) == as_git_says(repository)


@pytest.mark.slow  # it starts git
def test_neither_indexes_nor_names_of_files_are_believed(repository: Path) -> None:
    expected = as_git_says(repository)
    pack = repack(repository)
    for name in (".idx", ".rev"):
        pack.with_suffix(name).unlink(missing_ok=True)
    pack.with_suffix(".idx").write_bytes(b"\xfftOc" + b"\xee" * 2000)
    pack.rename(pack.with_name("pack-no-digits.pack"))
    assert set(read_commits(repository / "objects")) == expected


def test_a_loose_object_under_the_id_of_another_is_what_its_bytes_are(tmp_path: Path) -> None:
    body = commit_bytes(TREE)
    loose = zlib.compress(b"commit %d\0" % len(body) + body)
    assert ids(write_objects(tmp_path, **{f"_{'0' * 40}": loose})) == [object_id("commit", body)]


@pytest.mark.slow  # it starts git
def test_what_else_lies_in_the_folder_is_not_read(tmp_path: Path, repository: Path) -> None:
    objects = tmp_path / "objects"
    write_objects(objects, make_pack((BLOB, b"", b"x")))
    (objects / "info").mkdir()
    (objects / "info/alternates").write_text(f"{repository / 'objects'}\n")
    (objects / "info/http-alternates").write_text("http://127.0.0.1:9/\n")
    (objects / "pack/linked.pack").symlink_to(repack(repository))
    (objects / "aa").mkdir()
    (objects / "aa" / ("b" * 38)).symlink_to(repository / "HEAD")
    (objects / "aa/readme").write_text("no object")
    assert ids(objects) == []


def test_no_objects_are_no_commits(tmp_path: Path) -> None:
    assert ids(tmp_path) == []


def test_a_commit_that_was_found_holds_whatever_follows_it(tmp_path: Path) -> None:
    body = commit_bytes(TREE)
    loose = zlib.compress(b"commit %d\0" % len(body) + body)
    objects = write_objects(tmp_path, b"no pack", **{f"_{object_id('commit', body)}": loose})
    assert next(read_commits(objects)).id.hex == object_id("commit", body)
    with pytest.raises(Refused):
        ids(objects)


def delta(source: bytes, target: bytes) -> bytes:
    """Copy what both have in common at the start, and insert the rest."""
    same = next((at for at, (a, b) in enumerate(zip(source, target, strict=False)) if a != b), 0)
    rest = target[same:]
    assert same < 128 > len(rest)
    assert len(source) < 128 > len(target)
    return bytes([len(source), len(target), 0x90, same, len(rest)]) + rest


ONE, TWO, THREE = (commit_bytes(tree)[:120] for tree in (TREE, OTHER, "3" * 40))


def test_a_base_may_stand_behind_its_deltas(tmp_path: Path) -> None:
    first, second, third = (object_id("commit", body) for body in (ONE, TWO, THREE))
    pack = make_pack(
        (REF_DELTA, bytes.fromhex(second), delta(TWO, THREE)),
        (REF_DELTA, bytes.fromhex(first), delta(ONE, TWO)),
        (COMMIT, b"", ONE),
    )
    assert ids(write_objects(tmp_path, pack)) == [first, second, third]


def test_a_delta_of_what_is_no_commit_or_not_there_is_none(tmp_path: Path) -> None:
    pack = make_pack(
        (BLOB, b"", ONE),
        (REF_DELTA, bytes.fromhex(object_id("blob", ONE)), delta(ONE, TWO)),
        (REF_DELTA, bytes.fromhex(OTHER), delta(ONE, TWO)),
    )
    assert ids(write_objects(tmp_path, pack)) == []


MIB = 1 << 20
LOOSE = f"_{'a' * 40}"


def loose_object(kind: bytes, body: bytes, said: int | None = None) -> bytes:
    return zlib.compress(kind + b" %d\0" % (len(body) if said is None else said) + body)


BAD_PACKS = {
    "no pack": (b"this is no pack at all, but a text of more than 32 bytes", "a pack of git"),
    "empty": (b"", "an empty file"),
    "cut off": (make_pack((COMMIT, b"", ONE))[:-30], "SHA-1"),
    "version 9": (seal(make_pack()[:-20].replace(b"\0\0\0\2", b"\0\0\0\x09")), "version 9"),
    "more objects than it has": (make_pack((COMMIT, b"", ONE), count=2), ""),
    "fewer objects than it has": (make_pack((COMMIT, b"", ONE), count=0), "0 objects"),
    "four thousand million objects": (make_pack(count=(1 << 32) - 1), "1000000 objects"),
    "an object larger than all bounds": (make_pack((BLOB, b"", b"x"), size_bytes=1 << 40), "bytes inflated"),
    "an object with an endless size": (make_pack((BLOB, b"\xff" * 20, b"x")), ""),
    "an object larger than it says": (make_pack((BLOB, b"", bytes(64 * MIB)), size_bytes=10), "10 bytes"),
    "an object smaller than it says": (make_pack((BLOB, b"", b"x"), size_bytes=10), "10 bytes"),
    "a commit that is huge": (make_pack((COMMIT, b"", commit_bytes(TREE, "m" * MIB))), f"{MIB} bytes"),
    "a commit without a tree": (make_pack((COMMIT, b"", b"parent of none\n")), "its tree"),
    "an unknown type": (make_pack((5, b"", b"x")), "type 5"),
    "a base before the pack": (make_pack((COMMIT, b"", ONE), (OFS_DELTA, b"\x81\x7f", b"x")), "type 6"),
    "a delta from itself": (make_pack((OFS_DELTA, b"\0", b"x")), "type 6"),
    "a delta that makes too much": (
        make_pack(
            (COMMIT, b"", ONE),
            (
                REF_DELTA,
                bytes.fromhex(object_id("commit", ONE)),
                bytes([120, 0xFF, 0xFF, 0xFF, 1]) + b"\x90\x78",
            ),
        ),
        f"{MIB} bytes",
    ),
    "a delta from another base": (
        make_pack(
            (COMMIT, b"", ONE),
            (REF_DELTA, bytes.fromhex(object_id("commit", ONE)), b"\x01" + delta(ONE, TWO)[1:]),
        ),
        "a delta from 1 bytes",
    ),
    "a delta with less than it says": (
        make_pack(
            (COMMIT, b"", ONE),
            (REF_DELTA, bytes.fromhex(object_id("commit", ONE)), delta(ONE, TWO)[:-1]),
        ),
        "a delta from",
    ),
}


@pytest.mark.parametrize("name", BAD_PACKS)
def test_a_pack_that_git_would_not_have_written_is_refused(tmp_path: Path, name: str) -> None:
    pack, told = BAD_PACKS[name]
    with pytest.raises((Refused, zlib.error, IndexError)) as caught:
        ids(write_objects(tmp_path, pack))
    if told:
        assert isinstance(caught.value, Refused)
        assert caught.value.name == f"pack/pack-{0:040}.pack"
        assert told in f"{caught.value.expected} {caught.value.found}"


@pytest.mark.parametrize(
    "data",
    [
        loose_object(b"commit", commit_bytes(TREE), said=5),
        loose_object(b"commit", commit_bytes(TREE, "m" * MIB)),
        loose_object(b"commit", commit_bytes(TREE, "m" * 64 * MIB)),
        loose_object(b"commit", b"no tree\n"),
        loose_object(b"commit", commit_bytes(TREE))[:-9],
        b"not compressed",
    ],
    ids=["another size", "large", "huge", "without a tree", "cut off", "not compressed"],
)
def test_a_loose_commit_that_git_would_not_have_written_is_refused(tmp_path: Path, data: bytes) -> None:
    with pytest.raises((Refused, zlib.error)):
        ids(write_objects(tmp_path, **{LOOSE: data}))


def test_a_loose_object_that_is_no_commit_is_not_inflated(tmp_path: Path) -> None:
    compressor = zlib.compressobj()
    sound = compressor.compress(b"blob 9\0" + bytes(MIB)) + compressor.flush(zlib.Z_FULL_FLUSH)
    broken = sound + b"\xff" * 50  # a block of no known type: who inflates that far fails
    assert ids(write_objects(tmp_path, **{LOOSE: broken})) == []


@pytest.mark.slow  # it starts git
@pytest.mark.parametrize(
    ("bound", "counter"),
    [
        ("MAX_OBJECTS", "_objects"),
        ("MAX_TOTAL_BYTES", "_inflated_bytes"),
        ("MAX_COMMITS_BYTES", "_commit_bytes"),
    ],
)
def test_the_bounds_hold_for_all_packs_together(
    tmp_path: Path, repository: Path, monkeypatch: pytest.MonkeyPatch, bound: str, counter: str
) -> None:
    objects, pack = write_objects(tmp_path / "two"), repack(repository)
    shutil.copy(pack, objects / "pack/one.pack")
    reader = git_commits._Reader()
    assert len(list(reader.read_pack(pack, ""))) == 12
    monkeypatch.setattr(git_commits, bound, getattr(reader, counter) + 1)
    assert len(ids(objects)) == 12
    shutil.copy(pack, objects / "pack/two.pack")
    with pytest.raises(Refused) as caught:
        ids(objects)
    assert caught.value.name == "pack/two.pack"


def test_a_time_that_is_no_time_is_left_out(tmp_path: Path) -> None:
    body = commit_bytes(TREE).replace(b"1700000000", b"9" * 30)
    late = body + b"\ncommitter a <a@example.org> 5 +0000\n"  # in the message, where anybody may write it
    (commit,) = read_commits(write_objects(tmp_path, make_pack((COMMIT, b"", late))))
    assert commit.time_s is None
