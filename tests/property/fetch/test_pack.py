from __future__ import annotations

import os
import tarfile
import tempfile
from dataclasses import dataclass
from pathlib import Path

import zstandard
from hypothesis import given, settings
from hypothesis import strategies as st

from recipes.core.digest import Sha256, hash_tree
from recipes.fetch.archives.pack import pack

LEAVES = st.text(
    st.characters(exclude_characters="/\0", exclude_categories=["Cs"]), min_size=1, max_size=20
).filter(lambda name: name not in {".", ".."} and len(name.encode()) < 200)
# Folders and files have names that cannot meet.
PATHS = st.builds(
    lambda folders, leaf: "/".join([*(f"d{folder}" for folder in folders), f"f{leaf}"]),
    st.lists(LEAVES, max_size=3),
    LEAVES,
)
TREES = st.dictionaries(PATHS, st.tuples(st.binary(max_size=300), st.booleans()), max_size=8)
Tree = dict[str, tuple[bytes, bool]]


@dataclass(frozen=True)
class Circumstances:
    """What a tree must not remember of how it was written."""

    umask: int = 0o022
    clock_s: int = 0
    other_bits: int = 0
    owner: int | None = None


def write(root: Path, tree: Tree, order: list[str], circumstances: Circumstances) -> None:
    before = os.umask(circumstances.umask)
    try:
        for step, name in enumerate(order):
            content, is_program = tree[name]
            path = root / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
            path.chmod((0o700 if is_program else 0o600) | circumstances.other_bits)
            os.utime(path, (0, circumstances.clock_s + step))
            if circumstances.owner is not None:
                os.chown(path, circumstances.owner, circumstances.owner)
    finally:
        os.umask(before)


CIRCUMSTANCES = st.builds(
    Circumstances,
    umask=st.sampled_from([0o000, 0o022, 0o077]),
    clock_s=st.integers(0, 2**33),
    other_bits=st.sampled_from([0, 0o044, 0o055, 0o066, 0o011]),
    owner=st.integers(0, 60000) if os.geteuid() == 0 else st.none(),  # only root gives files away
)


@settings(max_examples=20)
@given(TREES, st.data())
def test_an_archive_depends_on_the_tree_and_on_nothing_else(tree: Tree, data: st.DataObject) -> None:
    with tempfile.TemporaryDirectory() as folder:
        archives = []
        for side in ("one", "other"):
            root = Path(folder) / side
            (root / data.draw(st.sampled_from(["empty", "."]))).mkdir(parents=True)
            write(root, tree, data.draw(st.permutations(sorted(tree))), data.draw(CIRCUMSTANCES))
            archive = Path(folder) / f"{side}.tar.zst"
            pack(root, archive, mtime=1)
            (unpacked := Path(folder) / f"{side}-unpacked").mkdir()
            with zstandard.open(archive) as stream, tarfile.open(fileobj=stream, mode="r|") as tar:
                tar.extractall(unpacked, filter="data")
            assert hash_tree(unpacked, Sha256) == hash_tree(root, Sha256)
            archives.append(archive.read_bytes())
        assert archives[0] == archives[1]


@settings(max_examples=20)
@given(TREES, TREES)
def test_trees_that_differ_give_archives_that_differ(one: Tree, other: Tree) -> None:
    with tempfile.TemporaryDirectory() as folder:
        archives = []
        for side, tree in (("one", one), ("other", other)):
            (Path(folder) / side).mkdir()
            write(Path(folder) / side, tree, sorted(tree), Circumstances())
            pack(Path(folder) / side, Path(folder) / f"{side}.zst", mtime=1)
            archives.append((Path(folder) / f"{side}.zst").read_bytes())
        assert (archives[0] == archives[1]) == (one == other)
