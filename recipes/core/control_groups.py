"""The control groups of Linux that this process is in, versions 1 and 2: where its limits are written.

Sources: the kernel's documentation, "Control Group v2" and "Control Groups version 1"; cgroups(7).
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

MEMBERSHIP = "proc/self/cgroup"
MOUNT = PurePosixPath("sys/fs/cgroup")


@dataclass(frozen=True)
class ControlGroup:
    """One group, of version 1 or 2 of control groups, which name their files differently."""

    version: int
    folder: Path

    def read(self, name: str) -> str:
        """Return what one of its files says; nothing where there is no such file."""
        return read_text(self.folder / name)


def control_groups(controller: str, root: Path = Path("/")) -> Iterator[ControlGroup]:
    """Yield the groups that limit "memory" or "cpu" for this process: each limit holds for the groups inside it too."""
    for version, group in parse_membership(read_text(root / MEMBERSHIP), controller):
        mount = root / MOUNT / controller if version == 1 else root / MOUNT
        inside = PurePosixPath(group.lstrip("/"))
        for place in (inside, *inside.parents):
            yield ControlGroup(version, mount / place)


def parse_membership(text: str, controller: str) -> Iterator[tuple[int, str]]:
    r"""Yield the version and path of each group in /proc/self/cgroup that can limit a resource.

    >>> list(parse_membership("4:memory:/a\n1:cpu,cpuacct:/b\n0::/c\n", "cpu"))
    [(1, '/b'), (2, '/c')]
    """
    for line in text.splitlines():
        number, _, rest = line.partition(":")
        controllers, _, group = rest.partition(":")
        if controller in controllers.split(","):
            yield 1, group
        elif number == "0" and not controllers:
            yield 2, group


def read_text(path: Path) -> str:
    """Return what a file of the kernel says; nothing where it cannot be read."""
    try:
        return path.read_text(encoding="ascii", errors="replace")
    except OSError:
        return ""
