"""What the git directory that an archive carries proves of a source in it: which commit has that tree, and its time."""

from __future__ import annotations

import posixpath
from dataclasses import dataclass
from typing import TYPE_CHECKING

from recipes.core.errors import ArchiveError, UsageError, VerifyError
from recipes.fetch.archives.members import Refused, parse_name
from recipes.fetch.commit_proof import commits_of_archive, list_commits

if TYPE_CHECKING:
    from pathlib import Path

    from recipes.core.digest import Sha1
    from recipes.fetch.archives.git_commits import Commit
    from recipes.fetch.fetcher import Fetcher
    from recipes.lock.request import SourceRequest

MAX_LINK_BYTES = 4096  # of a `.git` file, which holds one path


@dataclass(frozen=True)
class GitDirectory:
    """A git directory of an archive, by its path there, and the commits whose objects it has."""

    path: str
    commits: tuple[Commit, ...]


def find_git_directory(link: bytes, subdirectory: str) -> str | None:
    r"""Return where in the archive the `.git` file of a submodule leads (gitrepository-layout(5)).

    None where it leads nowhere, out of the archive, or into the source itself; it is only a hint.

    >>> find_git_directory(b"gitdir: ../../.git/modules/vendor/up\n", "top-1/vendor/up")
    'top-1/.git/modules/vendor/up'
    """
    text = link[:MAX_LINK_BYTES].decode(errors="replace").removesuffix("\n")
    target = text.removeprefix("gitdir: ")
    if target == text or len(link) > MAX_LINK_BYTES:
        return None
    place = posixpath.normpath(posixpath.join(subdirectory, target))
    try:
        path = parse_name(place)
    except Refused:
        return None
    source = posixpath.normpath(subdirectory)
    is_inside = source == "." or f"{path}/".startswith(f"{source}/")
    return None if is_inside or not path else path


def read_git_directory(
    request: SourceRequest, archive: Path, subdirectory: str, link: bytes, fetcher: Fetcher
) -> GitDirectory | None:
    """Return the git directory that the source's `.git` file leads to; None where the archive has no sound one."""
    path = find_git_directory(link, subdirectory)
    if path is None:
        return None
    try:
        return GitDirectory(path, tuple(commits_of_archive(archive, path, fetcher.store, request.where)))
    except ArchiveError as error:
        reason = f"expected {error.expected}, found {error.found}"
        fetcher.console.say(f"  {path}, where its .git leads, proves no commit: {reason}")
        return None


def prove_commit(
    request: SourceRequest, directory: GitDirectory | None, tree: Sha1, pinned: Sha1, fetcher: Fetcher
) -> Commit | None:
    """Return the commit that the archive itself proves to have the tree, and say so; raises as `choose_commit` does."""
    if directory is None:
        return None
    commit = choose_commit(request, directory, tree, pinned)
    if commit is None:
        commits = list_commits(directory.commits)
        fetcher.console.warn(
            f"{directory.path} of the archive has no commit with that tree: it has {commits}"
        )
    else:
        proof = f"{directory.path} in it has that commit, with that tree"
        fetcher.console.say(f"  commit {commit.id.hex}, proven by the archive: {proof}")
    return commit


def choose_commit(request: SourceRequest, directory: GitDirectory, tree: Sha1, pinned: Sha1) -> Commit | None:
    """Return the commit of a git directory that has the tree; None where none has.

    Of several it is the one that the request names, or else the manifest. Raises VerifyError where the commit that the
    request names has another tree, and UsageError where it is not there but others have the tree, or where several have
    it and nothing says which.
    """
    trees = {commit.id: commit.tree for commit in directory.commits}
    having = {commit.id: commit for commit in directory.commits if commit.tree == tree}
    asked = request.commit
    if asked in trees and asked not in having:
        raise VerifyError(
            where=request.where,
            expected=f"{trees[asked]}, the tree of commit {asked.hex} in {directory.path} of the archive",
            found=f"{tree} in the archive",
            fix=f"{request.again} --commit ID  # of the commit that the archive is made of",
        )
    if not having:
        return None
    wanted = asked or (next(iter(having)) if len(having) == 1 else pinned)
    if wanted in having:
        return having[wanted]
    first = next(iter(having))
    raise UsageError(
        where=request.where,
        expected=f"one commit with {tree}; {directory.path} of the archive has {list_commits([*having.values()])}",
        found=asked.hex if asked else "nothing that says which of them",
        fix=f"{request.again} --commit {first.hex}",
    )
