"""Runs programs of this project, and says how long each took and how much memory it had."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from recipes.manifest.load import PROJECT
from tests.benchmarks.turns import UnmeasurableError

if TYPE_CHECKING:
    from collections.abc import Mapping

MEASURED = "tests.fullsize.measured"


@dataclass(frozen=True)
class Ran:
    """What a program printed, and what it took. `peak_mb` is its resident memory at most, mapped files included."""

    out: str
    seconds: float
    peak_mb: float


def run_module(module: str, words: tuple[str, ...], environment: Mapping[str, str], log: Path) -> Ran:
    """Run a module of this project to its end; what it says beside its answer goes into `log`.

    Raises
    ------
    UnmeasurableError
        Where it fails.
    """
    answer, peak = log.with_suffix(".out"), log.with_suffix(".peak")
    argv = (sys.executable, "-m", MEASURED, str(peak), module, *words)
    with answer.open("wb") as out, log.open("wb") as errors:
        started = time.perf_counter()
        process = subprocess.Popen(
            argv,
            cwd=PROJECT,
            env=dict(environment),
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=errors,
            start_new_session=True,  # the terminal's Ctrl-C is ours to handle
        )
        try:
            process.wait()
        except BaseException:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            raise
        seconds = time.perf_counter() - started
    if process.returncode != 0:
        said = log.read_text(encoding="utf-8", errors="replace")
        raise UnmeasurableError(
            f"{module} {' '.join(words)}: exit status {process.returncode}\n{said[-2000:]}"
        )
    return Ran(answer.read_text(encoding="utf-8"), seconds, float(peak.read_text(encoding="ascii")))


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
    """Ask the kernel.

    Raises
    ------
    UnmeasurableError
        Where it is not Linux.
    """
    if not (proc / "self" / "status").exists():
        raise UnmeasurableError(f"what a process has in memory is read from Linux's {proc}: run it on Linux")
    return parse_status((proc / str(pid) / "status").read_text(encoding="ascii"))
