"""What is unpacked and made of pins is compared with the pins themselves, and not with the store's own record."""

from __future__ import annotations

import base64
import hashlib
import io
import json
import zipfile
from dataclasses import replace
from typing import TYPE_CHECKING, cast

import msgspec
import pytest

from recipes.build import source_tree
from recipes.build.plan.plan import ToolchainPin
from recipes.build.toolchain.toolchain import ensure_toolchain, find_toolchain, host_name, unpack_toolchain
from recipes.build.webpage.npm_packages import CONTENT, LOCK, find_packages
from recipes.core.console import Silent
from recipes.core.digest import Sha256, hash_tree
from recipes.core.errors import StoreError, VerifyError
from recipes.core.settings import Settings
from recipes.lock.toolchain import write_trees
from recipes.manifest.decode import parse
from recipes.manifest.edit_values import dump_canonical
from recipes.manifest.load import Manifests
from recipes.manifest.schema import Toolchain, Wheel
from recipes.manifest.strict_yaml import read
from recipes.store.context import Context
from recipes.store.entry import encode_record
from recipes.store.store import Store

if TYPE_CHECKING:
    from pathlib import Path

    from recipes.build.context import Job
    from recipes.store.entry import Entry

PROGRAM = "ninja-1.0.data/scripts/ninja"


def a_wheel() -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        info = zipfile.ZipInfo(PROGRAM)
        info.external_attr = 0o100755 << 16
        archive.writestr(info, "#!/bin/sh\necho the pinned ninja\n")
    return buffer.getvalue()


@pytest.fixture
def context(tmp_path: Path) -> Context:
    store = Store.open(tmp_path / "store")
    store.blob_path(Sha256.of_bytes(a_wheel())).write_bytes(a_wheel())
    return Context(store, Silent(), Settings(tmp_path / "store", offline=True))


@pytest.fixture
def toolchain(context: Context, tmp_path: Path) -> Toolchain:
    """A toolchain of one small wheel, whose tree is pinned."""
    wheel = Wheel(
        project="ninja",
        version="1.0",
        file="ninja-1.0-py3-none-any.whl",
        size_bytes=len(a_wheel()),
        sha256=Sha256.of_bytes(a_wheel()),
    )
    unpinned = Toolchain(
        schema="toolchain/1",
        name="small",
        kind="zig",
        summary="s",
        compiler="c",
        hosts={host_name(): (wheel,)},
    )
    (tmp_path / "tree").mkdir()
    unpack_toolchain(unpinned, host_name(), tmp_path / "tree", context)
    return msgspec.structs.replace(unpinned, trees={host_name(): hash_tree(tmp_path / "tree", Sha256)})


def forge(store: Store, entry: Entry, name: str, data: bytes) -> None:
    """Change a file of an entry, and the store's own record with it."""
    file = entry.path / name
    file.parent.chmod(0o755)
    mode = file.stat().st_mode if file.exists() else 0o644
    if file.exists():
        file.chmod(0o644)
    file.write_bytes(data)
    file.chmod(mode)
    forged = replace(entry, tree=hash_tree(entry.path, Sha256))
    store.record_path(entry.key).write_bytes(encode_record(forged))


def test_a_program_that_was_replaced_together_with_the_record_is_found_by_the_pinned_tree(
    toolchain: Toolchain, context: Context
) -> None:
    entry = ensure_toolchain(toolchain, context)
    assert find_toolchain(toolchain, context.store) == entry
    forge(context.store, entry, f"ninja/{PROGRAM}", b"#!/bin/sh\necho evil\n")
    context.store.verify(
        cast("Entry", context.store.find(entry.key))
    )  # the record alone has nothing against it
    with pytest.raises(StoreError) as caught:
        find_toolchain(toolchain, context.store)
    assert (caught.value.exit_code, caught.value.where) == (20, str(entry.path))
    assert "as pinned" in caught.value.expected
    assert "rejected" in caught.value.found
    again = ensure_toolchain(toolchain, context)
    assert (again.path / "bin" / "ninja").read_text() == "#!/bin/sh\necho the pinned ninja\n"


def test_a_build_does_not_use_a_toolchain_that_was_replaced_either(
    toolchain: Toolchain, context: Context
) -> None:
    forge(context.store, ensure_toolchain(toolchain, context), f"ninja/{PROGRAM}", b"#!/bin/sh\necho evil\n")
    with pytest.raises(StoreError):
        ensure_toolchain(toolchain, context)


def test_wheels_that_unpack_to_another_tree_than_the_pinned_one_are_refused(
    toolchain: Toolchain, context: Context
) -> None:
    wrong = msgspec.structs.replace(toolchain, trees={host_name(): Sha256("0" * 64)})
    with pytest.raises(VerifyError) as caught:
        ensure_toolchain(wrong, context)
    assert caught.value.where == f"manifests/toolchains/small.yaml: trees.{host_name()}"
    assert "lock -- --toolchain small" in caught.value.fix
    assert find_toolchain(wrong, context.store) is None


def test_what_the_wheels_unpack_to_is_part_of_what_plans_are_named_by(toolchain: Toolchain) -> None:
    pinned = msgspec.structs.replace(toolchain, trees={host_name(): Sha256("0" * 64)})
    other = msgspec.structs.replace(toolchain, trees={host_name(): Sha256("1" * 64)})
    assert len({ToolchainPin.of(each).digest for each in (toolchain, pinned, other)}) == 3


def test_every_committed_toolchain_pins_the_tree_of_every_machine() -> None:
    manifests = Manifests()
    for name in manifests.toolchain_names():
        toolchain = manifests.toolchain(name)
        assert toolchain.trees.keys() == toolchain.hosts.keys(), name


def test_lock_writes_trees_where_there_are_none_and_replaces_those_there_are(toolchain: Toolchain) -> None:
    host, tree = next(iter(toolchain.trees.items()))
    unpinned = msgspec.structs.replace(toolchain, trees={})
    text = f"# a comment\n{dump_canonical(unpinned)}"
    written = write_trees(text, unpinned, toolchain.trees)
    assert written.startswith(text)
    assert parse(read(written, "written"), Toolchain, "") == toolchain
    other = {host: Sha256("1a" * 32)}
    assert write_trees(written, toolchain, other) == written.replace(tree.hex, "1a" * 32)


def a_page_in(store: Store, folder: Path) -> tuple[Entry, Path]:
    """Make an entry of packages with one archive in it, and a folder with the lock that names it."""
    data = b"an archive"
    digest = hashlib.sha512(data).digest()
    integrity = f"sha512-{base64.b64encode(digest).decode()}"
    packages = {"": {}, "node_modules/tiny": {"version": "1", "integrity": integrity}}
    folder.mkdir()
    (folder / "package.json").write_text("{}")
    (folder / LOCK).write_text(json.dumps({"lockfileVersion": 3, "packages": packages}))
    place = CONTENT / digest.hex()[:2] / digest.hex()[2:4] / digest.hex()[4:]

    def make(into: Path) -> None:
        (into / place).parent.mkdir(parents=True)
        (into / place).write_bytes(data)

    return store.ensure("npm-packages-x", "npm-packages", {}, make, console=Silent()).entry, place


@pytest.mark.parametrize("is_new", [False, True])
def test_packages_are_compared_with_the_lock_and_not_with_the_record(
    context: Context, tmp_path: Path, *, is_new: bool
) -> None:
    entry, place = a_page_in(context.store, tmp_path / "ui")
    assert find_packages(context.store, entry.key, tmp_path / "ui", "test") == entry
    name = place.with_name("0" * 124) if is_new else place
    forge(context.store, entry, str(name), b"evil")
    with pytest.raises(StoreError) as caught:
        find_packages(context.store, entry.key, tmp_path / "ui", "test")
    assert str(name) in caught.value.where
    assert find_packages(context.store, entry.key, tmp_path / "ui", "test") is None  # it was set aside


def test_a_source_with_its_page_is_compared_with_the_pins_of_both(
    context: Context, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = context.store

    def entry_of(key: str, name: str) -> Entry:
        def make(folder: Path) -> None:
            (folder / name).write_text(name)

        return store.ensure(key, "test", {}, make, console=Silent()).entry

    patched, page = entry_of("source-a", "CMakeLists.txt"), entry_of("page-a", "index.html")
    recipe = Manifests().recipe("b11312")
    assert recipe.page is not None

    class APart:
        """What `ensure_source` asks of a job."""

        def __init__(self) -> None:
            self.recipe, self.store, self.console = recipe, store, Silent()

    monkeypatch.setattr(source_tree, "ensure_patched", lambda _: patched)
    monkeypatch.setattr(source_tree, "ensure_page", lambda _: page)
    monkeypatch.setattr(source_tree, "page_job", lambda *_: None)
    job = cast("Job", APart())
    source = source_tree.ensure_source(job)
    assert source_tree.ensure_source(job) == source
    forge(store, source, f"{recipe.page.into}/index.html", b"evil")
    with pytest.raises(StoreError) as caught:
        source_tree.ensure_source(job)
    assert "as pinned" in caught.value.expected
    assert (source_tree.ensure_source(job).path / recipe.page.into / "index.html").read_text() == "index.html"
