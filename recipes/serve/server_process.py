"""A llama-server as a process that can be ended and started again: each time at a new address that only we reach."""

from __future__ import annotations

import os
import secrets
import socket
import tempfile
import threading
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from recipes.core.filesystem import storage_errors
from recipes.core.process import Command, start
from recipes.serve.api_key import SERVER_VARIABLE
from recipes.serve.door.address import Address
from recipes.serve.llamacpp.listen_address import LOOPBACK, free_port

if TYPE_CHECKING:
    from collections.abc import Mapping

    from recipes.core.process import Running

LONGEST_SOCKET = 100  # bytes of its path; macOS allows 103


@dataclass(frozen=True)
class Service:
    """A llama-server to run for one model, healthy within `start_s` seconds.

    Its arguments are without host and port: it listens where only the door reaches it, on a unix socket if it can. The
    log is the file for its output.
    """

    model: str
    program: Path
    arguments: tuple[str, ...]
    start_s: float
    log: Path
    takes_sockets: bool = True
    environment: Mapping[str, str] = field(default_factory=dict)


class ServerProcess:
    """The process of a service, at most one at a time. One that has begun is ended with `end` at the latest."""

    def __init__(self, service: Service) -> None:
        self.service = service
        self.model, self.start_s = service.model, service.start_s
        self._stack = ExitStack()
        self._address: Address | None = None
        self._process: Running | None = None
        self._changing = threading.Lock()
        self._is_over = False

    @property
    def address(self) -> Address:
        """Where it listens since it was started last."""
        assert self._address is not None  # noqa: S101 - who asks for it has started it
        return self._address

    @property
    def process(self) -> Running:
        """What was started last."""
        assert self._process is not None  # noqa: S101 - who asks for it has started it
        return self._process

    @property
    def status(self) -> int | None:
        """How the last one ended (negative: the signal); None while it runs, or before there is one."""
        return self._process.status if self._process else None

    def start(self) -> None:
        """Start it, from a thread that lives as long as it; an OSError or StoreError is raised where it cannot be."""
        with self._changing:
            self._stack.close()
            if self._is_over:
                raise InterruptedError("the server is being ended")
            with storage_errors(self.service.log):
                self.service.log.parent.mkdir(parents=True, exist_ok=True)
                self.service.log.touch(mode=0o600)
            home = self._stack.enter_context(tempfile.TemporaryDirectory(prefix="pinned-llama-serve-"))
            self._address = private_address(Path(home), takes_sockets=self.service.takes_sockets)
            self._process = self._stack.enter_context(
                start(_command(self.service, self._address, home), self.service.log)
            )

    def is_alive(self) -> bool:
        """Whether it runs; what one that ended by itself left is cleared away."""
        # at once: its number may soon be another program's, which must not be ended for it
        if self._process is None:
            return False
        if self._process.status is None:
            return True
        self._stack.close()
        return False

    def end(self, *, for_good: bool = False) -> None:
        """End it and its children where it runs; after `for_good` none is started."""
        self._is_over = self._is_over or for_good
        with self._changing:
            self._stack.close()


def private_address(folder: Path, *, takes_sockets: bool) -> Address:
    """Return where a server listens that only the door shall reach: in a folder that only this user enters.

    Where that cannot be, on a port of loopback, with a key that is made for this run and told to nobody.
    """
    path = folder / "llama.sock"
    if takes_sockets and hasattr(socket, "AF_UNIX") and len(os.fsencode(path)) <= LONGEST_SOCKET:
        return Address(path)
    return Address(None, free_port(), secrets.token_urlsafe(32))


def _command(service: Service, address: Address, home: str) -> Command:
    where: tuple[str, ...] = ("--host", str(address.socket))
    if address.socket is None:
        where = ("--host", LOOPBACK, "--port", str(address.port))
    variables = {"HOME": home, "TMPDIR": home, "LC_ALL": "C", **service.environment}
    if address.api_key:
        variables[SERVER_VARIABLE] = address.api_key
    return Command((str(service.program), *where, *service.arguments), Path(home), variables)
