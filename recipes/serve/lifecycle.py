"""Runs a llama-server on a pinned model for the length of a block; the errors say why it failed."""

from __future__ import annotations

import signal
import tempfile
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import requests

from recipes.core.errors import ApiKeyError, ServerEndedError, ServerSilentError
from recipes.core.filesystem import storage_errors
from recipes.serve.api_key import SERVER_VARIABLE
from recipes.serve.llamacpp.server import EndedError, Server, UnhealthyError, describe_status, serve, tail

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

LEAST_START_S = 120.0
SLOW_DISK = 50e6  # bytes a second, the slowest disk that a model is read from
SIGNAL_STATUS = 128  # a shell's exit code for a program that a signal ended is this plus the signal's number


@dataclass(frozen=True)
class Service:
    """A llama-server to run, healthy within `start_s` seconds. Its arguments are without host and port.

    The log is the file for its output. The key that its clients must send is never printed.
    """

    program: Path
    arguments: tuple[str, ...]
    host: str
    port: int
    start_s: float
    log: Path
    api_key: str | None = field(default=None, repr=False)
    environment: Mapping[str, str] = field(default_factory=dict)


@contextmanager
def serving(service: Service) -> Iterator[Server]:
    """Run the server until the block ends.

    If it does not start, a ServerEndedError or ServerSilentError is raised, with the last lines of its log; an
    ApiKeyError if it answers requests without the key.
    """
    with storage_errors(service.log):
        service.log.parent.mkdir(parents=True, exist_ok=True)
        service.log.touch(mode=0o600)
    secret = {SERVER_VARIABLE: service.api_key} if service.api_key else {}
    with tempfile.TemporaryDirectory(prefix="pinned-llama-serve-") as home:
        try:
            running = serve(
                service.program,
                service.arguments,
                Path(home),
                timeout_s=service.start_s,
                host=service.host,
                port=service.port,
                log=service.log,
                environment={**service.environment, **secret},
            )
            with running as server:
                if service.api_key:
                    _verify_key_is_required(server, service)
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


def _verify_key_is_required(server: Server, service: Service) -> None:
    """Demand that a request without the key is refused: a server that does not know the variable serves everybody."""
    status = server.get("/props").status_code
    if status not in {requests.codes.unauthorized, requests.codes.forbidden}:
        raise ApiKeyError(
            where=str(service.program),
            expected="a server that refuses requests without the key",
            found=f"status {status} from /props without it",
            fix=f"use a llama-server that supports {SERVER_VARIABLE}, such as this project's",
        )
