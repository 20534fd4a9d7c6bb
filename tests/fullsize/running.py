"""Runs programs of this project, and says how long each took and how much memory it had."""

from __future__ import annotations

import re
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from recipes.manifest.load import PROJECT
from tests.benchmarks.turns import UnmeasurableError, run_program

if TYPE_CHECKING:
    from collections.abc import Mapping

MEASURED = "tests.fullsize.measured"


@dataclass(frozen=True)
class Ran:
    """What a program printed, and what it took. `peak_mb` is its resident memory at most, mapped files included."""

    out: str
    seconds: float
    peak_mb: float


def run_module(module: str, words: tuple[str, ...], environment: Mapping[str, str], peak: Path) -> Ran:
    """Run a module of this project to its end; it writes its peak memory into the file `peak`.

    Raises
    ------
    UnmeasurableError
        Where it fails.
    """
    argv = (sys.executable, "-m", MEASURED, str(peak), module, *words)
    started = time.perf_counter()
    out = run_program(argv, cwd=PROJECT, env=environment)
    return Ran(out, time.perf_counter() - started, float(peak.read_text(encoding="ascii")))


@dataclass(frozen=True)
class Resident:
    """What a process has in memory, in MB, as the kernel counts it.

    `peak` is the most that it had (VmHWM). `own` (RssAnon) can go nowhere else; `mapped` (RssFile) are pages of files,
    which the kernel takes back where it needs the memory, and reads again.
    """

    peak: float
    own: float
    mapped: float


def parse_status(text: str) -> Resident:
    """Read /proc/PID/status. Pure."""
    found = {
        name: int(kb) * 1024 / 1e6 for name, kb in re.findall(r"^(\w+):\s+(\d+) kB$", text, re.MULTILINE)
    }
    return Resident(found["VmHWM"], found["RssAnon"], found["RssFile"] + found.get("RssShmem", 0.0))


def resident(pid: int, proc: Path = Path("/proc")) -> Resident:
    """Ask the kernel; UnmeasurableError where it is not Linux."""
    if not (proc / "self" / "status").exists():
        raise UnmeasurableError(f"what a process has in memory is read from Linux's {proc}: run it on Linux")
    return parse_status((proc / str(pid) / "status").read_text(encoding="ascii"))
