"""How much memory this machine has left for a program: what the system and the control groups say."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

MEMINFO = "proc/meminfo"
GROUPS = "proc/self/cgroup"
UNIFIED, MEMORY = "sys/fs/cgroup", "sys/fs/cgroup/memory"  # of control groups version 2, and 1
NO_LIMIT = 1 << 60  # version 1 writes a number near 2**63 where there is none


@dataclass(frozen=True)
class FreeMemory:
    """What a program may still take.

    Parameters
    ----------
    size_bytes
        So much.
    source
        Who says so, for people.
    """

    size_bytes: int
    source: str


def free_memory(root: Path = Path("/")) -> FreeMemory | None:
    """Ask the system; None where it does not say.

    On Linux the least of what the kernel calls available and what each control group leaves, so that it is right in a
    container; files that are only cached count as free in both. Elsewhere all of the machine's memory.

    Parameters
    ----------
    root
        Where /proc and /sys are.
    """
    found = [*_of_linux(root), *_of_groups(root)] or list(_of_system())
    return min(found, key=lambda one: one.size_bytes, default=None)


def parse_meminfo(text: str) -> int | None:
    r"""Give the available bytes of /proc/meminfo.

    >>> parse_meminfo("MemTotal: 9 kB\nMemAvailable:       2 kB\n")
    2048
    """
    found = re.search(r"^MemAvailable:\s+(\d+) kB$", text, re.MULTILINE)
    return int(found[1]) * 1024 if found else None


def parse_groups(text: str) -> Iterator[tuple[str, str]]:
    r"""Give where the memory of this process is counted, of /proc/self/cgroup: the tree, and the group in it.

    >>> list(parse_groups("4:memory:/a\n1:cpu:/b\n0::/c\n"))
    [('sys/fs/cgroup/memory', '/a'), ('sys/fs/cgroup', '/c')]
    """
    for line in text.splitlines():
        number, _, rest = line.partition(":")
        controllers, _, group = rest.partition(":")
        if "memory" in controllers.split(","):
            yield MEMORY, group
        elif number == "0" and not controllers:
            yield UNIFIED, group


def parse_cached(text: str) -> int:
    r"""Give the bytes of cached files that a group can do without, of its memory.stat.

    >>> parse_cached("anon 7\nactive_file 1\ninactive_file 2\ntotal_inactive_file 30\ntotal_active_file 10\n")
    40
    """
    values = {found[1]: int(found[2]) for found in re.finditer(r"^(\w+) (\d+)$", text, re.MULTILINE)}
    names = ("inactive_file", "active_file")
    return sum(values.get(f"total_{name}", values.get(name, 0)) for name in names)


def _of_linux(root: Path) -> Iterator[FreeMemory]:
    available = parse_meminfo(_read(root / MEMINFO))
    if available is not None:
        yield FreeMemory(available, "MemAvailable of /proc/meminfo")


def _of_groups(root: Path) -> Iterator[FreeMemory]:
    for tree, group in parse_groups(_read(root / GROUPS)):
        limit_name, used_name = (
            ("memory.max", "memory.current")
            if tree == UNIFIED
            else ("memory.limit_in_bytes", "memory.usage_in_bytes")
        )
        inside = PurePosixPath(group.lstrip("/"))
        for place in (inside, *inside.parents):  # each group's limit holds for those in it
            folder = root / tree / place
            limit, used = _read(folder / limit_name).strip(), _read(folder / used_name).strip()
            if limit.isdigit() and used.isdigit() and int(limit) < NO_LIMIT:
                left = int(limit) - int(used) + parse_cached(_read(folder / "memory.stat"))
                yield FreeMemory(max(0, min(left, int(limit))), f"the limit in /{tree}/{place}/{limit_name}")


def _of_system() -> Iterator[FreeMemory]:
    try:
        size = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (AttributeError, OSError, ValueError):
        return
    if size > 0:
        yield FreeMemory(size, "all of the machine's memory: how much is free is not known here")


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="ascii", errors="replace")
    except OSError:
        return ""
