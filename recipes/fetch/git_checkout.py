"""One commit of a git repository, fetched by its full id and laid out byte for byte.

git runs without any configuration, hook, filter or prompt of this machine or of the repository's own files:
what is written are the very blobs that the commit names.
"""

from __future__ import annotations

import errno
import os
import shutil
from dataclasses import dataclass
from typing import TYPE_CHECKING

from recipes.core.filesystem import storage_errors
from recipes.core.process import Command, Runner, run
from recipes.fetch.http.network_errors import OriginError, shown_url

if TYPE_CHECKING:
    from pathlib import Path

    from recipes.core.digest import Sha1

NO_CONFIG = {
    "GIT_CONFIG_NOSYSTEM": "1",
    "GIT_CONFIG_GLOBAL": os.devnull,
    "GIT_TERMINAL_PROMPT": "0",
    "LC_ALL": "C",  # its messages end up in ours
}
# Attributes in .git/info beat every .gitattributes of the tree (gitattributes(5)): no line ending, keyword,
# encoding or filter is converted.
RAW_ATTRIBUTES = "* -text -ident !eol !filter !working-tree-encoding\n"
LEAST_BYTES_PER_S = 1000  # git gives up where less comes for as long as a server may be silent
SHOWN_LINES = 3
FETCH = ("fetch", "--quiet", "--depth=1", "--no-tags", "--no-recurse-submodules", "--no-auto-maintenance")


def allowed_protocols(url: str) -> dict[str, str]:
    """Return what lets git use one protocol alone: else a server reached by https may send it on to http (git(1))."""
    scheme = url.partition(":")[0].lower()
    return {"GIT_ALLOW_PROTOCOL": "http:https" if scheme == "http" else scheme}


@dataclass(frozen=True)
class GitClient:
    """How git is run."""

    scratch: Path  # an empty folder on the file system of the tree that is wanted
    network: tuple[tuple[str, str], ...] = ()  # the variables that lead through a proxy or to certificates
    timeout_s: float = 30.0  # how long a server may be silent
    runner: Runner = run

    def lay_out(self, url: str, commit: Sha1, into: Path) -> None:
        """Fetch one commit, and write its tree.

        The folder exists and is empty. git itself verifies that what comes has the commit's full id. An OriginError
        with git's last lines is raised where it fails or there is none, a StoreError where the disk is full.
        """
        repository = self.scratch / "repository"
        self._run("init", "--quiet", "--template=", str(repository), url=url, into=into)
        with storage_errors(repository):
            (repository / ".git/info").mkdir(exist_ok=True)
            (repository / ".git/info/attributes").write_text(RAW_ATTRIBUTES, encoding="utf-8")
        inside = (f"--git-dir={repository / '.git'}", f"--work-tree={into}")
        self._run(*inside, *FETCH, url, commit.hex, url=url, into=into)
        self._run(*inside, "read-tree", commit.hex, url=url, into=into)
        self._run(*inside, "checkout-index", "--all", "--force", url=url, into=into)

    def _run(self, *arguments: str, url: str, into: Path) -> None:
        program = shutil.which("git")
        if program is None:
            raise OriginError("the program git is not installed")
        settings = {
            "core.autocrlf": "false",
            "core.symlinks": "true",
            "core.fileMode": "true",
            "core.hooksPath": os.devnull,
            "core.attributesFile": os.devnull,
            "http.lowSpeedLimit": str(LEAST_BYTES_PER_S),
            "http.lowSpeedTime": str(max(1, round(self.timeout_s))),
            "protocol.version": "2",  # the first in which a server gives any commit by its id
        }
        options = [word for name, value in settings.items() for word in ("-c", f"{name}={value}")]
        environment = dict(self.network) | NO_CONFIG | allowed_protocols(url)
        environment |= {"HOME": str(self.scratch), "PATH": os.defpath}
        done = self.runner(Command((program, *options, *arguments), self.scratch, environment))
        if done.status == 0:
            return
        text = " / ".join(line.strip() for line in done.tail[-SHOWN_LINES:]).replace(url, shown_url(url))
        if os.strerror(errno.ENOSPC) in text:
            with storage_errors(into):
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(into))
        verb = next(word for word in arguments if not word.startswith("-"))
        raise OriginError(f"git {verb} ended with status {done.status}: {text}")
