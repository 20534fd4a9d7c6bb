"""A folder that looks like /, with what Linux says in /proc and /sys."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path


def write_kernel_files(root: Path, membership: str, **groups: dict[str, str]) -> Path:
    """Write a process's membership, and the files of groups by their path below sys/fs/cgroup (`__` for `/`)."""
    files = {"proc/self/cgroup": membership}
    for name, values in groups.items():
        folder = f"sys/fs/cgroup/{name.replace('__', '/')}".rstrip("/")
        files |= {f"{folder}/{file}": text for file, text in values.items()}
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="ascii")
    return root
