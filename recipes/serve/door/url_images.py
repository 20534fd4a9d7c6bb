"""Fetches an image that a request names by its address, where the user allowed that: from public addresses alone.

A name is resolved once, what it resolves to is judged, and exactly that is connected to; so a name cannot be public
when it is judged and private when it is used. Redirects are followed only within the same host.
"""

from __future__ import annotations

import asyncio
import ipaddress
import socket
from typing import TYPE_CHECKING

import aiohttp
from aiohttp.abc import AbstractResolver, ResolveResult
from yarl import URL

from recipes.serve.door.image_decode import MEGA
from recipes.serve.door.refusal import BAD_REQUEST, RefusedError

if TYPE_CHECKING:
    from collections.abc import Callable

MOST_BYTES = 32 * MEGA
FETCH_S = 20.0
MOST_REDIRECTS = 3
REDIRECTS = {301, 302, 303, 307, 308}
NAT64 = ipaddress.IPv6Network("64:ff9b::/96")  # an IPv4 address in the last 32 bits (RFC 6052)


class NotPublicError(OSError):
    """A name or an address leads to this machine, its network, or another that is not public."""


def is_public(text: str) -> bool:
    """Return whether an IP address is public, whatever other address is written within it. Pure.

    >>> is_public("93.184.215.14"), is_public("::ffff:127.0.0.1"), is_public("64:ff9b::a00:1")
    (True, False, False)
    """
    address = ipaddress.ip_address(text.partition("%")[0])
    if isinstance(address, ipaddress.IPv6Address):
        inner = address.ipv4_mapped or address.sixtofour or (address.teredo and address.teredo[1])
        if inner is None and address in NAT64:
            inner = ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
        if inner is not None and not is_public(str(inner)):
            return False
    return address.is_global and not address.is_multicast


class PublicResolver(AbstractResolver):
    """Resolves names, and refuses those of which any address fails a test."""

    def __init__(self, is_allowed: Callable[[str], bool] = is_public) -> None:
        self._is_allowed = is_allowed

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        """Return the addresses of a name; raise a NotPublicError unless all are allowed."""
        loop = asyncio.get_running_loop()
        found = await loop.getaddrinfo(host, port, family=family, type=socket.SOCK_STREAM)
        if not all(self._is_allowed(str(row[4][0])) for row in found):
            raise NotPublicError(f"{host} is not public")
        return [
            ResolveResult(hostname=host, host=str(row[4][0]), port=port, family=row[0], proto=row[2], flags=0)
            for row in found
        ]

    async def close(self) -> None:
        """Close nothing."""


async def fetch_image(
    address: str, where: str, *, is_allowed: Callable[[str], bool] = is_public, fetch_s: float = FETCH_S
) -> bytes:
    """Return the bytes at an http(s) address; a RefusedError is raised if they may not or cannot be had."""
    try:
        async with asyncio.timeout(fetch_s):
            return await _fetch(URL(address), is_allowed)
    except (aiohttp.ClientError, OSError, ValueError) as error:  # a TimeoutError is an OSError
        while error.__cause__ is not None and not isinstance(error, NotPublicError):
            error = error.__cause__  # type: ignore[assignment] # what aiohttp wraps
        said = str(error) or f"no answer within {fetch_s:g} s"
        raise RefusedError(BAD_REQUEST, f"'{where}' cannot be fetched: {said[:200]}", where) from error


async def _fetch(url: URL, is_allowed: Callable[[str], bool]) -> bytes:
    connector = aiohttp.TCPConnector(
        resolver=PublicResolver(is_allowed), use_dns_cache=False, force_close=True
    )
    async with aiohttp.ClientSession(connector=connector, trust_env=False, auto_decompress=False) as session:
        for _ in range(MOST_REDIRECTS + 1):
            _demand_address(url, is_allowed)
            async with session.get(url, allow_redirects=False) as answer:
                if answer.status in REDIRECTS:
                    url = _redirected(url, answer.headers.get("Location", ""))
                    continue
                if answer.status != 200:  # noqa: PLR2004 - OK
                    raise ValueError(f"its server answers with status {answer.status}")
                data = await answer.content.read(MOST_BYTES + 1)
                while len(data) <= MOST_BYTES and (more := await answer.content.read(MOST_BYTES)):
                    data += more
                if len(data) > MOST_BYTES:
                    raise ValueError(f"it has more than {MOST_BYTES // MEGA} MB")
                return data
    raise ValueError("it redirects too often")


def _demand_address(url: URL, is_allowed: Callable[[str], bool]) -> None:
    """Judge what no resolver is asked about: an address in digits, and what is no plain address of a page."""
    if url.scheme not in {"http", "https"} or not url.host or url.user or url.password:
        raise ValueError("only http and https, without a user name")
    try:
        ipaddress.ip_address(url.host.partition("%")[0])
    except ValueError:
        return
    if not is_allowed(url.host):
        raise NotPublicError(f"{url.host} is not public")


def _redirected(url: URL, location: str) -> URL:
    target = url.join(URL(location))
    if target.host != url.host or (url.scheme == "https" and target.scheme != "https"):
        raise ValueError("it redirects to another host")
    return target
