"""What upstream's git repository says of a tag and of a commit: the second source for new pins."""

from __future__ import annotations

import os
import re
import shutil
from typing import TYPE_CHECKING

from recipes.core.digest import Sha1, hash_tree
from recipes.core.process import Command, run
from recipes.core.settings import OFFLINE_VARIABLE, Settings
from recipes.fetch.git_checkout import LEAST_BYTES_PER_S, NO_CONFIG, SHOWN_LINES, GitClient, allowed_protocols
from recipes.fetch.http.network_errors import OriginError, shown_url

if TYPE_CHECKING:
    from recipes.fetch.fetcher import Fetcher


def find_commit(url: str, tag: str, fetcher: Fetcher) -> Sha1:
    """Return the commit that a repository's tag names, also through a tag with a message of its own.

    Raises OriginError where there is no such tag, no git, or no way to the repository.
    """
    names = (f"refs/tags/{tag}", f"refs/tags/{tag}^{{}}")
    found = _list_refs(url, names, fetcher)
    commit = found.get(names[1]) or found.get(names[0])
    if commit is None:
        raise OriginError(f"it has no tag {tag}")
    return commit


def find_newest_build(url: str, fetcher: Fetcher) -> str:
    """Return the tag of a repository's newest build, as b6900; raises OriginError as `find_commit` does."""
    # git sorts, since of much output only the end is kept
    refs = _list_refs(url, ("b[0-9]*",), fetcher, "--refs", "--tags", "--sort=version:refname")
    builds = [int(found[1]) for name in refs if (found := re.fullmatch(r"refs/tags/b([0-9]{1,9})", name))]
    if not builds:
        raise OriginError("it has no tag of a build, such as b6900")
    return f"b{max(builds)}"


def _list_refs(url: str, names: tuple[str, ...], fetcher: Fetcher, *options: str) -> dict[str, Sha1]:
    """Return what a repository says of some references; the last ones, where they are many."""
    _refuse_offline(url, fetcher.settings)
    program = shutil.which("git")
    if program is None:
        raise OriginError("the program git is not installed")
    settings = (
        *("-c", f"http.lowSpeedLimit={LEAST_BYTES_PER_S}"),
        *("-c", f"http.lowSpeedTime={max(1, round(fetcher.settings.timeout_s))}"),
    )
    with fetcher.store.scratch("lock-tag") as scratch:
        environment = dict(fetcher.settings.network) | NO_CONFIG | allowed_protocols(url)
        environment |= {"HOME": str(scratch), "PATH": os.defpath}
        command = (program, *settings, "ls-remote", *options, "--", url, *names)
        done = run(Command(command, scratch, environment))
    if done.status != 0:
        text = " / ".join(line.strip() for line in done.tail[-SHOWN_LINES:]).replace(url, shown_url(url))
        raise OriginError(f"git ls-remote ended with status {done.status}: {text}")
    lines = (re.fullmatch(r"([0-9a-f]{40})\t(\S+)", line) for line in done.tail)
    return {line[2]: Sha1(line[1]) for line in lines if line}


def find_tree(url: str, commit: Sha1, fetcher: Fetcher) -> Sha1:
    """Fetch one commit from a repository, and return the digest of its tree.

    Raises OriginError where the repository has no such commit, there is no git, or no way to the repository.
    """
    settings = fetcher.settings
    _refuse_offline(url, settings)
    label = f"git {shown_url(url)}"
    with (
        fetcher.store.scratch(f"lock-git-{commit.hex}") as scratch,
        fetcher.console.task(f"fetch commit {commit.hex[:8]} from {label}", None),
    ):
        into = scratch / "tree"
        into.mkdir()
        GitClient(scratch, settings.network, settings.timeout_s).lay_out(url, commit, into)
        return hash_tree(into, Sha1)


def _refuse_offline(url: str, settings: Settings) -> None:
    if settings.offline and not url.startswith("file:"):
        raise OriginError(f"{OFFLINE_VARIABLE}=1 forbids the network")
