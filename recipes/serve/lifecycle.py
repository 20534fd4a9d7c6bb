"""Runs a llama-server on a pinned model, behind the door, for the length of a block; the errors say why it failed."""

from __future__ import annotations

import signal
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

import requests

from recipes.core.errors import ApiKeyError, ServerEndedError, ServerSilentError
from recipes.serve.api_key import SERVER_VARIABLE
from recipes.serve.llamacpp.listen_address import address_errors
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
from recipes.serve.server_process import ServerProcess, Service

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from recipes.serve.door.options import DoorOptions

LEAST_START_S = 120.0
SLOW_DISK = 50e6  # bytes a second, the slowest disk that a model is read from
GONE_S = 5.0  # how long a server that hung up may take to be gone
SIGNAL_STATUS = 128  # a shell's exit code for a program that a signal ended is this plus the signal's number


@dataclass(frozen=True)
class Serving:
    """What runs: the address that clients ask, and the servers behind it, the default one first."""

    base: str
    processes: tuple[ServerProcess, ...]

    def wait(self, timeout_s: float | None = None) -> int | None:
        """Return the status of the server once it ends, None where it runs on after so many seconds.

        Of several none is waited for: each is started again when it is asked for.
        """
        if len(self.processes) > 1:
            threading.Event().wait(timeout_s)
            return None
        return self.processes[0].process.wait(timeout_s)

    def end(self) -> int:
        """End all servers, and start none any more; return the status of the only one, 0 for several."""
        with ThreadPoolExecutor() as pool:
            list(pool.map(lambda process: process.end(for_good=True), self.processes))
        return (self.processes[0].status or 0) if len(self.processes) == 1 else 0


@contextmanager
def serving(services: Sequence[Service], options: DoorOptions) -> Iterator[Serving]:
    """Run the first server and the door until the block ends; the door starts the others when they are asked for.

    If the first one does not start, a ServerEndedError or ServerSilentError is raised, with the last lines of its log;
    an AddressError if the address is taken; an ApiKeyError if it answers requests without the door's key.
    """
    wanted = options.admission
    running = Serving(base_url(wanted.host, wanted.port), tuple(map(ServerProcess, services)))
    first, service = running.processes[0], services[0]
    try:
        first.start()
        from recipes.serve.door.door import door, listen  # it loads while the server does

        with address_errors(wanted.host, wanted.port):
            listener = listen(wanted.host, wanted.port)
        with listener, door(listener, options, running.processes):
            wait_for_health(Server(running.base, first.process, service.log), service.start_s)
            if first.address.api_key:
                _verify_key_is_required(first)
            yield running
    except EndedError as error:
        raise ended(service, error.status) from error
    except UnhealthyError as error:
        raise ServerSilentError(
            where=str(service.program),
            expected=f"`ok` from /health within {service.start_s:g} s",
            found=f"it runs, but is not healthy; {_last_lines(service)}",
            fix=f"if the disk is that slow: --start-timeout {max(1, round(service.start_s * 4))}",
        ) from error
    finally:
        running.end()


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


def _verify_key_is_required(running: ServerProcess) -> None:
    """Demand that a request without the key is refused: a server that does not know the variable serves everybody."""
    service = running.service
    try:
        with local_session() as session:
            status = session.get(f"{running.address.base}/props", timeout=service.start_s).status_code
    except requests.RequestException as error:
        gone = running.process.wait(GONE_S)
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
