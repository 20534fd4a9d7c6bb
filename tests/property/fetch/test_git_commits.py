from __future__ import annotations

import tempfile
import zlib
from functools import cache
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from recipes.core.digest import Sha1
from recipes.fetch.archives.git_commits import read_commits
from recipes.fetch.archives.members import Refused
from tests.support.git_objects import make_repository, repack, seal, write_objects
from tests.support.git_server import git

pytestmark = pytest.mark.slow  # many examples, each with real files


@cache
def pack_of_git(by_offset: str) -> tuple[bytes, dict[str, str]]:
    """Return a pack with commits that are deltas, and the tree of each commit, by git's own word."""
    with tempfile.TemporaryDirectory() as folder:
        repository = Path(folder, "git")
        make_repository(Path(folder), *({"a": f"{number}\n"} for number in range(6)), message="words " * 60)
        pack = repack(repository, "-c", f"repack.useDeltaBaseOffset={by_offset}").read_bytes()
        lines = git("log", "--all", "--format=%H %T", cwd=repository).splitlines()
        return pack, dict(line.split() for line in lines)


@given(
    st.sampled_from(["true", "false"]),
    st.lists(st.tuples(st.integers(0, 1 << 16), st.binary(min_size=1, max_size=4)), min_size=1, max_size=4),
    st.integers(0, 40),
)
def test_a_spoiled_pack_is_refused_or_gives_what_its_bytes_are(
    by_offset: str, changes: list[tuple[int, bytes]], cut_bytes: int
) -> None:
    whole, trees = pack_of_git(by_offset)
    body = bytearray(whole[:-20])
    for at, data in changes:
        start = 4 + at % (len(body) - 8)
        body[start : start + len(data)] = data
    found = {}
    with tempfile.TemporaryDirectory() as folder:
        objects = write_objects(Path(folder), seal(bytes(body[: len(body) - cut_bytes])))
        try:
            for commit in read_commits(objects):
                found[commit.id.hex] = commit.tree.hex
        except (Refused, zlib.error, IndexError):
            pass
        else:
            assert bytes(body) == whole[:-20] or set(found) <= set(trees)
    assert all(trees.get(commit, tree) == tree for commit, tree in found.items())


@given(st.binary(max_size=300))
def test_no_bytes_are_read_as_a_pack_with_another_fault(data: bytes) -> None:
    with tempfile.TemporaryDirectory() as folder:
        header = b"PACK\0\0\0\2" + (3).to_bytes(4, "big")
        objects = write_objects(Path(folder), seal(header + data), **{f"_{'a' * 40}": zlib.compress(data)})
        try:
            found = list(read_commits(objects))
        except (Refused, zlib.error, IndexError):
            return
        assert all(isinstance(commit.id, Sha1) for commit in found)
