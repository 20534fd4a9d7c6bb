"""The part of a file that has arrived: its bytes on disk, their digest so far, and where they came from."""

from __future__ import annotations

import errno
import hashlib
import json
import os
from collections import deque
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TYPE_CHECKING, Self

from recipes.core.digest import CHUNK_BYTES, Hasher, Sha256
from recipes.core.filesystem import remove_tree, storage_errors
from recipes.fetch.http.response_rules import SNIFF_BYTES, Validator

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

BATCH_BYTES = 1 << 20  # hashed at once: handing a piece to the other thread costs as much as hashing 50 kB
MAX_BATCHES = 4  # waiting to be hashed; hashing is then the slower part, and more would only hold memory


class Partial:
    """A file that grows at its end, hashed in a thread of its own while the next bytes are received.

    Use it as a context manager, by one process at a time. What is in the file at any moment, even after
    `kill -9`, are bytes that a server sent, in order and without a gap.

    Parameters
    ----------
    path
        The file; made where there is none. A sidecar beside it says where its bytes came from.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._sidecar = sidecar_path(path)
        with storage_errors(path):
            self._descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
            self.size_bytes = os.fstat(self._descriptor).st_size
        self.is_inherited = self.size_bytes > 0
        self._unhashed = range(self.size_bytes)
        self._hasher: Hasher = hashlib.sha256()
        self._batch: list[bytes] = []
        self._batch_bytes = 0
        self._pool = ThreadPoolExecutor(1)
        self._pending: deque[Future[None]] = deque()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._pool.shutdown(wait=True, cancel_futures=True)
        os.close(self._descriptor)

    def hash_inherited(self, on_position: Callable[[int], None] | None = None) -> None:
        """Hash what was there before, once; `on_position` is told how many bytes are done."""
        with storage_errors(self.path):
            while self._unhashed:
                chunk = os.pread(self._descriptor, CHUNK_BYTES, self._unhashed.start)
                if not chunk:
                    raise OSError(errno.EIO, os.strerror(errno.EIO), str(self.path))
                self._hasher.update(chunk)
                self._unhashed = self._unhashed[len(chunk) :]
                if on_position:
                    on_position(self._unhashed.start)

    def append(self, chunk: bytes) -> None:
        """Write bytes at the end, and have them hashed.

        Raises
        ------
        StoreError
            Where the disk refuses; what was written before stays.
        """
        self.hash_inherited()
        rest = memoryview(chunk)
        with storage_errors(self.path):
            while rest:
                written = os.pwrite(self._descriptor, rest, self.size_bytes)
                self.size_bytes += written
                rest = rest[written:]
        self._batch.append(chunk)
        self._batch_bytes += len(chunk)
        if self._batch_bytes >= BATCH_BYTES:
            self._hash_batch()

    def restart(self, url: str, validator: Validator) -> None:
        """Begin again with nothing, at this address."""
        self._finish_hashing()
        self._hasher, self._unhashed = hashlib.sha256(), range(0)
        with storage_errors(self.path):
            # empty first: a sidecar must never speak of bytes that another server sent
            os.ftruncate(self._descriptor, 0)
            self.size_bytes, self.is_inherited = 0, False
            record = {"url": url, "etag": validator.etag, "last_modified": validator.last_modified}
            self._sidecar.write_text(json.dumps(record), encoding="utf-8")

    def validator_of(self, url: str) -> Validator | None:
        """Say which version these bytes are of, if they came from this address and that is known."""
        try:
            record = json.loads(self._sidecar.read_bytes())
            if record["url"] != url:
                return None
            fields = (record["etag"], record["last_modified"])
        except (OSError, ValueError, KeyError, TypeError):
            return None
        return Validator(*(field if isinstance(field, str) else None for field in fields))

    def start(self) -> bytes:
        """Give the file's first bytes, enough to tell a web page."""
        with storage_errors(self.path):
            return os.pread(self._descriptor, SNIFF_BYTES, 0)

    def digest(self) -> Sha256:
        """SHA-256 of all bytes in the file, once all are hashed."""
        self.hash_inherited()
        self._finish_hashing()
        return Sha256(self._hasher.hexdigest())

    def _finish_hashing(self) -> None:
        self._hash_batch()
        while self._pending:
            self._pending.popleft().result()

    def _hash_batch(self) -> None:
        if self._batch:
            self._pending.append(self._pool.submit(_update, self._hasher, tuple(self._batch)))
            self._batch, self._batch_bytes = [], 0
        while len(self._pending) > MAX_BATCHES:
            self._pending.popleft().result()


def sidecar_path(path: Path) -> Path:
    """Where a partial file's origin is noted."""
    return path.with_name(f"{path.name}.origin")


def receipt_folder(path: Path) -> Path:
    """Where pooch works while this partial file is filled."""
    return path.with_name(f"{path.name}.receipt")


def tidy(path: Path) -> None:
    """Remove what has no use any more: a part without a byte, and what lies beside a part that is gone."""
    with storage_errors(path):
        if path.exists() and path.stat().st_size == 0:
            path.unlink()
        if not path.exists():
            sidecar_path(path).unlink(missing_ok=True)
        remove_tree(receipt_folder(path))


def _update(hasher: Hasher, chunks: tuple[bytes, ...]) -> None:
    for chunk in chunks:
        hasher.update(chunk)
