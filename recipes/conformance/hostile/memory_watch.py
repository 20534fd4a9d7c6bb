"""Looks at a program's memory all the time, and ends it before the machine has none left."""

from __future__ import annotations

import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING

import psutil

if TYPE_CHECKING:
    from collections.abc import Iterator

LOOK_S = 0.02
MOST_BYTES = 6_000_000_000  # then it is ended


class MemoryWatch:
    """The memory of a process and its children: now, and the peak since it was last asked for."""

    def __init__(self, pid: int, most_bytes: int = MOST_BYTES) -> None:
        self._process = psutil.Process(pid)
        self._most_bytes = most_bytes
        self.peak = 0
        self.was_ended = False

    def look(self) -> int:
        """Return the memory now; 0 where the process is gone."""
        try:
            family = [self._process, *self._process.children(recursive=True)]
            size = sum(process.memory_info().rss for process in family)
            if size > self._most_bytes:
                self.was_ended = True
                for process in family:
                    process.kill()
        except psutil.Error:
            return 0
        self.peak = max(self.peak, size)
        return int(size)


@contextmanager
def watched(pid: int) -> Iterator[MemoryWatch]:
    """Watch a process until the block ends."""
    watch, is_over = MemoryWatch(pid), threading.Event()

    def look() -> None:
        while not is_over.wait(LOOK_S):
            watch.look()

    thread = threading.Thread(target=look, daemon=True)
    thread.start()
    try:
        yield watch
    finally:
        is_over.set()
        thread.join()
