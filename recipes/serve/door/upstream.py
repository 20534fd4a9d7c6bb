"""The llama-server behind the door: how it is reached, what it says of itself, and what is passed to it and back."""

from __future__ import annotations

import asyncio
import json
from contextlib import suppress
from io import BytesIO
from typing import TYPE_CHECKING, Any

import aiohttp
from yarl import URL

from recipes.core.log import LOGGER

if TYPE_CHECKING:
    from collections.abc import Mapping

    from aiohttp import web

    from recipes.serve.door.address import Address

HEALTH_S = 1.0  # how long it may take to answer itself; then the process says how it is
CONNECT_S = 10.0
DRAIN_S = 60.0  # how long a client may read nothing
MOST_ERROR = 1 << 20  # bytes of an error that are read
# What belongs to one connection (RFC 9110, 7.6.1), and what the door itself has judged.
HOP_BY_HOP = {"connection", "keep-alive", "proxy-connection", "te", "trailer", "transfer-encoding", "upgrade"}
OURS = {"host", "origin", "referer", "cookie", "authorization", "x-api-key", "expect", "content-length"}
UNSET = ("User-Agent", "Accept", "Accept-Encoding", "Content-Type")  # aiohttp sets none of its own


class Upstream:
    """A llama-server, with a new connection for each request: one that idles would hold one of its threads."""

    def __init__(self, address: Address) -> None:
        self.is_ready = False  # it was healthy once
        self.slots: int | None = None
        self.videos: bool | None = None  # what it said: whether it reads videos
        self._address = address
        connector: aiohttp.BaseConnector
        if address.socket is None:
            connector = aiohttp.TCPConnector(force_close=True, limit=0)
        else:
            connector = aiohttp.UnixConnector(str(address.socket), force_close=True, limit=0)
        self._session = aiohttp.ClientSession(
            connector=connector,
            timeout=aiohttp.ClientTimeout(total=None, sock_connect=CONNECT_S),
            cookie_jar=aiohttp.DummyCookieJar(),
            auto_decompress=False,
            skip_auto_headers=UNSET,
            trust_env=False,
        )

    def request(
        self, method: str, path: str, headers: Mapping[str, str], body: bytes | None = None
    ) -> aiohttp.client._RequestContextManager:
        """Return what sends a request; the path is passed on as it was written."""
        own = {"Authorization": f"Bearer {self._address.api_key}"} if self._address.api_key else {}
        return self._session.request(
            method,
            URL(f"{self._address.base}{path}", encoded=True),
            headers={**headers, **own},
            data=BytesIO(body) if body else None,  # bytes would be written at once, whatever their size
            allow_redirects=False,
        )

    async def health(self) -> tuple[int, bytes] | None:
        """Return the status and body of its own /health; None where it does not answer."""
        try:
            async with asyncio.timeout(HEALTH_S), self.request("GET", "/health", {}) as answer:
                status, body = answer.status, await answer.read()
        except (aiohttp.ClientError, OSError):  # a TimeoutError too
            return None
        if status == 200 and not self.is_ready:  # noqa: PLR2004 - OK
            self.is_ready = True
            await self._read_properties()
        return status, body

    async def is_healthy(self) -> bool:
        """Whether its own /health says so."""
        await self.health()
        return self.is_ready

    async def models(self) -> list[dict[str, Any]]:
        """Return what /v1/models says of each model."""
        async with self.request("GET", "/v1/models", {}) as answer:
            listed: list[dict[str, Any]] = json.loads(await answer.read())["data"]
        return listed

    async def close(self) -> None:
        """Close all connections."""
        await self._session.close()

    async def _read_properties(self) -> None:
        with suppress(aiohttp.ClientError, OSError, ValueError, LookupError, TypeError):
            async with asyncio.timeout(HEALTH_S), self.request("GET", "/props", {}) as answer:
                said = json.loads(await answer.read())
                self.slots = int(said["total_slots"])
                self.videos = said.get("modalities", {}).get("video") is True  # an older one does not name it


def passed_on(request: web.BaseRequest) -> dict[str, str]:
    """Return the headers of a request that the server sees."""
    return {
        name: value
        for name, value in request.headers.items()
        if name.lower() not in HOP_BY_HOP | OURS and not name.lower().startswith(("sec-", "content-"))
    }


def passed_back(headers: Mapping[str, str]) -> dict[str, str]:
    """Return the headers of the server's answer that the client sees."""
    return {
        name: value
        for name, value in headers.items()
        if name.lower() not in HOP_BY_HOP and not name.lower().startswith("access-control-")
    }


async def read_error(got: aiohttp.ClientResponse) -> bytes:
    """Return the body of an error, which may come in pieces; at most so much of it as any has."""
    text = b""
    while len(text) < MOST_ERROR and (piece := await got.content.read(MOST_ERROR - len(text))):
        text += piece
    return text


async def stream_back(
    got: aiohttp.ClientResponse, response: web.StreamResponse, request: web.BaseRequest
) -> None:
    """Pass an answer back as it comes; where it breaks off, so does ours, and nobody takes it for whole."""
    try:
        async for piece in got.content.iter_any():
            async with asyncio.timeout(DRAIN_S):
                await response.write(piece)
        async with asyncio.timeout(DRAIN_S):
            await response.write_eof()
    except (aiohttp.ClientError, OSError) as error:  # a TimeoutError too
        LOGGER.info("an answer is cut: %s", type(error).__name__)
        if request.transport is not None:
            request.transport.abort()
