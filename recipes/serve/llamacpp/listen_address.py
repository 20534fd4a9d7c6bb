"""Where a server may listen: an address of this machine, and a port that nobody has."""

from __future__ import annotations

import errno
import ipaddress
import socket

from recipes.core.errors import AddressError, UsageError

LOOPBACK = "127.0.0.1"
NAMES = {"localhost": LOOPBACK}
PORT = 8080  # llama-server's own default
LAST_PORT = 65535


def parse_host(text: str) -> str:
    """Give the IP address of what a user wrote.

    >>> parse_host("localhost"), parse_host("::1")
    ('127.0.0.1', '::1')

    Raises
    ------
    UsageError
        Where it is none.
    """
    host = NAMES.get(text, text)
    try:
        return str(ipaddress.ip_address(host))
    except ValueError:
        raise UsageError(
            where="--host",
            expected=f"an IP address of this machine, as {LOOPBACK} or 0.0.0.0 for all of them",
            found=repr(text),
            fix=f"--host {LOOPBACK}",
        ) from None


def is_loopback(host: str) -> bool:
    """Whether only this machine reaches an IP address."""
    return ipaddress.ip_address(host).is_loopback


def demand_free(host: str, port: int) -> None:
    """Demand that a server can listen there; a moment later another one might have come.

    llama-server itself shares a port with another one that allows it, and half of the questions go astray.

    Raises
    ------
    AddressError
        Where it cannot, with a port that is free.
    """
    where = f"{host} port {port}"
    if not 0 < port <= LAST_PORT:
        raise UsageError(where="--port", expected=f"1 to {LAST_PORT}", found=str(port), fix=f"--port {PORT}")
    try:
        _listen(host, port)
    except OSError as error:
        match error.errno:
            case errno.EADDRINUSE:
                found, fix = (
                    "another program listens there",
                    f"--port {_other_port(host)}, or end that program",
                )
            case errno.EACCES | errno.EPERM:
                found, fix = "this user may not: low ports are the administrator's", f"--port {PORT}"
            case errno.EADDRNOTAVAIL | errno.EAFNOSUPPORT:
                found, fix = "this machine has no such address", f"--host {LOOPBACK}"
            case _:
                found, fix = error.strerror or str(error), f"--host {LOOPBACK} --port {PORT}"
        raise AddressError(
            where=where, expected="an address of this machine with a free port", found=found, fix=fix
        ) from error


def _listen(host: str, port: int) -> int:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family) as probe:
        probe.setsockopt(
            socket.SOL_SOCKET, socket.SO_REUSEADDR, 1
        )  # else a server that just ended is in the way
        probe.bind((host, port))
        probe.listen(1)
        number: int = probe.getsockname()[1]
        return number


def _other_port(host: str) -> int:
    return _listen(host, 0)
