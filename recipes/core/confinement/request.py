"""What is started, and what of the machine it may see: the one thing that every way to confine a program is given."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

# The machine's own programs and libraries, which no user owns; the rest of /etc is not needed by any compiler.
LINUX_SYSTEM = (
    *("/usr", "/bin", "/sbin", "/lib", "/lib32", "/lib64", "/libx32"),
    *("/nix/store", "/gnu/store", "/run/current-system"),
    *("/etc/alternatives", "/etc/ld.so.cache", "/etc/ld.so.conf", "/etc/ld.so.conf.d"),
)
DEVICES = ("null", "zero", "full", "random", "urandom")


@dataclass(frozen=True)
class Request:
    """One program to start.

    `reads` and `writes` are files and folders by absolute path: what it may read, and what it may also change. They
    exist. `placed` are folders that it may read at another path, which nothing else has.
    """

    argv: tuple[str, ...]
    cwd: str
    env: Mapping[str, str]
    reads: tuple[str, ...]
    writes: tuple[str, ...]
    placed: tuple[tuple[str, str], ...] = ()

    def encode(self) -> str:
        """Write it as one argument of a command line."""
        return json.dumps(asdict(self))


def decode(text: str) -> Request:
    """Read what `encode` wrote."""
    data = json.loads(text)
    reads, writes, placed = (tuple(data[name]) for name in ("reads", "writes", "placed"))
    return Request(tuple(data["argv"]), data["cwd"], data["env"], reads, writes, tuple(map(tuple, placed)))


def present(paths: tuple[str, ...]) -> tuple[str, ...]:
    """Return those of some paths that this machine has."""
    return tuple(path for path in paths if Path(path).exists())
