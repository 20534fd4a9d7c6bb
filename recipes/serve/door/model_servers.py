"""The llama-servers behind the door, one for each model: each is started when its model is first asked for.

With one model nothing is started here: its server runs before the door opens, and when it ends, so does `serve`.
"""

from __future__ import annotations

import asyncio
import time
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Protocol

from recipes.core.errors import RecipeError
from recipes.core.log import LOGGER
from recipes.serve.door.refusal import BUSY, RefusedError
from recipes.serve.door.upstream import Upstream
from recipes.serve.llamacpp.server import describe_status

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

    from recipes.serve.door.address import Address
    from recipes.serve.door.treatment import BodyRules
    from recipes.serve.door.waiting import Waiting

MOST_SLOTS = 128  # where a server does not say how many it has, or was not started yet
LOOK_S = 0.05  # between two looks at a server that is loading


class Process(Protocol):
    """A model's llama-server, as `server_process` has it."""

    model: str
    start_s: float

    @property
    def address(self) -> Address:
        """Where it listens since it was started."""

    def start(self) -> None:
        """Start it, from a thread that lives as long as it; raises OSError or a RecipeError."""

    @property
    def status(self) -> int | None:
        """How it ended (negative: the signal); None while it runs."""

    def is_alive(self) -> bool:
        """Whether it runs."""

    def end(self) -> None:
        """End it, if it runs."""


class ModelServer:
    """A model's server, as the door sees it: how it is asked, by how many, and whether it runs."""

    def __init__(self, process: Process, working: int, changing: asyncio.Lock) -> None:
        self.model = process.model
        self.working = asyncio.Semaphore(working)
        self.changing = changing  # held by who starts it, or sees that it runs
        self._process = process
        self._upstream: Upstream | None = None
        self.failures, self.failure = 0, ""  # how often it did not start, and why it did not the last time
        self._asked_by = 0
        self._idle = asyncio.Event()
        self._idle.set()

    @property
    def upstream(self) -> Upstream:
        """How it is asked since it was started last."""
        if self._upstream is None:
            self._upstream = Upstream(self._process.address)
        return self._upstream

    @property
    def is_alive(self) -> bool:
        """Whether its process runs."""
        return self._process.is_alive()

    @property
    def slots(self) -> int:
        """How many requests it answers at a time."""
        return (self._upstream.slots if self._upstream is not None else None) or MOST_SLOTS

    @property
    def videos(self) -> bool | None:
        """Whether it reads videos; None where it did not say yet."""
        return self._upstream.videos if self._upstream is not None else None

    @property
    def state(self) -> str:
        """As llama-server's own router names it."""
        if not self.is_alive:
            return "unloaded"
        return "loaded" if self.upstream.is_ready else "loading"

    def take(self) -> None:
        """Count one more who asks it: it is not ended before `give_back`."""
        self._asked_by += 1
        self._idle.clear()

    def give_back(self) -> None:
        """Count one less who asks it."""
        self._asked_by -= 1
        if not self._asked_by:
            self._idle.set()

    async def start(self) -> None:
        """Start it, and wait until it is healthy; a RefusedError is raised if that fails, and nothing is left."""
        try:
            await self.close()
            self._process.start()  # in this thread, which lives as long as the door
            await self._loaded()
        except BaseException as error:
            await asyncio.to_thread(self._process.end)
            if isinstance(error, OSError | RecipeError):
                raise self._not_started(f"{type(error).__name__}: {error}") from error
            raise

    async def end(self) -> None:
        """End it once nobody asks it any more."""
        await self._idle.wait()
        if self.is_alive:
            LOGGER.info("unloading %s", self.model)
            await asyncio.to_thread(self._process.end)

    async def close(self) -> None:
        """Close all connections to it."""
        if self._upstream is not None:
            await self._upstream.close()
            self._upstream = None

    async def _loaded(self) -> None:
        deadline = time.monotonic() + self._process.start_s
        while not await self.upstream.is_healthy():
            if not self.is_alive:
                raise self._not_started(describe_status(self._process.status or 0))
            if time.monotonic() > deadline:
                raise self._not_started(f"it was not healthy within {self._process.start_s:g} s")
            await asyncio.sleep(LOOK_S)

    def _not_started(self, why: str) -> RefusedError:
        LOGGER.warning("%s did not start: %s", self.model, why)
        self.failures += 1
        self.failure = f"{self.model!r} did not start: {why}; the log of its server says more"
        return RefusedError(BUSY, self.failure)


class ModelServers:
    """The servers behind a door, the default one first; used by one event loop.

    Where not all fit into memory (`one_at_a_time`), the others are ended before one is started: in the order of the
    requests, once what they answer is whole.
    """

    def __init__(
        self, processes: Sequence[Process], waiting: Waiting, *, working: int, one_at_a_time: bool
    ) -> None:
        together = asyncio.Lock()
        self.all = tuple(
            ModelServer(process, working, together if one_at_a_time else asyncio.Lock())
            for process in processes
        )
        self.default = self.all[0]
        self.are_several = len(self.all) > 1
        self._waiting, self._one_at_a_time = waiting, one_at_a_time
        self._starting: set[asyncio.Task[ModelServer]] = set()
        self._is_open = False

    def rules(self, rules: BodyRules) -> BodyRules:
        """Return the rules of these models with what their servers have said of themselves."""
        models = zip(rules.models, self.all, strict=True)
        return replace(
            rules, models=tuple(replace(model, slots=one.slots, videos=one.videos) for model, one in models)
        )

    def named(self, name: str) -> ModelServer:
        """Return a model's server, of several; the default one for no name."""
        return next((one for one in self.all if one.model == name), self.default)

    @asynccontextmanager
    async def asked(self, name: str = "", *, or_any: bool = False) -> AsyncIterator[ModelServer]:
        """Wait for a model's server, started where it does not run; it runs on until the block ends.

        With `or_any` another one that runs will do, and none is ended for it. A RefusedError is raised if it does not
        start, or too many wait.
        """
        one = self.named(name)
        if self.are_several:
            self._demand_open()
            with self._waiting.counted(at_once=one.is_alive and not one.changing.locked()):
                one = await self._started(one, or_any=or_any)
        else:
            one.take()
        try:
            yield one
        finally:
            one.give_back()

    async def close(self) -> None:
        """End what still starts, and all connections."""
        for task in self._starting:
            task.cancel()
        await asyncio.gather(*self._starting, return_exceptions=True)
        for one in self.all:
            await one.close()

    def _demand_open(self) -> None:
        """Demand that the default one was healthy once: until then `serve` is not sure to run."""
        self._is_open = self._is_open or self.default.upstream.is_ready
        if not self._is_open:
            raise RefusedError(BUSY, "Loading model")

    async def _started(self, one: ModelServer, *, or_any: bool) -> ModelServer:
        """Take a server that runs. Who goes away while it is started leaves that to go on, for who asks again."""
        failures = one.failures
        await one.changing.acquire()
        if one.failures > failures:  # the start that this one waited for
            one.changing.release()
            raise RefusedError(BUSY, one.failure)
        starting = asyncio.ensure_future(self._take(one, or_any=or_any))
        self._starting.add(starting)
        starting.add_done_callback(self._starting.discard)
        starting.add_done_callback(lambda _: one.changing.release())
        try:
            return await asyncio.shield(starting)
        except asyncio.CancelledError:
            starting.add_done_callback(_give_back)
            raise

    async def _take(self, one: ModelServer, *, or_any: bool) -> ModelServer:
        if or_any:
            one = next((other for other in (one, *self.all) if other.is_alive), one)
        if not one.is_alive:
            LOGGER.info("loading %s", one.model)
            if self._one_at_a_time:
                for other in self.all:
                    if other is not one:
                        await other.end()
            await one.start()
        one.take()
        return one


def _give_back(taken: asyncio.Task[ModelServer]) -> None:
    if not taken.cancelled() and taken.exception() is None:
        taken.result().give_back()
