"""Where a server may listen: an address of this machine, and a free port."""

from __future__ import annotations

import errno
import ipaddress
import socket
from contextlib import contextmanager
from typing import TYPE_CHECKING

from recipes.core.errors import AddressError, UsageError

if TYPE_CHECKING:
    from collections.abc import Iterator

LOOPBACK = "127.0.0.1"
NAMES = {"localhost": LOOPBACK}
PORT = 8080  # llama-server's own default
LAST_PORT = 65535


def parse_host(text: str) -> str:
    """Return the IP address that a user named; a UsageError is raised if it is none.

    >>> parse_host("localhost"), parse_host("::1")
    ('127.0.0.1', '::1')
    """
    host = NAMES.get(text, text)
    try:
        return str(ipaddress.ip_address(host))
    except ValueError:
        raise UsageError(
            where="--host",
            expected=f"an IP address of this machine: {LOOPBACK}, or 0.0.0.0 for all of them",
            found=repr(text),
            fix=f"--host {LOOPBACK}",
        ) from None


def is_loopback(host: str) -> bool:
    """Return whether only this machine reaches an IP address."""
    return ipaddress.ip_address(host).is_loopback


def demand_free(host: str, port: int) -> None:
    """Demand that a server can listen on a port now.

    It is asked before anything that takes long. The fix of the AddressError names a free port; a UsageError is raised
    if there is no such port.
    """
    if not 0 < port <= LAST_PORT:
        raise UsageError(where="--port", expected=f"1 to {LAST_PORT}", found=str(port), fix=f"--port {PORT}")
    with address_errors(host, port):
        _listen(host, port)


@contextmanager
def address_errors(host: str, port: int) -> Iterator[None]:
    """Turn the OSError of who listens on an address into an AddressError."""
    try:
        yield
    except OSError as error:
        match error.errno:
            case errno.EADDRINUSE:
                found, fix = (
                    "the port is in use",
                    f"--port {free_port(host)}, or end the program that uses it",
                )
            case errno.EACCES | errno.EPERM:
                found, fix = "permission denied: low ports are for the administrator", f"--port {PORT}"
            case errno.EADDRNOTAVAIL | errno.EAFNOSUPPORT:
                found, fix = "this machine has no such address", f"--host {LOOPBACK}"
            case _:
                found, fix = error.strerror or str(error), f"--host {LOOPBACK} --port {PORT}"
        expected = "an address of this machine with a free port"
        where = f"{host} port {port}"
        raise AddressError(where=where, expected=expected, found=found, fix=fix) from error


def _listen(host: str, port: int) -> int:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family) as probe:
        # otherwise the port of a server that just ended is still in use
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        probe.bind((host, port))
        probe.listen(1)
        number: int = probe.getsockname()[1]
        return number


def free_port(host: str = LOOPBACK) -> int:
    """Return a port that was free a moment ago."""
    return _listen(host, 0)
