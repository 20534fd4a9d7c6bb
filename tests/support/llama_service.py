"""Starts the session `serve` as a user does, and looks at what runs."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from recipes.manifest.load import PROJECT
from tests.support.signals import end_on_signals

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

PICTURE = PROJECT / "docs" / "assets" / "shapes.png"
QUESTION, ANSWER = "What colour is the ring?", "green"
RECIPES = (sys.executable, "-m", "recipes")
ENDS_S = 60.0


def run(*words: str | Path, env: Mapping[str, str] | None = None) -> subprocess.CompletedProcess[str]:
    """Run a session to its end."""
    return subprocess.run(
        (*RECIPES, *map(str, words)),
        cwd=PROJECT,
        env={**os.environ, **(env or {})},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=120,
    )


def unused_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@dataclass
class Service:
    """A session `serve` that has said where it is."""

    process: subprocess.Popen[str]
    lines: list[str]
    server_pid: int

    @property
    def base(self) -> str:
        return next(line for line in self.lines if line.startswith("page:")).split()[1]

    def end(self, number: int) -> tuple[int, str, str]:
        """Send a signal, and give the exit code and what was still printed."""
        self.process.send_signal(number)
        out, err = self.process.communicate(timeout=ENDS_S)
        return self.process.returncode, out, err


def is_running(pid: int) -> bool:
    """Whether there is such a process, as /proc says: a dead one that nobody waited for is not counted."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8")
    except (FileNotFoundError, ProcessLookupError):
        return False
    return stat.rpartition(")")[2].split()[0] not in {"Z", "X"}


def children(pid: int) -> list[int]:
    found = Path(f"/proc/{pid}/task/{pid}/children").read_text(encoding="ascii")
    return [int(word) for word in found.split()]


def descendants(pid: int) -> list[int]:
    return [one for child in children(pid) for one in (child, *descendants(child))]


def is_server(pid: int) -> bool:
    return b"llama-server" in Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")[0]


@contextmanager
def service(
    *words: str | Path, argv: tuple[str, ...] = RECIPES, env: Mapping[str, str] | None = None
) -> Iterator[Service]:
    """Start it, and wait until it has said all that it says."""
    command = (*argv, *([] if "serve" in argv else ["serve"]), *map(str, words))
    with subprocess.Popen(
        command,
        cwd=PROJECT,
        env={**os.environ, **(env or {})},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=end_on_signals,  # noqa: PLW1509 - the tests run no thread
    ) as process:
        try:
            assert process.stdout is not None
            lines = []
            for line in process.stdout:
                lines.append(line.rstrip("\n"))
                if re.match(r"Ctrl-C", line):
                    break
            else:
                assert process.stderr is not None
                raise AssertionError(process.stderr.read())
            (server,) = (pid for pid in descendants(process.pid) if is_server(pid))
            yield Service(process, lines, server)
        finally:
            if process.poll() is None:
                process.send_signal(signal.SIGTERM)
                process.communicate(timeout=ENDS_S)
