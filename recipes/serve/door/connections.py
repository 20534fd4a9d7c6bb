"""The door's side of the network: connections that wait have a time and a number, and none keeps others out."""

from __future__ import annotations

from typing import TYPE_CHECKING

from aiohttp import web
from aiohttp.http import HttpProcessingError

from recipes.core.log import LOGGER

if TYPE_CHECKING:
    import asyncio
    import logging
    from collections.abc import Awaitable, Callable

    from aiohttp.web_protocol import RequestHandler

LINGER_S = 1.0  # how long what was refused is still read, so that its sender sees why
MOST_HEADERS = 64
MOST_LINE = 8190  # bytes of a header


def _is_ours(record: logging.LogRecord) -> bool:
    """Whether a record is of a fault of ours: a request that is none is its sender's, and has been answered."""
    return record.exc_info is None or not isinstance(record.exc_info[1], HttpProcessingError)


_LOGGER = LOGGER.getChild("door")
_LOGGER.addFilter(_is_ours)


class BoundedServer(web.Server):
    """An HTTP server with at most so many connections: a new one takes the place of the oldest that has asked nothing.

    `working` are the connections whose request has come in whole; they are never closed for others.
    """

    def __init__(
        self,
        handler: Callable[[web.BaseRequest], Awaitable[web.StreamResponse]],
        *,
        most: int,
        header_s: float,
    ) -> None:
        super().__init__(
            handler,
            handler_cancellation=True,  # who goes away is answered no more
            keepalive_timeout=header_s,
            lingering_time=LINGER_S,
            max_headers=MOST_HEADERS,
            max_line_size=MOST_LINE,
            max_field_size=MOST_LINE,
            auto_decompress=False,  # a body is judged as it came
            access_log=None,
            logger=_LOGGER,
        )
        self._most = most
        self.working: set[RequestHandler] = set()

    def connection_made(self, handler: RequestHandler, transport: asyncio.Transport) -> None:
        """Take a connection, and close another one if there are too many."""
        super().connection_made(handler, transport)
        if len(self.connections) > self._most:
            waiting = (one for one in self.connections if one not in self.working)
            next(waiting, handler).force_close()
