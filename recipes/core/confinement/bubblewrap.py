"""The command line of Bubblewrap (bwrap(1)), which some systems let make namespaces where a user may not. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

from recipes.core.confinement.namespaces import MEMORY_FOLDERS

if TYPE_CHECKING:
    from recipes.core.confinement.request import Request

PROGRAM = "bwrap"
ALONE = ("--unshare-all", "--die-with-parent", "--new-session", "--cap-drop", "ALL", "--clearenv")


def bubblewrap_command(program: str, request: Request) -> tuple[str, ...]:
    """Return the argv that runs a program where it sees what the request names, and nothing else."""
    words = [program, *ALONE, "--proc", "/proc", "--dev", "/dev"]
    for path in MEMORY_FOLDERS:
        words += ["--tmpfs", path]
    for path in request.reads:
        words += ["--ro-bind", path, path]
    for path in request.writes:
        words += ["--bind", path, path]
    for path, place in request.placed:
        words += ["--ro-bind", path, place]
    # what is under /proc/sys and the like belongs to the machine
    words += ["--remount-ro", "/proc", "--chdir", request.cwd]
    for name, value in request.env.items():
        words += ["--setenv", name, value]
    return (*words, "--", *request.argv)
