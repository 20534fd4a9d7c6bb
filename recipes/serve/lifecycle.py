"""Runs a llama-server on a pinned model while a block lasts, and says what became of it where it fails."""

from __future__ import annotations

import signal
import tempfile
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import requests

from recipes.core.errors import ApiKeyError, RecipeError, ServerEndedError, ServerSilentError
from recipes.core.filesystem import storage_errors
from recipes.serve.api_key import SERVER_VARIABLE
from recipes.serve.llamacpp.server import EndedError, Server, UnhealthyError, describe_status, serve, tail

if TYPE_CHECKING:
    from collections.abc import Iterator

LEAST_START_S = 120.0
SLOW_DISK = 50e6  # bytes a second, that a model is read with at worst
SIGNAL_STATUS = 128  # of shells: a program that a signal ended has this and the signal's number


@dataclass(frozen=True)
class Service:
    """What is run.

    Parameters
    ----------
    program
        llama-server.
    arguments
        Its arguments, without host and port.
    host, port
        Where it listens.
    start_s
        How long it may take until it is healthy, in seconds.
    log
        The file that gets what it prints.
    api_key
        What its clients must show; never printed.
    """

    program: Path
    arguments: tuple[str, ...]
    host: str
    port: int
    start_s: float
    log: Path
    api_key: str | None = field(default=None, repr=False)


@contextmanager
def serving(service: Service) -> Iterator[Server]:
    """Run it until the block ends.

    Raises
    ------
    ServerEndedError, ServerSilentError
        Where it does not come up; with the last lines of its log.
    ApiKeyError
        Where it answers those too that do not show the key.
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
                environment=secret,
            )
            with running as server:
                if service.api_key:
                    _demand_key_is_asked(server, service)
                yield server
        except EndedError as error:
            how, _, lines = str(error).partition("\n")
            raise ended_error(service, how.removeprefix("it ended with "), lines) from error
        except UnhealthyError as error:
            raise silent_error(service, str(error).partition("\n")[2]) from error


def start_seconds(size_bytes: int) -> float:
    """Say how long a server may take to load so many bytes, from a slow disk.

    >>> start_seconds(20_000_000_000)
    520.0
    """
    return LEAST_START_S + size_bytes / SLOW_DISK


def exit_code(status: int) -> int:
    """Give the exit code that tells how a program ended.

    >>> exit_code(0), exit_code(3), exit_code(-9)
    (0, 3, 137)
    """
    return status if status >= 0 else SIGNAL_STATUS - status


def ended(service: Service, status: int) -> ServerEndedError:
    """Give the error for a server that was healthy, and ended by itself."""
    return ended_error(service, describe_status(status), tail(service.log))


def ended_error(service: Service, how: str, lines: str) -> ServerEndedError:
    """Give the error for a server that ended: how, and the last lines of its log. Pure."""
    fix = f"read {service.log}"
    if how == f"signal {signal.SIGKILL:d}":
        fix = (
            "it was killed from outside: where the system had no memory left, its log says so (dmesg);\n"
            "then take a smaller --context, --text-only or a smaller --model"
        )
    return ServerEndedError(
        where=str(service.program),
        expected="a server that runs until it is told to end",
        found=f"{how}; the last lines of {service.log}:\n{lines}".rstrip(),
        fix=fix,
    )


def silent_error(service: Service, lines: str) -> RecipeError:
    """Give the error for a server that is not healthy in time, with the last lines of its log. Pure."""
    return ServerSilentError(
        where=str(service.program),
        expected=f"`ok` from /health within {service.start_s:g} s",
        found=f"it runs, and does not say so; the last lines of {service.log}:\n{lines}".rstrip(),
        fix=f"where the disk is that slow: --start-timeout {max(1, round(service.start_s * 4))}",
    )


def _demand_key_is_asked(server: Server, service: Service) -> None:
    """Demand that who shows no key is refused: a server that does not know the variable would serve everybody."""
    status = server.get("/props").status_code
    if status not in {requests.codes.unauthorized, requests.codes.forbidden}:
        raise ApiKeyError(
            where=str(service.program),
            expected="a server that refuses who does not show the key",
            found=f"status {status} from /props without it",
            fix=f"take a llama-server that knows {SERVER_VARIABLE}, as those of this project do",
        )
