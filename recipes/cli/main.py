"""Runs one session: reads its options, turns errors into exit codes, and never ends in a traceback of the world's."""

from __future__ import annotations

import errno
import os
import signal
import sys
from contextlib import suppress
from typing import TYPE_CHECKING

from recipes.cli.options import CommandLineError
from recipes.cli.parser import parser
from recipes.core import log
from recipes.core.errors import INTERRUPTED, OperatingSystemError, RecipeError, UsageError
from recipes.core.invocation import this_command, typed

if TYPE_CHECKING:
    from collections.abc import Sequence

STANDARD_OUTPUT = "standard output"


def main(argv: Sequence[str] | None = None) -> int:
    """Run one session; the exit code says how it went: 0, that of a RecipeError, or INTERRUPTED."""
    words = tuple(sys.argv[1:] if argv is None else argv)
    with typed(words):
        try:
            code = _run(words)
            log.LOGGER.info("ends with exit code %d", code)
            return code
        finally:
            log.stop()


def _run(words: Sequence[str]) -> int:
    try:
        _demand_output()
        code = _run_session(words)
        sys.stdout.flush()
    except CommandLineError as error:
        _tell(error)
        return UsageError.exit_code
    except RecipeError as error:
        log.LOGGER.error("%s", error)
        _tell(error)
        return error.exit_code
    except BrokenPipeError:  # whoever reads the answer has enough of it, as `head` does
        _drop_output()
        return 128 + signal.SIGPIPE
    except KeyboardInterrupt:
        _tell("interrupted: what was verified is kept; the same command goes on from there")
        return INTERRUPTED
    except OSError as error:
        log.LOGGER.exception("not expected")
        _drop_output()
        _tell(refused(error))
        return OperatingSystemError.exit_code
    return code


def _run_session(words: Sequence[str]) -> int:
    try:
        options = parser(*words[:1]).parse_args(words)
    except SystemExit as end:  # after --help
        return int(end.code or 0)
    log.start(os.environ, is_verbose=options.verbose)
    log.LOGGER.info("%s", this_command(""))
    code: int = options.run(options)
    return code


def _demand_output() -> None:
    if sys.stdout is None:  # closed by the caller
        raise OSError(errno.EBADF, os.strerror(errno.EBADF), STANDARD_OUTPUT)


def refused(error: OSError) -> OperatingSystemError:
    """Return the error for a fault of the system that no other error describes."""
    name = error.filename2 or error.filename or STANDARD_OUTPUT
    where = os.fsdecode(name) if isinstance(name, str | bytes) else str(name)
    return OperatingSystemError(
        where=where,
        expected="a place that can be read and written",
        found=error.strerror or str(error),
        fix="direct standard output elsewhere, as with > /dev/null"
        if where == STANDARD_OUTPUT
        else f"check that path, its permissions and the room on its disk, then run {this_command('build')}",
    )


def _tell(text: object) -> None:
    with suppress(OSError):  # standard error can be closed or full too
        if sys.stderr is not None:
            print(text, file=sys.stderr, flush=True)


def _drop_output() -> None:
    """Let nothing more be written to standard output, or Python fails again at its end."""
    with suppress(OSError, AttributeError, ValueError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
