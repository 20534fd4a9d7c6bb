"""`python -m tests.fullsize.measured FILE MODULE WORDS..`: run a module, and write its peak memory in MB into FILE.

A process must ask for itself: the ru_maxrss that its parent is told starts at what the parent had before the child's
own program was loaded (setmax_mm_hiwater_rss in exec_mmap, Linux fs/exec.c), and a parent that serves 18 GB has much.
"""

from __future__ import annotations

import atexit
import os
import runpy
import sys
from pathlib import Path

from tests.fullsize.running import resident


def note(file: Path) -> None:
    """Write what this process had at most."""
    file.write_text(f"{resident(os.getpid()).peak:.3f}\n", encoding="ascii")


if __name__ == "__main__":
    _, into, module, *words = sys.argv
    atexit.register(note, Path(into))
    sys.argv = [module, *words]
    runpy.run_module(module, run_name="__main__", alter_sys=True)
