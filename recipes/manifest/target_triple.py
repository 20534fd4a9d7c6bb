"""What a target triple says, as zig spells it: operating system, and its oldest version or that of glibc."""

from __future__ import annotations

import re


def glibc_of_target(target: str) -> str:
    """Return the glibc version at the end of a target triple, or "" where there is none."""
    found = re.search(r"-linux-gnu\.(\d+\.\d+)$", target)
    return found[1] if found else ""


def macos_of_target(target: str) -> str:
    """Return the macOS version at the end of a target triple, or "" where there is none."""
    found = re.search(r"-macos\.(\d+\.\d+)$", target)
    return found[1] if found else ""


def system_of_target(target: str) -> str:
    """Return the operating system in a target triple, as manifests name it, or "" where it is another."""
    return next((name for name in ("linux", "macos", "windows") if f"-{name}" in target), "")


def program_file(name: str, target: str) -> str:
    """Return the file name that a program has on the system of a target triple."""
    return f"{name}.exe" if system_of_target(target) == "windows" else name
