"""git's own three-way merge of trees, in a repository that nothing of this machine or of the trees configures."""

from __future__ import annotations

import os
import re
import shutil
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING

from recipes.core.digest import Sha1
from recipes.core.errors import ToolchainError
from recipes.core.filesystem import storage_errors
from recipes.core.process import Captured, Command, capture
from recipes.fetch.git_checkout import NO_CONFIG, RAW_ATTRIBUTES

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

OLDEST_GIT = (2, 38)  # the first with `merge-tree --write-tree` (git's release notes of 2.38)
LIMIT_S = 600
WHO = {
    f"GIT_{role}_{what}": value
    for role in ("AUTHOR", "COMMITTER")
    for what, value in (("NAME", "bump"), ("EMAIL", "bump@localhost"), ("DATE", "@0 +0000"))
}
SETTINGS = (
    "core.fileMode=true",
    "core.autocrlf=false",
    "core.symlinks=true",
    "core.looseCompression=0",
    f"core.attributesFile={os.devnull}",
    "gc.auto=0",
)
FORM = (
    "--no-color",
    "--no-ext-diff",
    "--no-textconv",
    "--abbrev=12",
    "-M",
    "--src-prefix=a/",
    "--dst-prefix=b/",
)


@dataclass(frozen=True)
class Merged:
    """What came of a merge: the tree, and of what could not be merged the paths and git's words."""

    tree: Sha1
    conflicts: tuple[str, ...] = ()
    words: tuple[str, ...] = ()


class Repository:
    """Trees as git's objects."""

    def __init__(self, folder: Path) -> None:
        """Make the repository in a new folder; raise ToolchainError where git is missing or too old."""
        self._folder = folder
        program = shutil.which("git")
        found = self._version(program) if program else ()
        if program is None or found < OLDEST_GIT:
            raise ToolchainError(
                where="git",
                expected=f"git {'.'.join(map(str, OLDEST_GIT))} or newer: it merges patches with upstream's changes",
                found=f"git {'.'.join(map(str, found))}" if found else "none",
                fix="install git from the system's packages",
            )
        self._program = program
        with storage_errors(folder):
            folder.mkdir()
        self._git(("init", "--quiet", "--bare", "--template=", str(folder)))
        with storage_errors(folder):
            (folder / "info").mkdir(exist_ok=True)
            # a tree's own .gitattributes chooses neither how it is merged nor how it is read
            (folder / "info" / "attributes").write_text(
                RAW_ATTRIBUTES.replace("\n", " !merge !diff\n"), encoding="utf-8"
            )

    def add(self, tree: Path) -> Sha1:
        """Take a folder in, and return its tree; what is there of it already is not read again."""
        index = {"GIT_INDEX_FILE": str(self._folder / f"index-{tree.name}"), "GIT_WORK_TREE": str(tree)}
        self._git(("add", "--all", "--force", "."), tree, index)
        return Sha1(self._git(("write-tree",), tree, index).out.strip())

    def merge(self, base: Sha1, ours: Sha1, theirs: Sha1) -> Merged:
        """Merge two trees that both come from a third one."""
        root = self._commit(base)
        sides = (self._commit(ours, root), self._commit(theirs, root))
        done = self._git(("merge-tree", "--write-tree", "--name-only", "-z", *sides), most_status=1)
        tree, *rest = done.out.split("\0")
        end = rest.index("") if "" in rest else len(rest)
        return Merged(Sha1(tree.strip()), tuple(rest[:end]) if done.status else (), _words(rest[end + 1 :]))

    def diff(self, old: Sha1, new: Sha1, *, stat: bool) -> bytes:
        """Return the patch from one tree to another, after a table of the changed files if that is asked for."""
        file = self._folder / "diff"
        options = ("--patch", "--stat=72") if stat else ("--patch",)
        self._git(("diff-tree", *FORM, *options, f"--output={file}", old.hex, new.hex))
        with storage_errors(file):
            return file.read_bytes()

    def _commit(self, tree: Sha1, *parents: str) -> str:
        parent = [word for one in parents for word in ("-p", one)]
        return self._git(("commit-tree", "-m", "-", *parent, tree.hex), variables=WHO).out.strip()

    def _git(
        self,
        arguments: tuple[str, ...],
        at: Path | None = None,
        variables: Mapping[str, str] = MappingProxyType({}),
        *,
        most_status: int = 0,
    ) -> Captured:
        done = capture(self._command(self._program, arguments, at, variables), LIMIT_S)
        if not 0 <= done.status <= most_status:
            raise ToolchainError(
                where=f"git {arguments[0]}",
                expected="git to read and merge the trees of the source",
                found=f"status {done.status}: {done.err.strip() or done.out.strip()}",
                fix="check the disk's room and git's installation, then run the same command again",
            )
        return done

    def _command(
        self,
        program: str,
        arguments: tuple[str, ...],
        at: Path | None = None,
        variables: Mapping[str, str] = MappingProxyType({}),
    ) -> Command:
        options = [word for setting in SETTINGS for word in ("-c", setting)]
        environment = NO_CONFIG | {"HOME": str(self._folder), "PATH": os.defpath}
        if arguments[0] != "init":
            environment["GIT_DIR"] = str(self._folder)
        place = at or self._folder.parent
        return Command((program, *options, *arguments), place, {**environment, **variables})

    def _version(self, program: str) -> tuple[int, ...]:
        said = capture(self._command(program, ("version",)), LIMIT_S).out
        numbers = re.search(r"(\d+)\.(\d+)", said)
        return (int(numbers[1]), int(numbers[2])) if numbers else ()


def _words(fields: list[str]) -> tuple[str, ...]:
    """Return the messages of a merge about conflicts: each is a count, as many paths, its kind and its text."""
    words: list[str] = []
    at = 0
    while at < len(fields) and fields[at].isdecimal():
        kind, text = [*fields[at + int(fields[at]) + 1 :], "", ""][:2]
        words += [text.strip()] if kind.startswith("CONFLICT") else []
        at += int(fields[at]) + 3
    return tuple(words)
