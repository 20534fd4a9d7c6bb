"""The git directory that an archive carries proves the pinned commit, or the archive is refused by name."""

from __future__ import annotations

import json
import shutil
import zlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest

from recipes.core import process
from recipes.core.console import Silent
from recipes.core.digest import Sha1, Sha256, hash_tree
from recipes.core.errors import ArchiveError, FetchError, RecipeError, VerifyError
from recipes.core.settings import Settings
from recipes.fetch.fetcher import Fetcher
from recipes.fetch.origins import FetchedSource, compare_origins, fetch_source
from recipes.manifest.schema import ArchiveOrigin, GitOrigin, Origin, PypiOrigin, Source
from recipes.store.store import Store
from tests.support.git_objects import (
    BELOW,
    COMMIT,
    GIT_DIRECTORY,
    TOP,
    commit_bytes,
    make_archive,
    make_pack,
    make_repository,
    object_id,
    repack,
    write_objects,
)
from tests.support.git_server import git
from tests.support.http_server import Behaviour, Server

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

FILES = {"main.c": "int main(void) { return 0; }\n", "deep/er/a.h": "#pragma once\n"}
WHERE = "x.yaml: source.origins"
PLACE = f"{WHERE}, pypi thing 1.0, git directory {GIT_DIRECTORY}"
LOCK = "python3 noxfile.py -s lock -- --recipe x --source "
JSON_TYPE = (("Content-Type", "application/vnd.pypi.simple.v1+json"),)


@dataclass
class Bench:
    """A package index, an empty store, and upstream's repository with the submodule's commit."""

    root: Path
    server: Server
    store: Store
    commit: str

    @property
    def repository(self) -> Path:
        """A git directory whose newest commit is the pinned one; of an older one it has all objects as well."""
        return self.root / "up/git"

    @property
    def fetcher(self) -> Fetcher:
        settings = Settings(self.store.root, index_url=f"{self.server.base}/simple/", timeout_s=10)
        return Fetcher(self.store, Silent(), settings)

    def pypi(self, archive: bytes, git_directory: str | None = GIT_DIRECTORY) -> PypiOrigin:
        name, sha = f"thing-1.0-{len(archive)}.tar.gz", Sha256.of_bytes(archive)
        url = self.server.serve(f"/files/{name}", archive)
        file = {"filename": name, "url": url, "hashes": {"sha256": sha.hex}, "size": len(archive)}
        page = {"meta": {"api-version": "1.1"}, "name": "thing", "versions": ["1.0"], "files": [file]}
        self.server.serve("/simple/thing/", json.dumps(page).encode(), Behaviour(headers=JSON_TYPE))
        return PypiOrigin(
            project="thing",
            version="1.0",
            file=name,
            size_bytes=len(archive),
            sha256=sha,
            subdirectory=f"{TOP}/{BELOW}",
            drop=(".git",),
            git_directory=git_directory,
        )

    def source(self, *origins: Origin, commit: str | None = None) -> Source:
        tree = self.root / "tree"
        for name, text in FILES.items():
            (tree / name).parent.mkdir(parents=True, exist_ok=True)
            (tree / name).write_text(text)
        return Source(
            repository="https://host.example/x",
            commit=Sha1(commit or self.commit),
            build_number=1,
            tree=hash_tree(tree, Sha1),
            tree_sha256=hash_tree(tree, Sha256),
            epoch=1,
            licence="MIT",
            origins=origins,
        )

    def fetch(self, *origins: Origin, commit: str | None = None) -> FetchedSource:
        into = self.store.root / "staged"
        into.mkdir(exist_ok=True)
        source = self.source(*origins, commit=commit)
        try:
            fetched = fetch_source("x", source, WHERE, self.fetcher, into=into)
        except RecipeError:
            assert list(into.iterdir()) == []  # what is not proven is not there
            raise
        finally:
            assert list(self.store.tmp.root.iterdir()) == []
        assert hash_tree(into, Sha256) == source.tree_sha256
        return fetched

    def refusal(self, kind: type[RecipeError], *origins: Origin, commit: str | None = None) -> RecipeError:
        with pytest.raises(kind) as caught:
            self.fetch(*origins, commit=commit)
        return caught.value


@pytest.fixture
def bench(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Bench]:
    monkeypatch.setenv("NO_PROXY", "*")
    older = {**FILES, "main.c": "int main(void) { return 1; }\n"}
    _, commit = make_repository(tmp_path / "up", older, FILES)
    with Server() as server:
        yield Bench(tmp_path, server, Store.open(tmp_path / "store"), commit)


@pytest.mark.parametrize("is_packed", [False, True])
def test_the_pinned_commit_is_proven_by_loose_objects_or_a_pack(bench: Bench, *, is_packed: bool) -> None:
    if is_packed:
        repack(bench.repository)
    fetched = bench.fetch(bench.pypi(make_archive(FILES, bench.repository)))
    assert fetched == FetchedSource("pypi thing 1.0", proves_commit=True, failures=())


def test_a_plain_archive_proves_it_as_well_and_one_without_a_git_directory_proves_nothing(
    bench: Bench,
) -> None:
    archive = make_archive(FILES, bench.repository)
    url = bench.server.serve("/a.tar.gz", archive)
    plain = ArchiveOrigin(
        url=url,
        sha256=Sha256.of_bytes(archive),
        size_bytes=len(archive),
        subdirectory=f"{TOP}/{BELOW}",
        drop=(".git",),
        git_directory=GIT_DIRECTORY,
    )
    git_origin = GitOrigin(url=bench.repository.as_uri())
    source = bench.source(plain, bench.pypi(archive, git_directory=None), git_origin)
    results = compare_origins("x", source, WHERE, bench.fetcher)
    assert [result.proves_commit for result in results] == [True, False, True]
    assert {result.tree for result in results} == {results[0].tree}
    assert bench.fetch(bench.pypi(make_archive(FILES, None), git_directory=None)).proves_commit is False


def test_a_shallow_clone_as_a_package_vendors_it_proves_its_commit(bench: Bench) -> None:
    clone = bench.root / "clone"
    git("clone", "--quiet", "--bare", "--depth=1", bench.repository.as_uri(), str(clone), cwd=bench.root)
    assert (clone / "shallow").read_text().split() == [bench.commit]
    assert bench.fetch(bench.pypi(make_archive(FILES, clone))).proves_commit


def test_no_git_is_needed_or_started(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    repack(bench.repository)
    origin = bench.pypi(make_archive(FILES, bench.repository))
    monkeypatch.setenv("PATH", str(bench.root))
    monkeypatch.setattr(process, "_open", lambda *_, **__: pytest.fail("a program was started"))
    assert bench.fetch(origin).proves_commit


# --- refused ---


@pytest.mark.parametrize("is_packed", [False, True])
def test_an_archive_with_another_commit_than_the_pinned_one_is_refused_by_name(
    bench: Bench, *, is_packed: bool
) -> None:
    clone = bench.root / "clone"
    git("clone", "--quiet", "--bare", "--depth=1", bench.repository.as_uri(), str(clone), cwd=bench.root)
    if is_packed:
        repack(clone)
    pinned = "1" * 40
    error = bench.refusal(VerifyError, bench.pypi(make_archive(FILES, clone)), commit=pinned)
    assert error.where == PLACE
    assert pinned in error.expected
    assert bench.commit in error.found
    assert error.fix.startswith(f"{LOCK}thing==1.0 ")


def test_the_pinned_commit_with_another_tree_is_refused(bench: Bench) -> None:
    older = git("rev-parse", "HEAD~1", cwd=bench.repository)
    tree = git("rev-parse", "HEAD~1^{tree}", cwd=bench.repository)
    error = bench.refusal(VerifyError, bench.pypi(make_archive(FILES, bench.repository)), commit=older)
    assert error.where == PLACE
    assert tree in error.found
    assert str(bench.source().tree) in error.expected


def test_many_other_commits_are_listed_in_part(bench: Bench) -> None:
    make_repository(bench.root / "many", *({"a": f"{number}"} for number in range(9)))
    error = bench.refusal(VerifyError, bench.pypi(make_archive(FILES, bench.root / "many/git")))
    assert error.found.endswith("and 4 more")


def test_a_git_directory_without_commits_is_refused(bench: Bench) -> None:
    git_directory = bench.root / "blobs"
    write_objects(git_directory / "objects", make_pack((3, b"", b"x")))
    error = bench.refusal(VerifyError, bench.pypi(make_archive(FILES, git_directory)))
    assert error.found == "no commit at all"


def test_a_git_directory_that_is_not_there_is_refused(bench: Bench) -> None:
    error = bench.refusal(ArchiveError, bench.pypi(make_archive(FILES, None)))
    assert error.where == PLACE
    assert f"{GIT_DIRECTORY}/objects" in error.expected


def change_byte(pack: Path, at: int) -> None:
    data = bytearray(pack.read_bytes())
    data[at] ^= 0xFF
    pack.chmod(0o644)
    pack.write_bytes(data)


def test_a_damaged_pack_is_refused(bench: Bench) -> None:
    pack = repack(bench.repository)
    change_byte(pack, 40)
    error = bench.refusal(ArchiveError, bench.pypi(make_archive(FILES, bench.repository)))
    assert error.where == f"{PLACE}, member 'pack/{pack.name}'"


def test_a_huge_object_is_refused_without_being_inflated(bench: Bench) -> None:
    git_directory = bench.root / "huge"
    write_objects(git_directory / "objects", make_pack((3, b"", b"x"), size_bytes=1 << 50))
    error = bench.refusal(ArchiveError, bench.pypi(make_archive(FILES, git_directory)))
    assert "bytes inflated" in error.expected


def test_a_name_that_leads_out_is_refused_before_anything_is_read(bench: Bench) -> None:
    member: dict[str, Any] = {f".git/modules/{BELOW}/objects/../../evil": "x"}
    error = bench.refusal(ArchiveError, bench.pypi(make_archive(FILES, bench.repository, **member)))
    assert "evil" in error.where


def test_a_refused_archive_is_skipped_where_git_gives_the_commit_and_named_where_it_cannot(
    bench: Bench,
) -> None:
    _, other = make_repository(bench.root / "other", FILES, FILES)
    with_other = bench.pypi(make_archive(FILES, bench.root / "other/git"))
    fetched = bench.fetch(with_other, GitOrigin(url=bench.repository.as_uri()))
    (failure,) = fetched.failures
    assert fetched.proves_commit
    assert fetched.origin_label.startswith("git ")
    assert other in failure.reason
    shutil.rmtree(bench.store.root / "staged")
    gone = GitOrigin(url=f"file://{bench.root}/gone")
    error = bench.refusal(VerifyError, with_other, gone)
    assert error.where == PLACE
    assert error.fix.startswith(f"{LOCK}thing==1.0 ")
    assert "status 128" in error.found.splitlines()[-1]
    bench.refusal(FetchError, bench.pypi(make_archive({"a": "b"}, None)), gone)


# --- what must have no effect ---


def test_an_index_that_lies_proves_nothing(bench: Bench) -> None:
    """The index says that the pack has the pinned commit where another one lies; git itself believes it."""
    pinned = object_id("commit", commit_bytes(bench.source().tree.hex))
    git_directory = bench.root / "lying"
    git("init", "--quiet", "--bare", str(git_directory), cwd=bench.root)
    shutil.rmtree(git_directory / "hooks")
    other = commit_bytes("4" * 40)
    (pack,) = write_objects(git_directory / "objects", make_pack((COMMIT, b"", other))).glob("pack/*.pack")
    git("index-pack", str(pack), cwd=git_directory)
    index = pack.with_suffix(".idx")
    right, wrong = (bytes.fromhex(digits) for digits in (object_id("commit", other), pinned))
    data = bytearray(index.read_bytes().replace(right, wrong))
    fanout = [sum(wrong[0] <= byte for _ in "x").to_bytes(4, "big") for byte in range(256)]
    data[8 : 8 + 1024] = b"".join(fanout)
    index.chmod(0o644)
    index.write_bytes(data)
    assert git("cat-file", "-t", pinned, cwd=git_directory) == "commit"
    error = bench.refusal(VerifyError, bench.pypi(make_archive(FILES, git_directory)), commit=pinned)
    assert object_id("commit", other) in error.found


def test_configuration_hooks_and_alternates_of_the_archive_have_no_effect(bench: Bench) -> None:
    git_directory, marker = bench.root / "hostile", bench.root / "it-ran"
    git("init", "--quiet", "--bare", str(git_directory), cwd=bench.root)
    run = f"touch {marker}"
    (git_directory / "config").write_text(
        f"[core]\n bare = true\n fsmonitor = {run}\n sshCommand = {run}\n pager = {run}\n hooksPath = hooks\n"
        f"[include]\n path = {bench.root}/config\n"
        f'[extensions]\n partialClone = origin\n[remote "origin"]\n promisor = true\n uploadpack = {run}\n'
        f" url = {bench.repository.as_uri()}\n"
    )
    for name in ("post-checkout", "post-index-change", "reference-transaction"):
        (git_directory / "hooks").mkdir(exist_ok=True)
        (git_directory / "hooks" / name).write_text(f"#!/bin/sh\n{run}\n")
        (git_directory / "hooks" / name).chmod(0o755)
    alternates = f"{bench.repository / 'objects'}\n"
    (git_directory / "objects/info/alternates").write_text(alternates)
    (git_directory / "HEAD").write_text(f"{bench.commit}\n")
    (git_directory / "shallow").write_text(f"{bench.commit}\n")
    # git itself would find the commit through the alternates
    assert git("--git-dir", str(git_directory), "cat-file", "-t", bench.commit, cwd=bench.root) == "commit"
    marker.unlink(missing_ok=True)
    body = commit_bytes("4" * 40)
    loose = zlib.compress(b"commit %d\0" % len(body) + body)
    write_objects(git_directory / "objects", **{f"_{object_id('commit', body)}": loose})
    error = bench.refusal(VerifyError, bench.pypi(make_archive(FILES, git_directory)))
    assert error.found == f"commit {object_id('commit', body)}"
    assert not marker.exists()
