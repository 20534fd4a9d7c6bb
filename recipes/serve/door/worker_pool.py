"""Keeps a few worker processes, hands each body to one, and ends the one that takes too long."""

from __future__ import annotations

import asyncio
import os
import sys
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

import recipes
from recipes.core.process import Command, Piped, pipe
from recipes.serve.door import worker
from recipes.serve.door.pipe_frames import read_frame, write_frame
from recipes.serve.door.refusal import BAD_REQUEST, RefusedError
from recipes.serve.door.video_worker import READING

if TYPE_CHECKING:
    from recipes.serve.door.treatment import BodyRules, Treated

WORKERS = 2
TREAT_S = (
    20.0  # of processor time for one body without a word; a telephone's photo takes less than one second
)
LOOK_S = 0.5  # between two looks at that time
KEPT = ("PATH", "SYSTEMROOT", "TMPDIR", "TEMP", "LD_LIBRARY_PATH")
TOO_SLOW = f"its images or videos take more than {TREAT_S:g} s, or more memory than they may"


def start_worker() -> Piped:
    """Start a worker; an OSError is raised where that fails."""
    environment = {name: os.environ[name] for name in KEPT if name in os.environ}
    environment["PYTHONPATH"] = str(Path(recipes.__file__).parent.parent)
    argv = (sys.executable, "-P", "-s", "-m", worker.__name__)
    return pipe(Command(argv, Path.cwd(), environment))


class WorkerPool:
    """Workers that are started when they are needed; used by one event loop."""

    def __init__(self, workers: int = WORKERS, treat_s: float = TREAT_S) -> None:
        self._free: list[Piped] = []
        self._all: set[Piped] = set()
        self._turns = asyncio.Semaphore(workers)
        self._treat_s = treat_s

    async def treat(self, body: bytes, path: str, rules: BodyRules) -> Treated:
        """Have a body treated; a RefusedError is raised if it is refused, or it ends its worker."""
        async with self._turns:
            one = self._free.pop() if self._free else await self._started()
            try:
                says, data = await self._asked(one, body, worker.question(path, rules))
            except (TimeoutError, OSError, EOFError, ValueError) as error:
                self._end(one)
                raise RefusedError(BAD_REQUEST, TOO_SLOW) from error
            except BaseException:  # whoever asked is gone
                self._end(one)
                raise
            self._free.append(one)
            return worker.answer(says, data)

    async def warm(self) -> None:
        """Start a worker before it is needed."""
        async with self._turns:
            self._free.append(await self._started())

    def close(self) -> None:
        """End all workers."""
        for one in tuple(self._all):
            self._end(one)
        self._free.clear()

    async def _asked(
        self, one: Piped, body: bytes, says: dict[str, object]
    ) -> tuple[dict[str, object], bytes]:
        """Ask a worker; a TimeoutError is raised once it has computed too long, however busy the machine is.

        One that reads videos says so again and again, and counts its time itself.
        """
        began = one.computed_s
        heard = [began]
        asking = asyncio.ensure_future(asyncio.to_thread(_ask, one, body, says, heard))
        asking.add_done_callback(_forget)
        while not (await asyncio.wait({asking}, timeout=LOOK_S))[0]:
            now = one.computed_s
            if now - heard[-1] > self._treat_s or now - began > self._treat_s + worker.VIDEO_S:
                raise TimeoutError
        return asking.result()

    async def _started(self) -> Piped:
        starting = asyncio.ensure_future(asyncio.to_thread(self._start))
        try:
            return await asyncio.shield(starting)
        except asyncio.CancelledError:  # whoever asked is gone; the next one takes it
            starting.add_done_callback(lambda done: self._free.append(done.result()))
            raise

    def _start(self) -> Piped:
        one = start_worker()
        self._all.add(one)
        return one

    def _end(self, one: Piped) -> None:
        self._all.discard(one)
        one.end()


def _forget(asking: asyncio.Future[tuple[dict[str, object], bytes]]) -> None:
    if not asking.cancelled():
        asking.exception()  # nobody may wait for it any more


def _ask(
    one: Piped, body: bytes, says: dict[str, object], heard: list[float]
) -> tuple[dict[str, object], bytes]:
    with suppress(BrokenPipeError):  # it is gone: the answer says so
        write_frame(one.input, says, body)
    while (answered := read_frame(one.output))[0] == READING:
        heard.append(one.computed_s)
    return answered
