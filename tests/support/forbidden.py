"""What a build must not reach, made by a test for as long as it runs: files, sockets and a process with a secret."""

from __future__ import annotations

import os
import socket
import subprocess
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from recipes.build.toolchain.toolchain import RUNTIME_FLAGS
from tests.support.pinned_compiler import WrappedCompiler

if TYPE_CHECKING:
    from collections.abc import Iterator

PROBE = Path(__file__).with_name("escape_probe.c")


@dataclass(frozen=True)
class Forbidden:
    """The words that the probe is called with, and what would have been changed had it reached them."""

    words: tuple[str, ...]
    written: tuple[Path, ...]
    datagrams: socket.socket  # in a network of its own a program can send one, and it arrives nowhere

    def untouched(self) -> bool:
        with suppress(BlockingIOError):
            self.datagrams.recv(1)
            return False
        return not any(path.exists() for path in self.written)


@contextmanager
def forbidden(home: Path, store: Path) -> Iterator[Forbidden]:
    """Make a key in a home, sockets, and a process with a secret; `store` is a folder of the store."""
    (home / ".ssh").mkdir(parents=True)
    (home / ".ssh" / "id").write_text("a key")
    start_up, planted = home / ".profile", store / f"planted-{os.urandom(8).hex()}"
    kept = store / f"kept-{os.urandom(8).hex()}"
    kept.write_text("of another build")
    secret, name = f"secret-{os.urandom(8).hex()}", f"pinned-llama-{os.urandom(8).hex()}"
    with ExitStack() as stack:

        def listen(family: int, kind: int, address: str | tuple[str, int]) -> socket.socket:
            door = stack.enter_context(socket.socket(family, kind))
            door.bind(address)
            if kind == socket.SOCK_STREAM:
                door.listen()
            return door

        listen(socket.AF_UNIX, socket.SOCK_STREAM, str(home / "door"))
        listen(socket.AF_UNIX, socket.SOCK_STREAM, f"\0{name}")
        tcp = listen(socket.AF_INET, socket.SOCK_STREAM, ("127.0.0.1", 0)).getsockname()[1]
        datagrams = listen(socket.AF_INET, socket.SOCK_DGRAM, ("127.0.0.1", 0))
        datagrams.settimeout(0)
        other = stack.enter_context(
            subprocess.Popen(["/bin/sh", "-c", "read line"], stdin=subprocess.PIPE, env={"SECRET": secret})
        )
        stack.callback(other.kill)
        stack.callback(planted.unlink, missing_ok=True)
        stack.callback(kept.unlink)
        pairs = (
            ("read", home / ".ssh" / "id"),
            ("write", start_up),
            ("list", home),
            ("write", planted),
            ("read", kept),
            ("unix", home / "door"),
            ("abstract", name),
            ("tcp", tcp),
            ("udp", datagrams.getsockname()[1]),
            ("environ", secret),
            ("signal", other.pid),
        )
        yield Forbidden(tuple(str(word) for pair in pairs for word in pair), (start_up, planted), datagrams)


class LinuxCompiler(WrappedCompiler):
    """Compiles for this machine."""

    platform = "linux-x86_64-cpu"
    flags = RUNTIME_FLAGS
