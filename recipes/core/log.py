"""The log of a command: each step with its arguments, in the store's logs/ and with --verbose on standard error.

No secret reaches it: what is known as one (`hide`), and what looks like one, is replaced in the finished line.
"""

from __future__ import annotations

import logging
import logging.handlers
import os
import re
import sys
import time
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

from recipes.core.filesystem import open_no_link

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from recipes.core.console import Console, Task

LOGGER = logging.getLogger("recipes")
LOGGER.addHandler(logging.NullHandler())  # or logging prints errors by itself
FILE = "commands.log"
LIMIT_BYTES = 2_000_000  # a longer file is renamed to FILE.1 before the next command
FORMAT = "%(asctime)s %(process)d %(levelname)-5s %(message)s"
HIDDEN = "***"
SHORTEST = 4  # characters: a shorter secret would blot out words
SECRET_NAME = re.compile(r"TOKEN|KEY|SECRET|PASSWORD|PASSWD|CREDENTIAL")
SECRET_TEXT = (
    (re.compile(r"//[^/@\s]+@"), f"//{HIDDEN}@"),  # user and password of an address
    (re.compile(r"(https?://[^\s?'\"]+)\?[^\s'\"]+"), rf"\1?{HIDDEN}"),  # signed addresses
    (re.compile(r"(?i)\b(bearer|basic|authorization:) +[\w.~+/=-]+"), rf"\1 {HIDDEN}"),
    (re.compile(r"\bhf_\w{8,}"), HIDDEN),  # tokens of the model hub
)

_secrets: set[str] = set()


class _Formatter(logging.Formatter):
    converter = staticmethod(time.gmtime)
    default_time_format = "%Y-%m-%dT%H:%M:%S"
    default_msec_format = "%s.%03dZ"

    def format(self, record: logging.LogRecord) -> str:
        return redact(super().format(record), _secrets)


class _Handler(logging.StreamHandler):  # type: ignore[type-arg] # of any text stream
    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802 - logging's name
        """Go on without the line: a full disk under the log is no reason to end the command."""


def start(environ: Mapping[str, str], *, is_verbose: bool) -> None:
    """Begin the log of one command; without --verbose nothing is written until `write_to`."""
    stop()
    LOGGER.setLevel(logging.DEBUG)
    LOGGER.addHandler(logging.handlers.MemoryHandler(1000, logging.CRITICAL, flushOnClose=False))
    for name, value in environ.items():
        if SECRET_NAME.search(name.upper()):
            hide(value)
    if is_verbose:
        # an error is printed anyway
        _add(_Handler(sys.stderr)).addFilter(lambda record: record.levelno < logging.ERROR)


def write_to(folder: Path) -> None:
    """Also write to FILE in a folder, whose files only their owner can read; a read-only folder gets nothing."""
    path = folder / FILE
    with suppress(OSError):
        if path.exists() and path.stat().st_size > LIMIT_BYTES:
            path.replace(path.with_name(f"{FILE}.1"))
        descriptor = open_no_link(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
        handler = _add(_Handler(os.fdopen(descriptor, "w", encoding="utf-8", errors="backslashreplace")))
        for early in [each for each in LOGGER.handlers if isinstance(each, logging.handlers.MemoryHandler)]:
            early.setTarget(handler)  # what was logged before the place was known
            early.flush()
            LOGGER.removeHandler(early)


def _add(handler: logging.Handler) -> logging.Handler:
    handler.setFormatter(_Formatter(FORMAT))
    LOGGER.addHandler(handler)
    return handler


def stop() -> None:
    """End the log, and forget the secrets."""
    for handler in LOGGER.handlers[:]:
        if isinstance(handler, logging.NullHandler):
            continue
        LOGGER.removeHandler(handler)
        stream = getattr(handler, "stream", None)
        if stream not in {None, sys.stderr}:
            with suppress(OSError):
                stream.close()
    _secrets.clear()


def hide(secret: str | None) -> None:
    """Keep a text out of the log."""
    if secret and len(secret.strip()) >= SHORTEST:
        _secrets.add(secret.strip())


def redact(text: str, secrets: set[str] | frozenset[str] = frozenset()) -> str:
    """Return a text without the given secrets, and without what looks like one. Pure.

    >>> redact("get https://me:pw@hub.example/a?sig=1 with key-1234", {"key-1234"})
    'get https://***@hub.example/a?*** with ***'
    """
    for secret in sorted(secrets, key=len, reverse=True):
        text = text.replace(secret, HIDDEN)
    for pattern, instead in SECRET_TEXT:
        text = pattern.sub(instead, text)
    return text


def step(number: int, total: int, title: str, /, **arguments: object) -> None:
    """Log a numbered step of a flow, as `step 3/7: patch (recipe=b6751)`."""
    shown = ", ".join(f"{name}={value}" for name, value in arguments.items())
    LOGGER.info("step %d/%d: %s%s", number, total, title, f" ({shown})" if shown else "")


class LoggedConsole:
    """A console whose lines also go to the log."""

    def __init__(self, console: Console) -> None:
        self._console = console

    def say(self, text: str) -> None:
        """Print and log one line."""
        LOGGER.debug("%s", text)
        self._console.say(text)

    def warn(self, text: str) -> None:
        """Print and log one warning."""
        LOGGER.warning("%s", text)
        self._console.warn(text)

    @contextmanager
    def task(self, title: str, total: int | None, unit: str = "B") -> Iterator[Task]:
        """Show a task, and log its start and end."""
        LOGGER.debug("%s (%s %s)", title, "?" if total is None else total, unit)
        started = time.monotonic()
        with self._console.task(title, total, unit) as task:
            yield task
        LOGGER.debug("%s: done in %.1f s", title, time.monotonic() - started)

    def __getattr__(self, name: str) -> object:
        return getattr(self._console, name)
