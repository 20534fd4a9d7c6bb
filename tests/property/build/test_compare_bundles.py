from __future__ import annotations

import tempfile
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from recipes.build.bundle.compare import compare
from recipes.core.digest import Sha256, hash_tree
from tests.support.elf_files import ElfSpec, Symbol, elf_bytes

ELF = elf_bytes(ElfSpec(machine="x86_64", soname="libx.so.0", symbols=(Symbol("shown"),)))
CONTENTS = st.binary(min_size=1, max_size=400) | st.just(ELF)
NAMES = st.from_regex(r"[a-z]{1,3}(/[A-Z]{1,3})?", fullmatch=True)
TREES = st.dictionaries(NAMES, CONTENTS, min_size=1, max_size=5).filter(
    lambda tree: not any(f"{name}/" in other for name in tree for other in tree)
)


def write(root: Path, tree: dict[str, bytes]) -> Path:
    for name, content in tree.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    return root


@settings(max_examples=100)
@given(TREES, st.data())
def test_any_one_changed_byte_is_found_in_its_file_at_its_offset(
    tree: dict[str, bytes], data: st.DataObject
) -> None:
    name = data.draw(st.sampled_from(sorted(tree)))
    offset = data.draw(st.integers(0, len(tree[name]) - 1))
    changed = bytearray(tree[name])
    changed[offset] ^= data.draw(st.integers(1, 255))
    with tempfile.TemporaryDirectory() as folder:
        left = write(Path(folder) / "left", tree)
        right = write(Path(folder) / "right", tree | {name: bytes(changed)})
        (difference,) = compare(left, right)
        assert (difference.name, difference.offset) == (name, offset)
        assert str(difference).startswith(f"{name}: ")


@settings(max_examples=40)
@given(TREES, TREES)
def test_two_trees_differ_exactly_where_their_digests_do(
    one: dict[str, bytes], other: dict[str, bytes]
) -> None:
    with tempfile.TemporaryDirectory() as folder:
        left, right = write(Path(folder) / "left", one), write(Path(folder) / "right", other)
        named = {difference.name for difference in compare(left, right)}
        assert named == {name for name in one.keys() | other.keys() if one.get(name) != other.get(name)}
        assert bool(named) == (hash_tree(left, Sha256) != hash_tree(right, Sha256))
