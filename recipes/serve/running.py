"""Which servers of this user run: each says so in a file of the store for as long as it lives, however it ends.

The kernel drops a server's lock with it, so a file without one means nothing. No key is written.
"""

from __future__ import annotations

import os
import signal
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

import msgspec

from recipes.core.errors import UsageError
from recipes.core.file_lock import hold_if_free, is_held
from recipes.core.filesystem import make_folders, open_to_write, read_no_link, storage_errors

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from recipes.store.store import Store

STOPS_S = 30.0
LOOK_S = 0.05


class RunningServer(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A server that answers: where, which models, by which llama.cpp, and what it needs of who asks."""

    base: str
    port: int
    pid: int  # of the session `serve`
    models: tuple[str, ...]
    title: str
    images: tuple[str, ...]  # those of the models that can be asked about images
    needs_key: bool

    @property
    def line(self) -> str:
        """What `serve -- --list` prints of it."""
        more = ", with a key" if self.needs_key else ""
        kinds = ("with images" if name in self.images else "text only" for name in self.models)
        models = "; ".join(f"{name}, {kind}" for name, kind in zip(self.models, kinds, strict=True))
        return f"{self.base}  {models}{more}  {self.title}  process {self.pid}"


@contextmanager
def announced(store: Store, server: RunningServer) -> Iterator[None]:
    """Say that a server runs until the block ends; raise a StoreError where that cannot be written."""
    folder = _folder(store)
    with storage_errors(folder):
        make_folders(folder)
    path = folder / f"{server.port}.json"
    with hold_if_free(path.with_suffix(".lock")) as is_ours:
        if not is_ours:  # another address has the same port, and is there first
            yield
            return
        with storage_errors(path):
            fresh = path.with_suffix(f".{os.getpid()}")
            with os.fdopen(open_to_write(fresh), "wb") as writing:
                writing.write(msgspec.json.encode(server))
            fresh.replace(path)
        try:
            yield
        finally:
            path.unlink(missing_ok=True)


def running_servers(store: Store) -> list[RunningServer]:
    """Return the servers that run, by their ports."""
    found = []
    for path in sorted(_folder(store).glob("*.json"), key=lambda path: (len(path.name), path.name)):
        if is_held(path.with_suffix(".lock")):
            try:
                found.append(msgspec.json.decode(read_no_link(path), type=RunningServer))
            except (OSError, msgspec.MsgspecError):
                continue  # it ended now, or another version of this wrote it
    return found


def named_server(servers: Sequence[RunningServer], port: int | None) -> RunningServer:
    """Return the server at a port, or the only one; a UsageError is raised where that is none. Pure."""
    if port is None and len(servers) == 1:
        return servers[0]
    for server in servers:
        if server.port == port:
            return server
    ports = ", ".join(str(server.port) for server in servers) or "none"
    raise UsageError(
        where="serve: --stop",
        expected="the port of a server that runs" if servers else "a server that runs",
        found=f"{'no port' if port is None else port}; running: {ports}",
        fix=f"--stop {servers[0].port}" if servers else "nothing is to be stopped; --list shows what runs",
    )


def stop(store: Store, server: RunningServer) -> bool:
    """Tell a server to end, and return whether it has."""
    lock = _folder(store) / f"{server.port}.lock"
    os.kill(server.pid, signal.SIGTERM)
    deadline = time.monotonic() + STOPS_S
    while is_held(lock):
        if time.monotonic() > deadline:
            return False
        time.sleep(LOOK_S)
    return True


def _folder(store: Store) -> Path:
    return store.root / "running"
