"""Runs build commands with nothing but what the plan gives them: environment, umask, and no network.

On Linux a command gets an empty network namespace (util-linux `unshare`), as the user it is or as a mapped
one; where that is not possible the reason is kept and goes into the provenance, never unsaid.
"""

from __future__ import annotations

import shutil
import sys
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from recipes.core.process import Command, Completed, run

if TYPE_CHECKING:
    from collections.abc import Callable

DEFAULT_UMASK = 0o022


@dataclass(frozen=True)
class Isolation:
    """How commands are cut off from the network: what is put before an argv, if anything.

    The description is for the provenance: how, or why not.
    """

    prefix: tuple[str, ...]
    description: str


@dataclass(frozen=True)
class Surroundings:
    """What of a machine may differ between two builds of a plan, and must not reach the output.

    `preload` is a library for LD_PRELOAD (a shifted clock).
    """

    jobs: int
    umask: int = DEFAULT_UMASK
    preload: Path | None = None


@cache
def find_isolation() -> Isolation:
    """Find the first way to an empty network namespace that works for this user on this machine."""
    if sys.platform != "linux":
        return Isolation((), f"not isolated: {sys.platform} has no network namespaces")
    unshare = shutil.which("unshare", path="/usr/bin:/bin:/usr/sbin:/sbin")
    if unshare is None:
        return Isolation((), "not isolated: util-linux's unshare is not installed")
    found = "no attempt was made"
    for options in (("--user", "--map-current-user", "--net"), ("--net",)):
        prefix = (unshare, *options, "--")
        trial = run(Command((*prefix, "/bin/true"), cwd=Path("/")))
        if trial.status == 0:
            return Isolation(prefix, f"empty network namespace: unshare {' '.join(options)}")
        found = trial.text or f"exit status {trial.status}"
    return Isolation((), f"not isolated: unshare failed: {found}")


def run_isolated(
    command: Command,
    surroundings: Surroundings,
    *,
    log: Path | None = None,
    on_line: Callable[[str], None] | None = None,
) -> Completed:
    """Run one command of a plan, without network where the system allows it."""
    environment = dict(command.env)
    if surroundings.preload:
        environment["LD_PRELOAD"] = str(surroundings.preload)
    return run(
        Command((*find_isolation().prefix, *command.argv), command.cwd, environment),
        log=log,
        on_line=on_line,
        umask=surroundings.umask,
    )
