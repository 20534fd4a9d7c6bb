from __future__ import annotations

import os
import stat
import tempfile
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from recipes.core.digest import Sha256, blob_entries, hash_tree
from recipes.core.errors import StoreError
from recipes.core.filesystem import shown
from recipes.store.store import Store
from tests.support.file_trees import NAMES, plant, trees

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

pytestmark = pytest.mark.slow  # many examples, each with real files, programs or servers

TEXT = st.text(st.characters(codec="utf-8"), max_size=20)
INPUTS = st.dictionaries(TEXT, TEXT, max_size=4)


@contextmanager
def new_store() -> Iterator[Store]:
    memory = "/dev/shm"
    with tempfile.TemporaryDirectory(dir=memory if os.access(memory, os.W_OK) else None) as folder:
        yield Store.open(Path(folder) / "store")


def content(root: Path) -> dict[str, object]:
    """What a tree holds: of each file its bytes and whether it runs, of each link where it leads."""
    found: dict[str, object] = {}
    with os.scandir(root) as listing:
        for item in listing:
            path = Path(item.path)
            if item.is_symlink():
                found[item.name] = os.readlink(path)  # noqa: PTH115 - Path.readlink would drop a last slash
            elif item.is_dir():
                found[item.name] = content(path)
            else:
                found[item.name] = (path.read_bytes(), bool(path.stat().st_mode & stat.S_IXUSR))
    return found


@settings(max_examples=40)
@given(tree=trees(), inputs=INPUTS)
def test_what_is_staged_comes_back_the_same_and_read_only(
    tree: dict[str, object], inputs: dict[str, str]
) -> None:
    with new_store() as store:
        plain = store.root / "plain"
        plain.mkdir()
        plant(plain, tree)
        with store.stage("key", "kind", inputs) as staging:
            plant(staging.path, tree)
        entry = store.find("key")
        assert entry == staging.entry
        assert list(entry.inputs.items()) == list(inputs.items())
        assert entry.tree == hash_tree(plain, Sha256)
        assert content(entry.path) == content(plain)
        store.verify(entry)
        for folder, names, files in os.walk(entry.path):
            for path in (Path(folder, name) for name in (".", *names, *files)):
                assert path.is_symlink() or not path.stat().st_mode & 0o222


def flip_byte(path: Path, place: int) -> str:
    data = bytearray(path.read_bytes())
    assume(data)
    data[place % len(data)] ^= 1
    path.write_bytes(data)
    return "changed"


def append(path: Path, _: int) -> str:
    with path.open("ab") as file:
        file.write(b"\0")
    return "changed"


def turn_execute_bit(path: Path, _: int) -> str:
    runs = path.stat().st_mode & stat.S_IXUSR
    path.chmod(0o644 if runs else 0o755)
    return "no longer executable" if runs else "executable now"


def remove(path: Path, _: int) -> str:
    path.unlink()
    return "missing"


def become_a_link(path: Path, _: int) -> str:
    path.unlink()
    path.symlink_to("elsewhere")
    return "a link now"


@settings(max_examples=60)
@given(
    tree=trees(),
    which=st.integers(min_value=0),
    place=st.integers(min_value=0),
    change=st.sampled_from([flip_byte, append, turn_execute_bit, remove, become_a_link]),
)
def test_any_change_of_any_file_is_found_and_named(
    tree: dict[str, object], which: int, place: int, change: Callable[[Path, int], str]
) -> None:
    with new_store() as store:
        with store.stage("key", "kind", {}) as staging:
            plant(staging.path, tree)
        entry = staging.entry
        files = sorted(
            name for name, blob in blob_entries(entry.path, Sha256).items() if blob.mode != "120000"
        )
        assume(files)
        name = files[which % len(files)]
        (entry.path / name).chmod((entry.path / name).stat().st_mode | 0o200)
        folder = (entry.path / name).parent
        folder.chmod(0o755)
        verb = change(entry.path / name, place)
        with pytest.raises(StoreError) as caught:
            store.verify(entry)
        first, *lines = caught.value.found.split("\n")
        assert first == str(hash_tree(entry.path, Sha256))
        assert caught.value.expected == str(entry.tree)
        assert lines == [f"{verb}: {shown(name)}"]


@settings(max_examples=40)
@given(tree=trees(), name=NAMES)
def test_any_added_file_is_found_and_named(tree: dict[str, object], name: str) -> None:
    assume(name not in tree)
    with new_store() as store:
        with store.stage("key", "kind", {}) as staging:
            plant(staging.path, tree)
        staging.entry.path.chmod(0o755)
        (staging.entry.path / name).touch()
        with pytest.raises(StoreError) as caught:
            store.verify(staging.entry)
        assert caught.value.found.split("\n")[1:] == [f"extra: {shown(name)}"]


@settings(max_examples=30)
@given(data=st.binary(max_size=4096), place=st.integers(min_value=0))
def test_a_file_is_given_exactly_while_its_bytes_are_the_adopted_ones(data: bytes, place: int) -> None:
    sha = Sha256.of_bytes(data)
    with new_store() as store:
        store.partial_path(sha).write_bytes(data)
        path = store.adopt_blob(store.partial_path(sha), sha)
        assert store.verified_blob(sha, len(data)) == path
        assume(data)
        changed = bytearray(data)
        changed[place % len(data)] ^= 0x80
        path.chmod(0o644)
        path.write_bytes(changed)
        with pytest.raises(StoreError):
            store.verified_blob(sha, len(data))
        with pytest.raises(StoreError):
            store.verified_blob(sha)
