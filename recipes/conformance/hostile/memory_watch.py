"""Looks at a program's memory all the time, and ends it before the machine has none left."""

from __future__ import annotations

import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING

import psutil

if TYPE_CHECKING:
    from collections.abc import Iterator

LOOK_S = 0.02
CHILDREN_EVERY = 100  # looks: to find them, all processes of the system are read
MOST_BYTES = 6_000_000_000  # then it is ended


class MemoryWatch:
    """The memory of a process and its children: now, and the peak since it was last asked for."""

    def __init__(self, pid: int, most_bytes: int = MOST_BYTES) -> None:
        self._process = psutil.Process(pid)
        self._most_bytes = most_bytes
        self._family = [self._process]
        self._looks = 0
        self.peak = 0
        self.was_ended = False

    def look(self) -> int:
        """Return the memory now; 0 where the process is gone."""
        try:
            if self._looks % CHILDREN_EVERY == 0:
                self._family = [self._process, *self._process.children(recursive=True)]
            self._looks += 1
            size = sum(resident(process) for process in self._family)
            if size > self._most_bytes:
                self.was_ended = True
                for process in self._family:
                    process.kill()
        except psutil.Error:
            return 0
        self.peak = max(self.peak, size)
        return int(size)


def resident(process: psutil.Process) -> int:
    """Return the memory of a process in bytes; 0 where it is gone."""
    try:
        return int(process.memory_info().rss)
    except psutil.Error:
        return 0


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
