"""`lock` with an archive that carries the git directory of its source: the archive itself proves the commit."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

import pytest

from recipes.build.source_tree import ensure_unpatched
from recipes.core.errors import UsageError, VerifyError
from recipes.manifest.schema import PypiOrigin
from tests.support.git_objects import make_archive, make_repository, repack
from tests.support.http_server import Server
from tests.support.lock_project import (
    AGAIN,
    DAY_7,
    DAY_8,
    NEW,
    OLD,
    PLATFORM,
    Upstream,
    Workshop,
    git,
    make_upstream,
    make_workshop,
)

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

BELOW = "vendor/upstream"
LINK = f"gitdir: ../../.git/modules/{BELOW}\n"
SOURCE = ("--source", "small-source==0.2.0")
DIRECTORY = f"small_source-0.2.0/.git/modules/{BELOW}"
NUMBER = ("--build-number", "8")


@pytest.fixture
def upstream(tmp_path: Path) -> Upstream:
    folder = tmp_path / "upstream"
    folder.mkdir()
    return make_upstream(folder)


@pytest.fixture
def workshop(tmp_path: Path, upstream: Upstream, capsys: pytest.CaptureFixture[str]) -> Iterator[Workshop]:
    with Server() as server:
        yield make_workshop(tmp_path, server, upstream, capsys, ())


def publish(workshop: Workshop, files: dict[str, str], git_directory: Path | None, link: str = LINK) -> None:
    archive = make_archive(files, git_directory, top="small_source-0.2.0", below=BELOW, link=link)
    workshop.publish("0.2.0", archive)


def first_origin(workshop: Workshop) -> PypiOrigin:
    origin = workshop.job().recipe.source.origins[0]
    assert isinstance(origin, PypiOrigin)
    return origin


@pytest.mark.parametrize("is_packed", [False, True])
def test_the_archive_proves_a_new_commit_and_tells_its_day(workshop: Workshop, *, is_packed: bool) -> None:
    git_directory = workshop.upstream.repository / ".git"
    if is_packed:
        repack(git_directory)
    publish(workshop, NEW, git_directory)
    diff, said = workshop.lock(*SOURCE, *NUMBER, "--write")
    commit = workshop.upstream.commits["b8"]
    assert f"  commit {commit}, proven by the archive: {DIRECTORY} " in said
    assert f"  {workshop.upstream.url} has the same tree" in said
    assert f"+  epoch: {DAY_8} " in diff  # the commit's day; the package was published on the day after
    assert f"git_directory: {DIRECTORY}\n" in diff
    assert first_origin(workshop).git_directory == DIRECTORY
    # what is written is proven again by the next fetch
    job = workshop.job()
    ensure_unpatched(job)
    assert job.recipe.source.commit.hex == commit
    assert workshop.lock(*SOURCE, *NUMBER)[1].endswith("nothing to propose")


def test_the_archive_of_the_pinned_tree_proves_the_pinned_commit(workshop: Workshop) -> None:
    publish(workshop, OLD, workshop.upstream.repository / ".git")
    diff, said = workshop.lock(*SOURCE)
    assert f"  commit {workshop.upstream.commits['b7']}, proven by the archive: {DIRECTORY} " in said
    assert "which is pinned" not in said
    assert f"+      git_directory: {DIRECTORY}\n" in diff
    assert "output" not in diff


def test_a_wrong_commit_that_is_pinned_with_the_right_tree_is_corrected(workshop: Workshop) -> None:
    right = workshop.upstream.commits["b7"]
    workshop.replace(f"  commit: {right}", f"  commit: {'1' * 40}")
    workshop.replace(f"epoch: {DAY_7} # 2023-11-14", "epoch: 86400 # 1970-01-02")
    publish(workshop, OLD, workshop.upstream.repository / ".git")
    diff, _ = workshop.lock(*SOURCE, "--build-number", "7")
    assert f"-  commit: {'1' * 40}\n+  commit: {right}\n" in diff
    assert f"+  epoch: {DAY_7} # 2023-11-14" in diff


def test_a_commit_that_the_archive_contradicts_is_refused(workshop: Workshop) -> None:
    commits, trees = workshop.upstream.commits, workshop.upstream.trees
    publish(workshop, NEW, workshop.upstream.repository / ".git")
    workshop.replace(workshop.upstream.url, (workshop.root / "gone").as_uri())  # git could not tell
    error: UsageError | VerifyError
    error = workshop.refuse(*SOURCE, *NUMBER, "--commit", commits["b7"], kind=VerifyError)  # type: ignore[assignment] # of that kind
    assert error.where == "--source small-source==0.2.0"
    assert trees["b7"] in error.expected
    assert trees["b8"] in error.found
    error = workshop.refuse(*SOURCE, *NUMBER, "--commit", "1" * 40, kind=UsageError)  # type: ignore[assignment] # of that kind
    assert commits["b8"] in error.expected
    assert error.fix.endswith(f"--commit {commits['b8']}")


@pytest.mark.parametrize("link", ["gitdir: ../../../../{}\n", "gitdir: {}\n"])
def test_a_git_file_that_leads_out_of_the_archive_is_not_followed(workshop: Workshop, link: str) -> None:
    outside = workshop.upstream.repository / ".git"
    publish(workshop, NEW, None, link.format(outside))
    error = workshop.refuse(*SOURCE, *NUMBER, kind=UsageError)
    assert "--commit ID" in error.fix


def damage(git_directory: Path) -> str:
    pack = repack(git_directory)
    data = pack.read_bytes()
    pack.chmod(0o644)
    pack.write_bytes(data[:-30] + bytes(30))
    return "SHA-1"


def remove_objects(git_directory: Path) -> str:
    shutil.rmtree(git_directory / "objects")
    return f"{DIRECTORY}/objects"


@pytest.mark.parametrize("spoil", [damage, remove_objects])
def test_a_git_directory_that_proves_nothing_is_said_and_not_pinned(
    workshop: Workshop, spoil: object
) -> None:
    git_directory = workshop.root.parent / "spoilt"
    shutil.copytree(workshop.upstream.repository / ".git", git_directory)
    assert callable(spoil)
    reason = spoil(git_directory)
    publish(workshop, NEW, git_directory)
    diff, said = workshop.lock(*SOURCE, *NUMBER, "--commit", workshop.upstream.commits["b8"])
    assert f"  {DIRECTORY}, where its .git leads, proves no commit: expected " in said
    assert reason in said
    assert "as you say" in said
    assert "git_directory: " not in diff


def test_a_source_that_the_package_has_changed_is_no_commit_of_its_git_directory(workshop: Workshop) -> None:
    publish(workshop, dict(NEW, LICENSE="mine\n"), workshop.upstream.repository / ".git")
    error = workshop.refuse(*SOURCE, *NUMBER, kind=UsageError)
    assert error.fix.startswith(f"{AGAIN} --source small-source==0.2.0 --build-number 8 --commit ID")
    publish(workshop, OLD, None)
    make_repository(workshop.root.parent / "else", {"a": "b"})
    publish(workshop, OLD, workshop.root.parent / "else/git")
    diff, said = workshop.lock(*SOURCE)
    assert f"warning: {DIRECTORY} of the archive has no commit with that tree: it has commit " in said
    assert "which is pinned" in said
    assert "git_directory: " not in diff


def test_several_commits_with_the_tree_are_asked_about(workshop: Workshop) -> None:
    make_repository(workshop.root.parent / "twice", NEW, NEW)
    git_directory = workshop.root.parent / "twice/git"
    publish(workshop, NEW, git_directory)
    workshop.replace(workshop.upstream.url, git_directory.as_uri())
    commits = git("log", "--format=%H", at=git_directory).decode().split()
    error = workshop.refuse(*SOURCE, *NUMBER, kind=UsageError)
    assert all(commit in error.expected for commit in commits)
    diff, _ = workshop.lock(*SOURCE, *NUMBER, "--commit", commits[0])
    assert f"+  commit: {commits[0]}\n" in diff


def test_without_git_the_archive_still_proves_its_commit(
    workshop: Workshop, monkeypatch: pytest.MonkeyPatch
) -> None:
    publish(workshop, NEW, workshop.upstream.repository / ".git")
    monkeypatch.setenv("PATH", str(workshop.root))
    diff, said = workshop.lock(*SOURCE, *NUMBER)
    assert f"commit {workshop.upstream.commits['b8']}, proven by the archive" in said
    assert "the program git is not installed" in said  # so upstream was not asked
    assert f"git_directory: {DIRECTORY}\n" in diff
    assert workshop.job().recipe.platforms[PLATFORM].output
