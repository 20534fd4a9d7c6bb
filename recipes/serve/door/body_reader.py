"""Reads the bodies of requests: each at most so large and never idle, and all together at most so many bytes."""

from __future__ import annotations

import asyncio

from aiohttp import web

from recipes.serve.door import refusal
from recipes.serve.door.options import MEBI
from recipes.serve.door.refusal import RefusedError

MOST_BODIES = 2  # of the largest size, in memory at a time: each is held several times, by llama-server too
BODY_S = 300.0


class BodyReader:
    """Reads bodies of at most `most` bytes, with at most `idle_s` seconds between two pieces."""

    def __init__(self, most: int, idle_s: float) -> None:
        self._most, self._idle_s = most, idle_s
        self._held = 0

    async def read(self, request: web.BaseRequest) -> bytes:
        """Return a request's body, whose bytes count until they are released.

        A RefusedError is raised if it is too large or too slow, or there is no room for it now.
        """
        if (request.content_length or 0) > self._most:
            raise self._too_large()
        if request.headers.get("Expect", "").lower() == "100-continue":
            await request.writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
            request.writer.output_size = 0
        data = bytearray()
        try:
            await self._read(request, data)
        except BaseException as error:
            self.release(len(data))
            if isinstance(error, web.RequestPayloadError):
                raise RefusedError(refusal.BAD_REQUEST, f"the body cannot be read: {error}") from error
            raise
        return bytes(data)

    def release(self, size: int) -> None:
        """Count so many bytes no more."""
        self._held -= size

    async def _read(self, request: web.BaseRequest, data: bytearray) -> None:
        try:
            async with asyncio.timeout(BODY_S):
                while True:
                    async with asyncio.timeout(self._idle_s):
                        piece = await request.content.readany()
                    if not piece:
                        return
                    data += piece
                    self._held += len(piece)
                    if len(data) > self._most:
                        raise self._too_large()
                    if self._held > MOST_BODIES * self._most:
                        raise RefusedError(refusal.BUSY, "too many large requests at a time: try again")
        except TimeoutError as error:
            raise RefusedError(refusal.TIMED_OUT, "the body comes too slowly") from error

    def _too_large(self) -> RefusedError:
        most = f"{self._most / MEBI:g} MB"
        return RefusedError(refusal.TOO_LARGE, f"the body has more than {most}; serve --max-body allows more")
