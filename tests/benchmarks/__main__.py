"""`python -m tests.benchmarks [NAME ...]`: measure, print, and keep the results in docs/.

A missed target is a result, not a failure: the exit status is 0, and the table says MISSED. It is 1 where
something could not be measured at all.
"""

from __future__ import annotations

import argparse
import shlex
import signal
import sys
import tempfile
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

from recipes.core.errors import INTERRUPTED, RecipeError
from recipes.manifest.load import PROJECT
from tests.benchmarks import (
    asking,
    clips,
    cold_build,
    fetching,
    hashing,
    image_speed,
    llama_bench,
    models,
    noop_build,
    sharing,
)
from tests.benchmarks.comparison import HEADER, cells
from tests.benchmarks.machine import this_machine
from tests.benchmarks.report import Section, plain_table, record
from tests.benchmarks.turns import Options, UnmeasurableError, say

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import ModuleType

MEASUREMENTS: dict[str, ModuleType] = {
    "cold-build": cold_build,
    "noop-build": noop_build,
    "hash": hashing,
    "fetch": fetching,
    "models": models,
    "registry": sharing,
    "ask": asking,
    "llama-bench": llama_bench,
    "image-speed": image_speed,
    "clips": clips,
}


def parser() -> argparse.ArgumentParser:
    listing = "\n".join(f"  {name:<12} {module.TITLE}" for name, module in MEASUREMENTS.items())
    top = argparse.ArgumentParser(
        prog="nox -s bench --",
        description="Measure against a peer in the same run; results go to docs/benchmarks.md and .json.",
        epilog=f"measurements:\n{listing}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    default = Options(Path(tempfile.gettempdir()))
    top.add_argument("names", nargs="*", metavar="NAME", help="what to measure (default: everything)")
    top.add_argument(
        "--recipe", default=default.recipe, metavar="NAME", help="recipe that is built (default: %(default)s)"
    )
    top.add_argument(
        "--targets",
        nargs="+",
        default=default.targets,
        metavar="NAME",
        help=f"cold-build: these targets, or `all` (default: {' '.join(default.targets)})",
    )
    top.add_argument(
        "--repeats", type=int, metavar="N", help="turns of each side (default: as each measurement has it)"
    )
    top.add_argument(
        "--folder", type=Path, default=default.folder, help="for temporary files (default: %(default)s)"
    )
    top.add_argument(
        "--install-nix", action="store_true", help="noop-build: install Debian's nix-bin if it is missing"
    )
    top.add_argument("--quick", action="store_true", help="a trial with tiny inputs; nothing is recorded")
    return top


def main(argv: list[str]) -> int:
    arguments = parser().parse_args(argv)
    unknown = [name for name in arguments.names if name not in MEASUREMENTS]
    if unknown:
        parser().error(f"no measurement {', '.join(unknown)}; there are {', '.join(MEASUREMENTS)}")
    options = Options(
        folder=arguments.folder.absolute(),
        recipe=arguments.recipe,
        targets=tuple(arguments.targets),
        repeats=arguments.repeats,
        quick=arguments.quick,
        install_nix=arguments.install_nix,
    )
    command = shlex.join(("nox", "-s", "bench", "--", *argv)).removesuffix(" --")
    failures = 0
    for name in arguments.names or MEASUREMENTS:
        try:
            measure(name, options, command)
        except (UnmeasurableError, RecipeError) as error:
            failures += 1
            say(f"{name}: could not be measured: {error}")
    return 1 if failures else 0


def measure(name: str, options: Options, command: str) -> None:
    """Take one measurement, print it, and keep it unless it is a trial."""
    module = MEASUREMENTS[name]
    machine = this_machine()
    say(f"{name}: {module.TITLE} (load average {machine.load:.2f})")
    measured = module.measure(options, say)
    say(plain_table(HEADER, [cells(row) for row in measured.rows]))
    if options.quick:
        say("a trial with tiny inputs: figures mean nothing, nothing is recorded")
        return
    section = Section(name, module.TITLE, utc_now(), command, machine, measured.rows, measured.notes)
    record(section, tuple(MEASUREMENTS), PROJECT / "docs")


def run_to_end(run: Callable[[list[str]], int], interrupted: str) -> NoReturn:
    """Run a command line and end the process; a signal ends it as Ctrl-C does, and says what it left behind."""
    signals = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)

    def interrupt(*_: object) -> None:
        for number in signals:  # a second one must not interrupt the cleaning up
            signal.signal(number, signal.SIG_IGN)
        raise KeyboardInterrupt

    for number in signals:
        signal.signal(number, interrupt)
    try:
        sys.exit(run(sys.argv[1:]))
    except KeyboardInterrupt:
        say(f"interrupted: {interrupted}")
        sys.exit(INTERRUPTED)


def utc_now() -> str:
    """Return date and time as they are recorded."""
    return f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC"


if __name__ == "__main__":
    run_to_end(main, "what was measured before is recorded")
