"""`verify` with all origins: each is asked for the source, and what it gives is compared with the pinned tree."""

from __future__ import annotations

import gzip
import tarfile
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from recipes.build.context import Job
from recipes.build.verify import PinCheck, verify_all
from recipes.core.console import Silent
from recipes.core.digest import Sha256
from recipes.core.errors import FetchError, VerifyError
from recipes.core.sandbox import Surroundings
from recipes.core.settings import read_settings
from recipes.manifest.load import Manifests
from recipes.store.store import Store
from tests.support.fixture_project import COMMIT, FIXTURE, FixtureProject, make_project, provide_source
from tests.support.git_objects import make_repository

if TYPE_CHECKING:
    from pathlib import Path


def check(project: FixtureProject) -> list[PinCheck]:
    """Verify all origins, and return the rows of the origins."""
    manifests = Manifests(project.root)
    job = Job(
        Store.open(project.store),
        Silent(),
        replace(read_settings(), offline=False),
        manifests=manifests,
        recipe=manifests.recipe("fixture"),
        platform_name="linux-x86_64-cpu",
        surroundings=Surroundings(jobs=1),
    )
    without = {row.what for row in verify_all(job)}
    return [row for row in verify_all(job, all_origins=True) if row.what not in without]


def add_origin(project: FixtureProject, origin: str) -> None:
    project.edit("      subdirectory: fixture-1.0\n", f"      subdirectory: fixture-1.0\n    - {origin}\n")


def test_an_origin_that_gives_the_pinned_tree_is_ok_and_one_that_is_gone_is_named(tmp_path: Path) -> None:
    project = make_project(tmp_path, tmp_path / "store")
    provide_source(project)
    add_origin(project, f"{{kind: git, url: 'file://{tmp_path}/none'}}")
    good, commit, gone = check(project)
    assert (good.state, good.error) == ("ok", None)
    assert (commit.what.split()[0], commit.state) == ("commit", "absent")  # the archive says nothing of it
    assert (gone.state, type(gone.error)) == ("BAD", FetchError)
    assert gone.error
    assert gone.error.where == "manifests/recipes/fixture.yaml: source.origins[1]"


def test_an_origin_that_gives_another_tree_is_named(tmp_path: Path) -> None:
    project = make_project(tmp_path, tmp_path / "store")
    provide_source(project)
    text = project.manifest.read_text()
    first = text[text.index("  tree: ") :].split("\n", 1)[0]
    project.manifest.write_text(text.replace(first, f"  tree: {'0' * 40}", 1))
    (row,) = check(project)
    assert (row.state, type(row.error)) == ("BAD", VerifyError)


def add_git_directory(project: FixtureProject, files: dict[str, str]) -> str:
    """Put a git directory with one commit of these files into the archive, and pin all of it; return the commit."""
    (commit,) = make_repository(project.root.parent / "up", files)
    before = project.archive.read_bytes()
    plain = project.archive.with_name("plain.tar")
    plain.write_bytes(gzip.decompress(before))
    with tarfile.open(plain, "a") as tar:
        tar.add(project.root.parent / "up/git", "git")
    after = gzip.compress(plain.read_bytes())
    project.archive.write_bytes(after)
    project.edit(f"size_bytes: {len(before)}\n", f"size_bytes: {len(after)}\n")
    project.edit(Sha256.of_bytes(before).hex, Sha256.of_bytes(after).hex)
    project.edit("subdirectory: fixture-1.0\n", "subdirectory: fixture-1.0\n      git_directory: git\n")
    provide_source(project)
    return commit


@pytest.mark.parametrize("is_pinned", [True, False])
def test_the_git_directory_of_an_archive_proves_the_pinned_commit_or_another(
    tmp_path: Path, *, is_pinned: bool
) -> None:
    source = FIXTURE / "source"
    project = make_project(tmp_path, tmp_path / "store")
    files = {str(path.relative_to(source)): path.read_text() for path in source.rglob("*") if path.is_file()}
    commit = add_git_directory(project, files)
    if is_pinned:
        project.edit(f"commit: {COMMIT}", f"commit: {commit}")
    first, *others = check(project)
    if is_pinned:
        assert [(row.what.split()[0], row.state) for row in (first, *others)] == [
            ("source", "ok"),
            ("commit", "ok"),
        ]
        assert others[0].digest == f"sha1:{commit}"
    else:
        assert (first.state, type(first.error), others) == ("BAD", VerifyError, [])
        assert first.error
        assert first.error.where.endswith(", git directory git")
        assert (COMMIT in first.error.expected, commit in first.error.found) == (True, True)
