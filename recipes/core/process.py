"""The only wrapper around subprocess.

A program gets exactly the environment it is given, no standard input, a process group of its own, and it is
ended with all its children when the user interrupts.
"""

from __future__ import annotations

import ctypes
import os
import shlex
import signal
import subprocess
import sys
import threading
from collections import deque
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from typing import IO, TYPE_CHECKING, Protocol

from recipes.core.filesystem import open_no_link, open_to_write, storage_errors
from recipes.core.log import LOGGER

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from pathlib import Path

TAIL_LINES = 40  # what an error shows of a failed program's output
GRACE_S = 5.0  # between asking a program to end and ending it
DEATH_SIGNAL = 1  # PR_SET_PDEATHSIG of Linux's prctl
ENDINGS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)  # what ends us


@dataclass(frozen=True)
class Command:
    """What to start: a program and its arguments, never a shell line, and its whole environment."""

    argv: tuple[str, ...]
    cwd: Path
    env: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Completed:
    """What came of it: the exit status (negative: the signal), and the last lines it printed."""

    status: int
    tail: tuple[str, ...]

    @property
    def text(self) -> str:
        """The last lines as one text."""
        return "\n".join(self.tail)


class Runner(Protocol):
    """How a command is run: `run`, or a test's stand-in."""

    def __call__(
        self, command: Command, *, log: Path | None = None, on_line: Callable[[str], None] | None = None
    ) -> Completed:
        """Run the command to its end."""


def run(
    command: Command,
    *,
    log: Path | None = None,
    on_line: Callable[[str], None] | None = None,
    umask: int = -1,
) -> Completed:
    """Run a command to its end, standard output and error together; umask -1 keeps ours.

    Raises OSError where the program cannot be started, and StoreError where the log cannot be written; then it was
    ended.
    """
    tail: deque[str] = deque(maxlen=TAIL_LINES)
    with _open(command, subprocess.PIPE, subprocess.STDOUT, umask=umask) as process:
        assert process.stdout is not None  # noqa: S101 - PIPE was asked for; tells the type checker
        _read(process.stdout, tail, log, on_line)
        status = process.wait()
    return Completed(status, tuple(tail))


@dataclass(frozen=True)
class Captured:
    """What a program answered: the exit status (negative: the signal), standard output and standard error."""

    status: int
    out: str
    err: str


def capture(command: Command, timeout_s: float, text: str | None = None) -> Captured:
    """Run a command to its end, and return what it printed; `text` is its standard input.

    Raises TimeoutError where it took longer and was ended, and OSError where it cannot be started.
    """
    source = subprocess.DEVNULL if text is None else subprocess.PIPE
    with _open(command, subprocess.PIPE, subprocess.PIPE, source=source) as process:
        try:
            out, err = process.communicate(text, timeout=timeout_s)
        except subprocess.TimeoutExpired as error:
            reason = f"{command.argv[0]} did not end within {timeout_s:g} s"
            raise TimeoutError(reason) from error
    return Captured(process.returncode, out, err)


class Running:
    """A program that was started and not waited for."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process

    @property
    def status(self) -> int | None:
        """The exit status (negative: the signal), or None while it runs."""
        return self._process.poll()

    @property
    def pid(self) -> int:
        """The process id."""
        return self._process.pid

    def wait(self, timeout_s: float | None = None) -> int | None:
        """Wait for its end; return the exit status, or None where it runs on after that many seconds."""
        try:
            return self._process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            return None

    def end(self) -> int:
        """Ask it to end, with its children, and make it where it does not; return the exit status."""
        _end_group(self._process)
        return self._process.wait()


class Piped:
    """A program that is asked on its standard input and answers on its standard output; it ends when the input does."""

    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        assert process.stdin is not None  # noqa: S101 - PIPE was asked for; tells the type checker
        assert process.stdout is not None  # noqa: S101
        self._process = process
        self.input: IO[bytes] = process.stdin
        self.output: IO[bytes] = process.stdout

    @property
    def pid(self) -> int:
        """The process id."""
        return self._process.pid

    @property
    def computed_s(self) -> float:
        """The processor time that it has taken, in seconds; 0 where it is gone."""
        import psutil

        try:
            taken = psutil.Process(self.pid).cpu_times()
        except psutil.Error:
            return 0.0
        return float(taken.user + taken.system)

    def end(self) -> int:
        """End it at once, whatever it does; return the exit status (negative: the signal)."""
        self._process.kill()
        status = self._process.wait()
        for stream in (self.input, self.output):
            with suppress(OSError):  # what was not sent is lost
                stream.close()
        return status


def pipe(command: Command) -> Piped:
    """Start a program that ends with its input, on any operating system. Raises OSError where it cannot be started."""
    LOGGER.debug("run %s in %s", shlex.join(command.argv), command.cwd)
    return Piped(
        subprocess.Popen(
            command.argv,
            cwd=command.cwd,
            env=dict(command.env),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            start_new_session=True,  # a terminal's Ctrl-C is not for it
        )
    )


@contextmanager
def start(command: Command, log: Path) -> Iterator[Running]:
    """Start a program that ends with the block at the latest, with all its children.

    On Linux it also ends where this process is killed and cannot clean up any more; so call this from a thread that
    lives as long as the program shall run. Raises OSError where it cannot be started.
    """
    with storage_errors(log):
        opened = os.fdopen(open_to_write(log), "wb")
    with opened as file, _open(command, file, subprocess.STDOUT, prepare=_dies_with(os.getpid())) as process:
        yield Running(process)
        _end_group(process)


@contextmanager
def _open(  # noqa: PLR0913 - one program's whole environment
    command: Command,
    out: int | IO[bytes],
    err: int,
    *,
    source: int = subprocess.DEVNULL,
    umask: int = -1,
    prepare: Callable[[], None] | None = None,
) -> Iterator[subprocess.Popen[str]]:
    """Start a program; where the block is left by an exception, the program and its children are ended."""
    LOGGER.debug("run %s in %s", shlex.join(command.argv), command.cwd)  # no environment: keys are there
    release = _hold_endings()
    try:
        process = subprocess.Popen(
            command.argv,
            cwd=command.cwd,
            env=dict(command.env),
            stdin=source,
            stdout=out,
            stderr=err,
            text=True,
            errors="replace",
            start_new_session=True,
            umask=umask,
            preexec_fn=prepare,  # noqa: PLW1509 - it calls nothing that takes a lock
        )
    except BaseException:
        release()
        raise
    with process:
        try:
            release()
            yield process
        except BaseException:
            _end_group(process)
            raise


def _hold_endings() -> Callable[[], None]:
    """Hold back the signals that end us, and return what lets them through.

    While a program is started there is nothing yet to end it with. Not by a mask, which holds for one thread: the
    kernel gives a signal to any, and Python handles it in the main one.
    """
    if threading.current_thread() is not threading.main_thread():
        return lambda: None
    came: list[int] = []
    before = {
        number: signal.signal(number, lambda number, _: came.append(number))
        for number in ENDINGS
        if signal.getsignal(number) is not signal.SIG_IGN
    }

    def release() -> None:
        for number, handler in before.items():
            signal.signal(number, handler)
        for held in came:
            signal.raise_signal(held)

    return release


def _dies_with(parent: int) -> Callable[[], None] | None:
    """Return what ends a new program with its parent, for before it starts; None where the system has no such thing."""
    if not sys.platform.startswith("linux"):
        return None
    prctl = ctypes.CDLL(None).prctl  # found before the fork

    def prepare() -> None:
        prctl(DEATH_SIGNAL, signal.SIGKILL)
        if os.getppid() != parent:  # it was killed in between
            os._exit(1)

    return prepare


def _read(stream: IO[str], tail: deque[str], log: Path | None, on_line: Callable[[str], None] | None) -> None:
    with ExitStack() as stack:
        file = None
        if log:
            with storage_errors(log):
                opened = open_no_link(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
                file = stack.enter_context(os.fdopen(opened, "ab", buffering=0))
        for line in stream:
            text = line.rstrip("\n")
            tail.append(text)
            if log and file:
                with storage_errors(log):
                    file.write(f"{text}\n".encode())
            if on_line:
                on_line(text)


def _end_group(process: subprocess.Popen[str]) -> None:
    """End a program and its children: asked first, then made to."""
    for number in (signal.SIGTERM, signal.SIGKILL):
        try:
            os.killpg(process.pid, number)
        except ProcessLookupError:
            return
        try:
            process.wait(GRACE_S)
        except subprocess.TimeoutExpired:
            continue
        return
