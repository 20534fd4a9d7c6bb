"""How many cores this process may use, which can be far fewer than the machine has."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from recipes.core.control_groups import control_groups

if TYPE_CHECKING:
    from collections.abc import Iterator

    from recipes.core.control_groups import ControlGroup


def usable_cores(root: Path = Path("/")) -> int:
    """Return the number of cores for threads and jobs, at least 1.

    The least of what the scheduler's affinity allows and the CPU time of each control group (a container's limit), in
    whole cores. Rust's `available_parallelism` counts likewise.
    """
    quotas = (int(quota) for group in control_groups("cpu", root) for quota in _quota(group))
    return max(1, min((_allowed_cores(), *quotas)))


def threads_to_ask_for() -> int | None:
    """Return how many threads to ask of a program that counts the machine's cores by itself; None where it is right."""
    usable = usable_cores()
    return usable if usable < (os.cpu_count() or 1) else None


def _allowed_cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _quota(group: ControlGroup) -> Iterator[float]:
    """Yield the cores that a group may keep busy, where it is limited."""
    if group.version == 1:
        quota, period = group.read("cpu.cfs_quota_us"), group.read("cpu.cfs_period_us")
    else:
        quota, _, period = group.read("cpu.max").partition(" ")
    if quota.strip().isdigit() and period.strip().isdigit() and int(period) > 0:
        yield int(quota) / int(period)
