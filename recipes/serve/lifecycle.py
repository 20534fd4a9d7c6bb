"""Runs a llama-server on a pinned model, behind the door, for the length of a block; the errors say why it failed."""

from __future__ import annotations

import os
import secrets
import signal
import socket
import tempfile
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import requests

from recipes.core.errors import ApiKeyError, ServerEndedError, ServerSilentError
from recipes.core.filesystem import storage_errors
from recipes.core.process import Command, start
from recipes.serve.api_key import SERVER_VARIABLE
from recipes.serve.door.address import Address
from recipes.serve.llamacpp.listen_address import LOOPBACK, address_errors, free_port
from recipes.serve.llamacpp.server import (
    EndedError,
    Server,
    UnhealthyError,
    base_url,
    describe_status,
    local_session,
    tail,
    wait_for_health,
)

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from recipes.core.process import Running
    from recipes.serve.door.options import DoorOptions

LEAST_START_S = 120.0
SLOW_DISK = 50e6  # bytes a second, the slowest disk that a model is read from
GONE_S = 5.0  # how long a server that hung up may take to be gone
LONGEST_SOCKET = 100  # bytes of its path; macOS allows 103
SIGNAL_STATUS = 128  # a shell's exit code for a program that a signal ended is this plus the signal's number


@dataclass(frozen=True)
class Service:
    """A llama-server to run, healthy within `start_s` seconds, and the door in front of it.

    Its arguments are without host and port: it listens where only the door reaches it, on a unix socket if it can. The
    log is the file for its output.
    """

    program: Path
    arguments: tuple[str, ...]
    door: DoorOptions
    start_s: float
    log: Path
    takes_sockets: bool = True
    environment: Mapping[str, str] = field(default_factory=dict)


@contextmanager
def serving(service: Service) -> Iterator[Server]:
    """Run the server and the door until the block ends; the server's base URL is the door's.

    If it does not start, a ServerEndedError or ServerSilentError is raised, with the last lines of its log; an
    AddressError if the address is taken; an ApiKeyError if it answers requests without the door's key.
    """
    with storage_errors(service.log):
        service.log.parent.mkdir(parents=True, exist_ok=True)
        service.log.touch(mode=0o600)
    with tempfile.TemporaryDirectory(prefix="pinned-llama-serve-") as home:
        address = private_address(Path(home), takes_sockets=service.takes_sockets)
        try:
            with start(_command(service, address, home), service.log) as process:
                from recipes.serve.door.door import door, listen  # it loads while the server does

                wanted = service.door.admission
                with address_errors(wanted.host, wanted.port):
                    listener = listen(wanted.host, wanted.port)
                with listener, door(listener, service.door, address, lambda: process.status is None):
                    server = Server(base_url(wanted.host, wanted.port), process, service.log)
                    wait_for_health(server, service.start_s)
                    if address.api_key:
                        _verify_key_is_required(address, service, process)
                    yield server
        except EndedError as error:
            raise ended(service, error.status) from error
        except UnhealthyError as error:
            raise ServerSilentError(
                where=str(service.program),
                expected=f"`ok` from /health within {service.start_s:g} s",
                found=f"it runs, but is not healthy; {_last_lines(service)}",
                fix=f"if the disk is that slow: --start-timeout {max(1, round(service.start_s * 4))}",
            ) from error


def private_address(folder: Path, *, takes_sockets: bool) -> Address:
    """Return where a server listens that only the door shall reach: in a folder that only this user enters.

    Where that cannot be, on a port of loopback, with a key that is made for this run and told to nobody.
    """
    path = folder / "llama.sock"
    if takes_sockets and hasattr(socket, "AF_UNIX") and len(os.fsencode(path)) <= LONGEST_SOCKET:
        return Address(path)
    return Address(None, free_port(), secrets.token_urlsafe(32))


def start_seconds(size_bytes: int) -> float:
    """Return the seconds that a server may take to load so many bytes from a slow disk.

    >>> start_seconds(20_000_000_000)
    520.0
    """
    return LEAST_START_S + size_bytes / SLOW_DISK


def exit_code(status: int) -> int:
    """Return the exit code for a program's status, which is negative if a signal ended it.

    >>> exit_code(0), exit_code(3), exit_code(-9)
    (0, 3, 137)
    """
    return status if status >= 0 else SIGNAL_STATUS - status


def ended(service: Service, status: int) -> ServerEndedError:
    """Return the error for a server that ended by itself."""
    fix = f"read {service.log}"
    if status == -signal.SIGKILL:
        fix = (
            "another process killed it. If the system had no memory left, its log (dmesg) says so:\n"
            "use a smaller --context, --text-only or a smaller --model"
        )
    return ServerEndedError(
        where=str(service.program),
        expected="a server that runs until it is told to stop",
        found=f"{describe_status(status)}; {_last_lines(service)}",
        fix=fix,
    )


def _last_lines(service: Service) -> str:
    return f"the last lines of {service.log}:\n{tail(service.log)}".rstrip()


def _verify_key_is_required(address: Address, service: Service, process: Running) -> None:
    """Demand that a request without the key is refused: a server that does not know the variable serves everybody."""
    try:
        with local_session() as session:
            status = session.get(f"{address.base}/props", timeout=service.start_s).status_code
    except requests.RequestException as error:
        gone = process.wait(GONE_S)
        if gone is not None:
            raise EndedError(gone, service.log) from error
        raise UnhealthyError(f"it does not answer: {type(error).__name__}") from error
    if status not in {requests.codes.unauthorized, requests.codes.forbidden}:
        raise ApiKeyError(
            where=str(service.program),
            expected="a server that refuses requests without the key",
            found=f"status {status} from /props without it",
            fix=f"use a llama-server that supports {SERVER_VARIABLE}, such as this project's",
        )


def _command(service: Service, address: Address, home: str) -> Command:
    where: tuple[str, ...] = ("--host", str(address.socket))
    if address.socket is None:
        where = ("--host", LOOPBACK, "--port", str(address.port))
    variables = {"HOME": home, "TMPDIR": home, "LC_ALL": "C", **service.environment}
    if address.api_key:
        variables[SERVER_VARIABLE] = address.api_key
    return Command((str(service.program), *where, *service.arguments), Path(home), variables)
