"""Counts who waits at the door, for a turn or a model: so many may, and more are told to come back."""

from __future__ import annotations

from contextlib import asynccontextmanager, contextmanager
from typing import TYPE_CHECKING

from recipes.serve.door.refusal import BUSY, RefusedError

if TYPE_CHECKING:
    import asyncio
    from collections.abc import AsyncIterator, Iterator

MOST_WAITING = 64


class Waiting:
    """The requests that wait; used by one event loop."""

    def __init__(self) -> None:
        self._waiting = 0

    @contextmanager
    def counted(self, *, at_once: bool) -> Iterator[None]:
        """Count a request until the block ends; a RefusedError is raised where it must wait and too many do."""
        if not at_once and self._waiting >= MOST_WAITING:
            raise RefusedError(BUSY, f"{MOST_WAITING} requests wait already: try again")
        self._waiting += 1
        try:
            yield
        finally:
            self._waiting -= 1

    @asynccontextmanager
    async def turn(self, turns: asyncio.Semaphore) -> AsyncIterator[None]:
        """Wait for a turn; a RefusedError is raised where too many wait."""
        with self.counted(at_once=not turns.locked()):
            await turns.acquire()
        try:
            yield
        finally:
            turns.release()
