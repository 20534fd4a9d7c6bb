from __future__ import annotations

import io
import tarfile
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest

from recipes.core.console import Silent
from recipes.core.digest import Sha1, Sha256, hash_tree
from recipes.core.errors import ArchiveError, FetchError, VerifyError
from recipes.core.settings import Settings
from recipes.fetch.origins import fetch_source, origin_label
from recipes.manifest.schema import ArchiveOrigin, GitOrigin, Origin, PypiOrigin, Source
from recipes.store.context import Context
from recipes.store.store import Store

if TYPE_CHECKING:
    from pathlib import Path

COMMIT = Sha1("1" * 40)
SECRET_URL = "https://user:secret@host.example/a.tar.gz?token=secret"


def tar_of(files: dict[str, bytes], folder: str = "src") -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as archive:
        for name, data in files.items():
            header = tarfile.TarInfo(f"{folder}/{name}")
            header.size = len(data)
            archive.addfile(header, io.BytesIO(data))
    return buffer.getvalue()


GOOD = {"a.c": b"int a;\n", "b/c.h": b"#pragma once\n"}
CHANGED = {**GOOD, "a.c": b"int b;\n"}


@dataclass
class Desk:
    """An offline store that holds archives, so that origins are compared without any network."""

    root: Path
    store: Store

    @property
    def into(self) -> Path:
        folder = self.store.root / "staged"
        folder.mkdir(exist_ok=True)
        return folder

    def put(self, archive: bytes) -> Sha256:
        sha = Sha256.of_bytes(archive)
        if not self.store.blob_path(sha).exists():
            self.store.partial_path(sha).write_bytes(archive)
            self.store.adopt_blob(self.store.partial_path(sha), sha)
        return sha

    def origin(self, name: str, archive: bytes, subdirectory: str = "src") -> ArchiveOrigin:
        return ArchiveOrigin(
            url=f"https://{name}.example/x.tar.gz",
            sha256=self.put(archive),
            size_bytes=len(archive),
            subdirectory=subdirectory,
        )

    def source(self, *origins: Origin, files: dict[str, bytes] | None = None) -> Source:
        tree = self.root / "wanted"
        for name, data in (files or GOOD).items():
            (tree / name).parent.mkdir(parents=True, exist_ok=True)
            (tree / name).write_bytes(data)
        return Source(
            repository="https://host.example/x",
            commit=COMMIT,
            build_number=1,
            tree=hash_tree(tree, Sha1),
            tree_sha256=hash_tree(tree, Sha256),
            epoch=1,
            licence="MIT",
            origins=origins,
        )

    def fetch(self, source: Source) -> tuple[str, list[str]]:
        context = Context(self.store, Silent(), Settings(self.store.root, offline=True))
        fetched = fetch_source("x", source, "x.yaml: origins", context, into=self.into)
        return fetched.origin_label, [str(failure) for failure in fetched.failures]


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    return Desk(tmp_path, Store.open(tmp_path / "store"))


def test_an_origin_is_called_by_its_kind_and_place_without_secrets() -> None:
    sha = Sha256("2" * 64)
    pypi = PypiOrigin(
        project="p", version="1.2", file="p-1.2.tar.gz", size_bytes=1, sha256=sha, subdirectory="p"
    )
    archive = ArchiveOrigin(url=SECRET_URL, sha256=sha, size_bytes=1, subdirectory="p")
    git = GitOrigin(url="https://user:secret@host.example/x.git")
    assert [origin_label(origin) for origin in (pypi, archive, git)] == [
        "pypi p 1.2",
        "archive https://host.example/a.tar.gz",
        "git https://host.example/x.git",
    ]


def test_the_first_origin_with_the_pinned_tree_is_used(desk: Desk) -> None:
    source = desk.source(desk.origin("one", tar_of(GOOD)), desk.origin("two", tar_of(GOOD)))
    assert desk.fetch(source) == ("archive https://one.example/x.tar.gz", [])
    assert hash_tree(desk.into, Sha1) == source.tree


def test_an_origin_with_one_changed_byte_is_skipped_and_its_tree_kept(desk: Desk) -> None:
    source = desk.source(desk.origin("one", tar_of(CHANGED)), desk.origin("two", tar_of(GOOD)))
    label, failures = desk.fetch(source)
    (rejected,) = desk.store.rejected.iterdir()
    kept = rejected / "staged"
    assert label == "archive https://two.example/x.tar.gz"
    found = f"tree {hash_tree(kept, Sha1)}, {hash_tree(kept, Sha256)}"
    assert failures == [f"archive https://one.example/x.tar.gz: it gives {found}, kept in {kept}"]
    assert hash_tree(desk.into, Sha256) == source.tree_sha256
    assert (kept / "a.c").read_bytes() == b"int b;\n"
    why = (rejected / "why.txt").read_text()
    assert all(told in why for told in ("https://one.example/x.tar.gz", found, str(source.tree_sha256)))


@pytest.mark.parametrize("field", ["tree", "tree_sha256"])
def test_both_digests_of_the_tree_must_hold(desk: Desk, field: str) -> None:
    right = desk.source(desk.origin("one", tar_of(GOOD)))
    other = {"tree": Sha1("0" * 40), "tree_sha256": Sha256("0" * 64)}[field]
    fields = {name: getattr(right, name) for name in right.__struct_fields__}
    with pytest.raises(VerifyError) as caught:
        desk.fetch(Source(**{**fields, field: other}))
    assert f"it gives tree {right.tree}, {right.tree_sha256}, kept in " in caught.value.found


def test_origins_that_all_give_other_trees_are_an_error_of_verification(desk: Desk) -> None:
    source = desk.source(desk.origin("one", tar_of(CHANGED)), desk.origin("two", tar_of({"z": b""})))
    with pytest.raises(VerifyError) as caught:
        desk.fetch(source)
    assert caught.value.where == "x.yaml: origins"
    assert str(source.tree_sha256) in caught.value.expected
    lines = caught.value.found.splitlines()
    assert [line.partition(" sha1:")[0] for line in lines] == [
        f"archive https://{name}.example/x.tar.gz: it gives tree" for name in ("one", "two")
    ]
    assert "lock -- --recipe x --source https://one.example/x.tar.gz" in caught.value.fix
    assert list(desk.into.iterdir()) == []


def test_an_origin_that_is_not_here_and_one_with_another_tree_are_an_error_of_fetching(desk: Desk) -> None:
    missing = ArchiveOrigin(
        url="https://two.example/x", sha256=Sha256("0" * 64), size_bytes=1, subdirectory="src"
    )
    git = GitOrigin(url="https://three.example/x.git")
    with pytest.raises(FetchError) as caught:
        desk.fetch(desk.source(desk.origin("one", tar_of(CHANGED)), missing, git))
    first, second, third = caught.value.found.splitlines()
    assert first.startswith("archive https://one.example/x.tar.gz: it gives tree ")
    assert "archive https://two.example/x: " in second
    assert third.startswith("git https://three.example/x.git: ")
    assert all("PINNED_LLAMA_OFFLINE=1" in line for line in (second, third))


def test_what_the_store_holds_is_tried_before_what_it_would_have_to_fetch(desk: Desk) -> None:
    missing = ArchiveOrigin(
        url="https://one.example/x", sha256=Sha256("0" * 64), size_bytes=1, subdirectory="src"
    )
    source = desk.source(missing, desk.origin("two", tar_of(GOOD)))
    assert desk.fetch(source) == ("archive https://two.example/x.tar.gz", [])


def test_the_only_origins_archive_that_is_unsafe_is_an_error_of_archives(desk: Desk) -> None:
    escaping = tar_of({"../../evil": b"x"})
    with pytest.raises(ArchiveError) as caught:
        desk.fetch(desk.source(desk.origin("one", escaping)))
    assert caught.value.where.startswith("x.yaml: origins, archive https://one.example/x.tar.gz")
    assert list(desk.into.iterdir()) == []


@pytest.mark.parametrize(
    ("files", "subdirectory", "reason"),
    [({"../../evil": b"x"}, "src", "member 'src/../../evil'"), (GOOD, "other", "expected")],
)
def test_an_archive_that_is_unsafe_or_lacks_the_folder_is_skipped_where_there_is_another_origin(
    desk: Desk, files: dict[str, bytes], subdirectory: str, reason: str
) -> None:
    bad = desk.origin("one", tar_of(files), subdirectory)
    label, (failure,) = desk.fetch(desk.source(bad, desk.origin("two", tar_of(GOOD))))
    assert label == "archive https://two.example/x.tar.gz"
    assert failure.startswith("archive https://one.example/x.tar.gz: its archive")
    assert reason in failure
