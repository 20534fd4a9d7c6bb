"""How much memory is left for a program: what the system and the control groups say."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from recipes.core.control_groups import control_groups

if TYPE_CHECKING:
    from collections.abc import Iterator

    from recipes.core.control_groups import ControlGroup

NO_LIMIT = 1 << 60  # version 1 writes a number near 2**63 where there is none


@dataclass(frozen=True)
class FreeMemory:
    """What a program may still take, and where that was read, for people."""

    size_bytes: int
    source: str


def free_memory(root: Path = Path("/")) -> FreeMemory | None:
    """Return the least of what the system calls available and what each control group leaves; None where neither says.

    Files that are only cached count as free in both. The root is where /proc and /sys are, for the control groups.
    """
    found = (*_of_system(), *(left for group in control_groups("memory", root) for left in _of_group(group)))
    return min(found, key=lambda one: one.size_bytes, default=None)


def parse_cached(text: str) -> int:
    r"""Return the bytes of cached files that a group can do without, of its memory.stat.

    >>> parse_cached("anon 7\nactive_file 1\ninactive_file 2\ntotal_inactive_file 30\ntotal_active_file 10\n")
    40
    """
    values = {found[1]: int(found[2]) for found in re.finditer(r"^(\w+) (\d+)$", text, re.MULTILINE)}
    names = ("inactive_file", "active_file")
    return sum(values.get(f"total_{name}", values.get(name, 0)) for name in names)


def _of_system() -> Iterator[FreeMemory]:
    import psutil

    try:
        size_bytes = psutil.virtual_memory().available
    except (OSError, RuntimeError, psutil.Error):  # a container without /proc
        return
    yield FreeMemory(size_bytes, "the system's available memory")


def _of_group(group: ControlGroup) -> Iterator[FreeMemory]:
    limit_name, used_name = (
        ("memory.limit_in_bytes", "memory.usage_in_bytes")
        if group.version == 1
        else ("memory.max", "memory.current")
    )
    limit, used = group.read(limit_name).strip(), group.read(used_name).strip()
    if limit.isdigit() and used.isdigit() and int(limit) < NO_LIMIT:
        left = int(limit) - int(used) + parse_cached(group.read("memory.stat"))
        yield FreeMemory(max(0, min(left, int(limit))), f"the limit in {group.folder / limit_name}")
