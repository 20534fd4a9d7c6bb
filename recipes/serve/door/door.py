"""Opens the door: listens in a thread of its own while a block runs, in front of llama-servers."""

from __future__ import annotations

import asyncio
import socket
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING

from aiohttp import web

from recipes.serve.door.connections import BoundedServer
from recipes.serve.door.front import Front

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from recipes.serve.door.model_servers import Process
    from recipes.serve.door.options import DoorOptions

BACKLOG = 128  # connections that wait in the system
CLOSE_S = 1.0  # how long an answer may still take when the door closes


def listen(host: str, port: int) -> socket.socket:
    """Listen on an IP address, on IPv4 too for `::`. An OSError is raised if that cannot be had."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    both = host == "::" and socket.has_dualstack_ipv6()
    return socket.create_server((host, port), family=family, backlog=BACKLOG, dualstack_ipv6=both)


@contextmanager
def door(listener: socket.socket, options: DoorOptions, processes: Sequence[Process]) -> Iterator[None]:
    """Answer at a listening socket until the block ends; of the servers behind, the first was started."""
    running = _Running(listener, options, processes)
    thread = threading.Thread(target=running.run, name="door", daemon=True)
    thread.start()
    try:
        running.opened.wait()
        if running.error is not None:
            raise running.error
        yield
    finally:
        running.close()
        thread.join()


class _Running:
    """What the door's thread runs."""

    def __init__(self, listener: socket.socket, options: DoorOptions, processes: Sequence[Process]) -> None:
        self.opened = threading.Event()
        self.error: BaseException | None = None
        self._what = (listener, options, processes)
        self._loop: asyncio.AbstractEventLoop | None = None
        self._end: asyncio.Event | None = None

    def run(self) -> None:
        try:
            asyncio.run(self._serve(*self._what))
        except BaseException as error:  # noqa: BLE001 - it is raised where the door was opened
            self.error = error
        finally:
            self.opened.set()

    def close(self) -> None:
        if self._loop is not None and self._end is not None and not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._end.set)

    async def _serve(
        self, listener: socket.socket, options: DoorOptions, processes: Sequence[Process]
    ) -> None:
        self._loop, self._end = asyncio.get_running_loop(), asyncio.Event()
        front = Front(options, processes)
        front.server = BoundedServer(front.answer, most=options.most_connections, header_s=options.header_s)
        runner = web.ServerRunner(front.server, shutdown_timeout=CLOSE_S)
        await runner.setup()
        warming = asyncio.create_task(front.pool.warm())
        try:
            await web.SockSite(runner, listener, backlog=BACKLOG).start()
            self.opened.set()
            await self._end.wait()
        finally:
            await runner.cleanup()
            await asyncio.gather(warming, return_exceptions=True)
            front.pool.close()
            await front.servers.close()
