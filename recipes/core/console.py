"""What a person sees while something runs: lines, warnings and progress.

On a terminal, bars (rich); elsewhere plain lines, a few per task. What is done within two seconds shows no progress.
NO_COLOR is honoured. Everything goes to standard error, so that what a command answers on standard output can be piped.
"""

from __future__ import annotations

import sys
import threading
import time
from contextlib import AbstractContextManager, contextmanager, suppress
from typing import TYPE_CHECKING, Protocol, TextIO

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from rich.progress import Progress, TaskID

SHOWN_AFTER_S = 2.0  # progress of less than this is not worth a line
QUIET_STEP = 0.25  # a plain task says how far it is at each quarter
LARGE_BYTES, LARGE_STEP = 10**9, 0.05  # one of gigabytes more often: a quarter of it can take hours


class Task(Protocol):
    """Something that takes time and knows how much of it is done."""

    def advance(self, amount: int) -> None:
        """Report that `amount` more units (bytes or steps) are done."""

    def position(self, done: int) -> None:
        """Report that `done` units are done in all, as a resumed or restarted download does."""


class Console(Protocol):
    """Where the stages report to; tests pass `Silent`."""

    def say(self, text: str) -> None:
        """One line that a person may want to read."""

    def warn(self, text: str) -> None:
        """One line that a person should read."""

    def task(self, title: str, total: int | None, unit: str = "B") -> AbstractContextManager[Task]:
        """Start a task of `total` units; the unit is "B" for bytes, else the plural of what is counted."""


class _NoTask:
    def advance(self, amount: int) -> None:
        pass

    def position(self, done: int) -> None:
        pass


class Silent:
    """A console that shows nothing."""

    def say(self, text: str) -> None:
        """Say nothing."""

    def warn(self, text: str) -> None:
        """Say nothing."""

    @contextmanager
    def task(self, title: str, total: int | None, unit: str = "B") -> Iterator[Task]:  # noqa: ARG002 - the interface's names
        """Count nothing."""
        yield _NoTask()


class _PlainTask:
    def __init__(self, say: Callable[[str], None], title: str, total: int | None, unit: str) -> None:
        self._say, self._title, self._total, self._unit = say, title, total, unit
        self._is_shown = False
        self._done = 0
        self._next = QUIET_STEP if not (total and unit == "B" and total >= LARGE_BYTES) else LARGE_STEP
        self._started = time.monotonic()
        self._begun: int | None = None

    def show(self) -> None:
        """Print what begins; from here on the task prints how far it is."""
        self._say(self._title + (f" ({_amount(self._total, self._unit)})" if self._total else ""))
        self._is_shown = True

    def end(self) -> None:
        """Print how long it took."""
        if self._is_shown:
            self._say(f"{self._title}: done in {time.monotonic() - self._started:.1f} s")

    def advance(self, amount: int) -> None:
        self.position(self._done + amount)

    def position(self, done: int) -> None:
        self._done = done
        if self._begun is None:  # a download that goes on did not bring at once what had arrived before
            self._begun = done
        if not self._total:
            return
        while done / self._total >= self._next and self._next < 1:
            if self._is_shown:
                rate = rate_text(
                    done - self._begun, self._total - done, time.monotonic() - self._started, self._unit
                )
                self._say(f"{self._title}: {self._next:.0%} of {_amount(self._total, self._unit)}{rate}")
            self._next += LARGE_STEP if self._unit == "B" and self._total >= LARGE_BYTES else QUIET_STEP


@contextmanager
def call_later(act: Callable[[], None]) -> Iterator[None]:
    """Call from another thread after SHOWN_AFTER_S, unless the block has ended by then."""

    def act_quietly() -> None:
        with suppress(OSError):  # nobody reads: the thread that works meets that too
            act()

    timer = threading.Timer(SHOWN_AFTER_S, act_quietly)
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()
        timer.join()


class Plain:
    """Lines only: for logs, pipes and CI."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def say(self, text: str) -> None:
        """Print one line; where it cannot be written, as on a full disk, the work goes on without."""
        try:
            print(text, file=self._stream, flush=True)
        except BrokenPipeError:  # whoever reads wants no more: end, as programs do
            raise
        except OSError:
            pass

    def warn(self, text: str) -> None:
        """Print one line, marked."""
        self.say(f"warning: {text}")

    @contextmanager
    def task(self, title: str, total: int | None, unit: str = "B") -> Iterator[Task]:
        """Print a line at the start, at each quarter and at the end with the time taken; none where it is quick."""
        task = _PlainTask(self.say, title, total, unit)
        with call_later(task.show):
            yield task
        task.end()


class _BarTask:
    def __init__(self, bars: Progress, task: TaskID) -> None:
        self._bars, self._task = bars, task

    def advance(self, amount: int) -> None:
        self._bars.advance(self._task, amount)

    def position(self, done: int) -> None:
        self._bars.update(self._task, completed=done)


class Terminal:
    """Bars and colours, through rich."""

    def __init__(self, stream: TextIO) -> None:
        from rich.console import Console as RichConsole

        self._rich = RichConsole(file=stream, highlight=False)

    def say(self, text: str) -> None:
        """Print one line."""
        self._rich.print(text, markup=False, soft_wrap=True)

    def warn(self, text: str) -> None:
        """Print one line, in yellow."""
        self._rich.print(f"warning: {text}", style="yellow", markup=False, soft_wrap=True)

    @contextmanager
    def task(self, title: str, total: int | None, unit: str = "B") -> Iterator[Task]:
        """Show a bar with rate and time left, and leave one line behind; neither where it is quick."""
        from rich import progress

        amounts: tuple[progress.ProgressColumn, ...] = (
            (progress.DownloadColumn(), progress.TransferSpeedColumn())
            if unit == "B"
            else (progress.MofNCompleteColumn(), progress.TextColumn(unit))
        )
        columns = (
            progress.TextColumn("{task.description}"),
            progress.BarColumn(),
            *amounts,
            progress.TimeElapsedColumn(),
            progress.TimeRemainingColumn(),
        )
        bars = progress.Progress(*columns, console=self._rich)
        try:
            with call_later(bars.start):
                yield _BarTask(bars, bars.add_task(title, total=total))
        finally:
            if bars.live.is_started:
                bars.stop()


def open_console(stream: TextIO | None = None) -> Console:
    """Return the console that fits the stream (default: standard error, which can be closed)."""
    stream = stream or sys.stderr
    if stream is None:
        return Silent()
    return Terminal(stream) if stream.isatty() else Plain(stream)


def rate_text(done: int, left: int, seconds: float, unit: str) -> str:
    """Return how fast bytes came, and how long the rest will take at that rate; nothing where it is unknown.

    >>> rate_text(500_000_000, 1_500_000_000, 10, "B"), rate_text(1, 2, 0, "B"), rate_text(1, 2, 3, "parts")
    (', 50.0 MB/s, 30 s left', '', '')
    """
    if unit != "B" or done <= 0 or seconds <= 0:
        return ""
    left_s = left * seconds / done
    for name, factor in (("h", 3600), ("min", 60)):
        if left_s >= 2 * factor:
            return f", {done / seconds / 1e6:.1f} MB/s, {left_s / factor:.0f} {name} left"
    return f", {done / seconds / 1e6:.1f} MB/s, {left_s:.0f} s left"


def _amount(count: int, unit: str) -> str:
    if unit != "B":
        return f"{count} {unit}"
    return f"{count / 1e9:.2f} GB" if count >= 10**9 else f"{count / 1e6:.1f} MB"
