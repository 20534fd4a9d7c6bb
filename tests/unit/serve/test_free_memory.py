from __future__ import annotations

import os
from typing import TYPE_CHECKING

from recipes.serve.free_memory import FreeMemory, free_memory

if TYPE_CHECKING:
    from pathlib import Path

    import pytest

MEMINFO = "MemTotal:       24000000 kB\nMemFree:         100 kB\nMemAvailable:    2000 kB\n"
OF_MEMINFO = FreeMemory(2_048_000, "MemAvailable of /proc/meminfo")


def machine(root: Path, **files: str) -> Path:
    names = {"meminfo": "proc/meminfo", "cgroup": "proc/self/cgroup"}
    for name, text in files.items():
        path = root / names.get(name, name.replace("__", "/").replace("_dot_", "."))
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="ascii")
    return root


def group(root: Path, folder: str, **files: str) -> None:
    (root / folder).mkdir(parents=True, exist_ok=True)
    for name, text in files.items():
        (root / folder / name.replace("_dot_", ".")).write_text(text, encoding="ascii")


def test_it_is_what_the_kernel_calls_available(tmp_path: Path) -> None:
    assert free_memory(machine(tmp_path, meminfo=MEMINFO)) == OF_MEMINFO


def test_the_least_of_all_groups_holds_and_cached_files_are_free(tmp_path: Path) -> None:
    root = machine(tmp_path, meminfo=MEMINFO, cgroup="0::/outer/inner\n")
    stat = "anon 100\ninactive_file 300\nactive_file 50\n"
    group(root, "sys/fs/cgroup", memory_dot_stat=stat)  # the root group has no limit
    group(
        root,
        "sys/fs/cgroup/outer",
        memory_dot_max="1000\n",
        memory_dot_current="900\n",
        memory_dot_stat=stat,
    )
    group(root, "sys/fs/cgroup/outer/inner", memory_dot_max="max\n", memory_dot_current="900\n")
    assert free_memory(root) == FreeMemory(450, "the limit in /sys/fs/cgroup/outer/memory.max")


def test_groups_of_version_1_are_asked_too(tmp_path: Path) -> None:
    root = machine(tmp_path, meminfo=MEMINFO, cgroup="4:memory:/a\n1:cpu:/b\n0::/\n")
    files = {"memory_dot_usage_in_bytes": "900\n", "memory_dot_limit_in_bytes": "1000\n"}
    group(
        root, "sys/fs/cgroup/memory/a", **files, memory_dot_stat="total_inactive_file 20\ninactive_file 1\n"
    )
    unlimited = {**files, "memory_dot_limit_in_bytes": "9223372036854771712\n"}
    group(root, "sys/fs/cgroup/memory", **unlimited)
    assert free_memory(root) == FreeMemory(120, "the limit in /sys/fs/cgroup/memory/a/memory.limit_in_bytes")


def test_a_group_above_its_limit_leaves_nothing_and_none_leaves_more_than_its_limit(tmp_path: Path) -> None:
    root = machine(tmp_path, meminfo=MEMINFO, cgroup="0::/a\n")
    group(root, "sys/fs/cgroup/a", memory_dot_max="1000\n", memory_dot_current="1900\n")
    found = free_memory(root)
    assert found is not None
    assert found.size_bytes == 0
    group(root, "sys/fs/cgroup/a", memory_dot_current="10\n", memory_dot_stat="inactive_file 5000\n")
    found = free_memory(root)
    assert found is not None
    assert found.size_bytes == 1000


def test_elsewhere_it_is_all_of_the_machine_and_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "sysconf", {"SC_PHYS_PAGES": 3, "SC_PAGE_SIZE": 4096}.__getitem__)
    expected = "all of the machine's memory: how much is free is not known here"
    assert free_memory(tmp_path) == FreeMemory(12288, expected)

    def refuse(name: str) -> int:
        raise ValueError(name)

    monkeypatch.setattr(os, "sysconf", refuse)
    assert free_memory(tmp_path) is None
