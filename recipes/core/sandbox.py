"""Runs build commands with nothing but what the plan gives them: files, environment, umask, and no network.

A command sees the system's own programs, what it is given to read and what it is given to write. How that is held is
found once, by trial: namespaces of its own; Bubblewrap; Landlock; on a Mac, sandbox-exec. Where none of them works the
reasons are kept, printed, and go into the provenance, never unsaid.
"""

from __future__ import annotations

import os
import shutil
import sys
from dataclasses import dataclass, replace
from functools import cache, partial
from pathlib import Path
from typing import TYPE_CHECKING

from recipes.core.confinement import bubblewrap, seatbelt
from recipes.core.confinement.request import LINUX_SYSTEM, Request, present
from recipes.core.errors import PolicyError
from recipes.core.process import Command, Completed, run

if TYPE_CHECKING:
    from collections.abc import Callable

DEFAULT_UMASK = 0o022
PROJECT = Path(__file__).resolve().parents[2]
START = "recipes.core.confinement.start"
SYSTEM_PATH = "/usr/bin:/bin:/usr/sbin:/sbin"


@dataclass(frozen=True)
class Reach:
    """The files and folders that a command may read, and those that it may also write, besides the system's own.

    `placed` are folders that it reads at another path; only for an isolation that can do that.
    """

    reads: tuple[Path, ...]
    writes: tuple[Path, ...]
    placed: tuple[tuple[Path, Path], ...] = ()


@dataclass(frozen=True)
class Isolation:
    """How commands are cut off from all that they are not given: what starts them so, or None where nothing does.

    The description is for the user and the provenance: how, or why not. `can_place` is whether a command can be shown a
    folder at another path.
    """

    wrap: Callable[[Request], Command] | None
    description: str
    can_place: bool = False


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
    """Find the first way to isolate a command that works for this user on this machine."""
    return choose_isolation(ways())


def ways() -> tuple[Isolation, ...]:
    """Return the ways to isolate a command on this kind of system, the best first; each is yet to be tried."""
    if sys.platform == "darwin":
        told = "sandbox-exec; its profile has not been tried on a Mac by the authors"
        return (Isolation(_seatbelt, told),)
    if sys.platform != "linux":
        return ()
    alone = "sees its inputs, its output and the system's programs; no network, no other process"
    program = shutil.which(bubblewrap.PROGRAM, path=SYSTEM_PATH)
    return (
        Isolation(partial(_start, "user-namespaces"), f"own namespaces: {alone}", can_place=True),
        Isolation(partial(_start, "namespaces"), f"own namespaces, made as root: {alone}", can_place=True),
        *(
            (Isolation(partial(_bubblewrap, program), f"Bubblewrap: {alone}", can_place=True),)
            if program
            else ()
        ),
        Isolation(
            partial(_start, "landlock"),
            "Landlock and seccomp: opens its inputs, its output and the system's programs; no network; names, modes"
            " and times of other files are not hidden",
        ),
    )


def choose_isolation(ways: tuple[Isolation, ...]) -> Isolation:
    """Return the first way in which a command runs; else one that isolates nothing and says why each failed."""
    faults = []
    for way in ways:
        fault = _try(way)
        if fault is None:
            return replace(way, description=f"isolated by {way.description}")
        faults.append(f"{way.description.partition(':')[0]}: {fault}")
    return Isolation(None, f"not isolated: {'; '.join(faults) or f'{sys.platform} has no way to'}")


def demand_isolation(*, is_demanded: bool) -> Isolation:
    """Return how commands are isolated here; raises PolicyError where they are not, and the user demands it."""
    found = find_isolation()
    if is_demanded and found.wrap is None:
        raise PolicyError(
            where="the isolation of build steps",
            expected="a way to isolate them, as the policy require-isolation demands",
            found=found.description,
            fix="allow user namespaces or install bubblewrap (Debian, Ubuntu: apt-get install bubblewrap),"
            " or leave that policy out",
        )
    return found


def run_isolated(
    command: Command,
    reach: Reach,
    surroundings: Surroundings,
    *,
    log: Path | None = None,
    on_line: Callable[[str], None] | None = None,
) -> Completed:
    """Run one command of a plan; it sees no more than its reach, where the system has a way to isolate it."""
    environment = dict(command.env)
    reads = reach.reads
    if surroundings.preload:
        environment["LD_PRELOAD"] = str(surroundings.preload)
        reads = (*reads, surroundings.preload)
    command = Command(command.argv, command.cwd, environment)
    wrap = find_isolation().wrap
    if wrap:
        command = wrap(_request(command, Reach(reads, reach.writes, reach.placed)))
    return run(command, log=log, on_line=on_line, umask=surroundings.umask)


def _request(command: Command, reach: Reach) -> Request:
    system = present(LINUX_SYSTEM) if sys.platform == "linux" else ()
    return Request(
        command.argv,
        str(command.cwd),
        command.env,
        (*system, *map(str, reach.reads)),
        tuple(map(str, reach.writes)),
        tuple((str(folder), str(place)) for folder, place in reach.placed),
    )


def _start(way: str, request: Request) -> Command:
    """Return the call of our own starter: in a Python without site packages, which has nothing of the user's."""
    argv = (sys.executable, "-P", "-s", "-S", "-m", START, way, request.encode())
    environment = {"PYTHONPATH": str(PROJECT), "PYTHONDONTWRITEBYTECODE": "1", "LC_ALL": "C.UTF-8"}
    return Command(argv, Path(request.cwd), environment)


def _bubblewrap(program: str, request: Request) -> Command:
    return Command(bubblewrap.bubblewrap_command(program, request), Path(request.cwd))


def _seatbelt(request: Request) -> Command:
    # its rules are about paths without links, as /private/tmp for /tmp
    reads, writes = (tuple(map(os.path.realpath, paths)) for paths in (request.reads, request.writes))
    request = replace(request, reads=reads, writes=writes)
    return Command(seatbelt.seatbelt_command(request), Path(request.cwd), request.env)


def works_behind(prefix: tuple[str, ...]) -> bool:
    """Return whether commands can be isolated where a program of the system's, with its options, starts them."""
    way = find_isolation()
    return way.wrap is not None and _try(way, prefix) is None


def _try(way: Isolation, prefix: tuple[str, ...] = ()) -> str | None:
    """Return why a way does not work; None where it does."""
    assert way.wrap is not None  # noqa: S101 - the ways are those that wrap
    trial = way.wrap(
        _request(Command(("/bin/sh", "-c", ":"), Path("/usr"), {"PATH": SYSTEM_PATH}), Reach((), ()))
    )
    try:
        done = run(Command((*prefix, *trial.argv), trial.cwd, trial.env))
    except OSError as error:
        return os.strerror(error.errno or 0)
    return None if done.status == 0 else (done.tail or (f"exit status {done.status}",))[-1]
