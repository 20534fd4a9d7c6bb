"""Taking turns, and timing programs that are ended, with their children, whatever happens."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

Say = Callable[[str], None]


def say(text: str) -> None:
    print(text, flush=True)


class UnmeasurableError(Exception):
    """Something that a measurement needs is not there, or fails; the text says what and what to do."""


@dataclass(frozen=True)
class Options:
    """What the command line asks for.

    `repeats` None is the measurement's own number. `quick` is a trial with tiny inputs, never recorded.
    `folder` is where temporary files go.
    """

    folder: Path
    recipe: str = "b11312"
    targets: tuple[str, ...] = ("ggml-base", "ggml-cpu-haswell")
    repeats: int | None = None
    quick: bool = False
    install_nix: bool = False

    def turns(self, usual: int) -> int:
        return self.repeats or (2 if self.quick else usual)


def take_turns(
    turns: int,
    actions: Mapping[str, Callable[[], float]],
    say: Say,
    unit: str = "s",
    settle: Callable[[], None] = os.sync,
) -> dict[str, tuple[float, ...]]:
    """Call all actions in order, `turns` times over (A B A B ...), and give each one's figures.

    `settle` comes before each: what one wrote must not be written to the disk on the other's time.
    """
    figures: dict[str, list[float]] = {name: [] for name in actions}
    for turn in range(1, turns + 1):
        for name, action in actions.items():
            settle()
            figures[name].append(action())
            say(f"  turn {turn} of {turns}: {name}: {figures[name][-1]:.4g} {unit}")
    return {name: tuple(values) for name, values in figures.items()}


def time_call(action: Callable[[], object]) -> float:
    """Return how long a call takes, in seconds."""
    started = time.perf_counter()
    action()
    return time.perf_counter() - started


def run_program(
    argv: Sequence[str],
    *,
    cwd: Path | None = None,
    env: Mapping[str, str] | None = None,
    log: Path | None = None,
) -> str:
    """Run a program to its end and give its standard output; with `log`, all it prints goes there instead.

    Raises
    ------
    UnmeasurableError
        Where it cannot be started, or fails.
    """
    with (log or Path(os.devnull)).open("ab") as file:
        try:
            process = subprocess.Popen(
                argv,
                cwd=cwd,
                env=dict(env) if env is not None else None,
                stdin=subprocess.DEVNULL,
                stdout=file if log else subprocess.PIPE,
                stderr=subprocess.STDOUT if log else subprocess.PIPE,
                text=True,
                errors="replace",
                start_new_session=True,
            )
        except OSError as error:
            raise UnmeasurableError(f"{argv[0]}: {os.strerror(error.errno or 0)}") from error
        try:
            output, errors = process.communicate()
        except BaseException:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            raise
    if process.returncode != 0:
        said = log.read_text(errors="replace") if log else f"{output}{errors}"
        raise UnmeasurableError(f"{' '.join(argv[:6])}: exit status {process.returncode}\n{said[-2000:]}")
    return output or ""
