"""Locks between processes: one owner at a time, and none after the owner is dead, however it died.

The kernel drops the lock (flock) with its owner, so a lock file that nobody holds means nothing: it can stay.
"""

from __future__ import annotations

import os
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

from recipes.core.filesystem import open_no_link, storage_errors

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from filelock import FileLock


@contextmanager
def hold(
    path: Path, *, on_wait: Callable[[str], None] | None = None, discard: bool = False
) -> Iterator[None]:
    """Hold a lock, after waiting for whoever holds it; the file's folder exists.

    `on_wait` is called once, before waiting, with who holds the lock as far as it is known. `discard` removes the lock
    file at the end, which is safe while others wait: they notice and lock a new one. Raises StoreError where the lock
    file cannot be written.
    """
    lock = _try(path)
    if not lock.is_locked:
        if on_wait:
            on_wait(_owner(path))
        with storage_errors(path):
            lock.acquire()
    try:
        _sign(path, f"process {os.getpid()} on {os.uname().nodename}")
        yield
    finally:
        _let_go(path, discard=discard)
        lock.release()


@contextmanager
def hold_if_free(path: Path) -> Iterator[bool]:
    """Hold a lock if nobody does, and yield whether; the lock file is gone afterwards if we held it.

    Raises StoreError where the lock file cannot be written.
    """
    lock = _try(path)
    if not lock.is_locked:
        yield False
        return
    try:
        yield True
    finally:
        _let_go(path, discard=True)
        lock.release()


def is_held(path: Path) -> bool:
    """Return whether a living process holds a lock; changes nothing."""
    import fcntl

    try:
        descriptor = open_no_link(path, os.O_RDONLY)
    except FileNotFoundError:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(descriptor)
    return False


def _try(path: Path) -> FileLock:
    """Return the lock of a file, held where nobody else holds it."""
    from filelock import FileLock, Timeout

    # what filelock falls back to where there is no flock would outlive its owner
    lock = FileLock(path, fallback_to_soft=False)
    with storage_errors(path), suppress(Timeout):
        lock.acquire(timeout=0)
    return lock


def _sign(path: Path, owner: str) -> None:
    # who holds it is only for a message: a full disk is no reason to fail here
    with suppress(OSError):
        _write(path, owner)


def _write(path: Path, text: str) -> None:
    with os.fdopen(open_no_link(path, os.O_WRONLY | os.O_TRUNC), "wb") as file:
        file.write(text.encode())


def _let_go(path: Path, *, discard: bool) -> None:
    with suppress(OSError):
        if discard:
            path.unlink()
        else:
            _write(path, "")


def _owner(path: Path) -> str:
    with suppress(OSError, UnicodeDecodeError):
        if text := path.read_text(encoding="utf-8"):
            return text
    return "another process"
