"""Proves which commit an archive's source is, by the git directory that the archive carries beside it.

What is proven: the pinned commit's own bytes hash to its id, and name the pinned tree. Not that upstream has such a
commit: whoever makes an archive can make one. git is not needed, so every machine makes the proof.
"""

from __future__ import annotations

from pathlib import PurePosixPath
from typing import TYPE_CHECKING

from recipes.core.errors import VerifyError
from recipes.fetch.archives.git_commits import Commit, read_commits
from recipes.fetch.archives.unpack import archive_errors, unpack

if TYPE_CHECKING:
    from collections.abc import Generator, Iterable, Sequence
    from pathlib import Path

    from recipes.manifest.schema import Source
    from recipes.store.store import Store

SHOWN_COMMITS = 5


def commits_of_archive(archive: Path, git_directory: str, store: Store, where: str) -> Generator[Commit]:
    """Yield the commits in a git directory of an archive, from its loose objects and packs alone.

    Raises ArchiveError where there are no objects in that folder, or they are damaged or unsafe, and StoreError where
    the store fails.
    """
    with store.scratch("git-directory") as scratch:
        objects = scratch / "objects"
        folder = str(PurePosixPath(git_directory, "objects"))
        unpack(archive, objects, subdirectory=folder, drop=(), where=where)
        with archive_errors(archive, objects, where):
            yield from read_commits(objects)


def verify_commit(commits: Iterable[Commit], source: Source, where: str, fix: str) -> None:
    """Demand that the pinned commit is among the commits, and has the pinned tree; raises VerifyError."""
    others: list[Commit] = []
    for commit in commits:
        if commit.id == source.commit:
            if commit.tree == source.tree:
                return
            found = f"that commit, with the tree {commit.tree}"
            break
        others.append(commit)
    else:
        found = list_commits(others)
    raise VerifyError(
        where=where, expected=f"commit {source.commit.hex}, with the tree {source.tree}", found=found, fix=fix
    )


def list_commits(commits: Sequence[Commit]) -> str:
    """Return commits for a message: the ids of some, and how many there are more."""
    if not commits:
        return "no commit at all"
    shown = ", ".join(commit.id.hex for commit in commits[:SHOWN_COMMITS])
    more = len(commits) - SHOWN_COMMITS
    return f"commit {shown}" + (f" and {more} more" if more > 0 else "")
