"""Which commit of this project built something: for the provenance alone, as a bundle must not depend on it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from recipes.core.process import Command, capture
from recipes.core.sandbox import SYSTEM_PATH

if TYPE_CHECKING:
    from pathlib import Path

NAME = "pinned-llama"
LIMIT_S = 30.0


@dataclass(frozen=True)
class ProjectCommit:
    """A commit, and whether files differ from it; the commit is "" where the project is not in git."""

    commit: str
    changed: bool = False

    def as_dependency(self) -> dict[str, object]:
        """Return it as in-toto names what a builder is made of."""
        if not self.commit:
            return {"name": f"{NAME}, no git"}
        name = f"{NAME}, with changes" if self.changed else NAME
        return {"name": name, "digest": {"gitCommit": self.commit}}


def find_commit(project: Path) -> ProjectCommit:
    """Return the commit that a project's folder has checked out, if git is there and says so."""
    try:
        top, commit = _git(project, "rev-parse", "--show-toplevel", "HEAD").splitlines()
        # a folder in another repository is none of its commits
        if project.resolve().samefile(top):
            return ProjectCommit(commit, bool(_git(project, "status", "--porcelain", "--untracked-files=no")))
    except (OSError, ValueError):
        pass
    return ProjectCommit("")


def _git(project: Path, *words: str) -> str:
    environment = {"PATH": SYSTEM_PATH, "LC_ALL": "C", "GIT_OPTIONAL_LOCKS": "0"}
    done = capture(Command(("git", "-C", str(project), *words), project, environment), LIMIT_S)
    if done.status != 0:
        raise ValueError(done.err)
    return done.out.strip()
