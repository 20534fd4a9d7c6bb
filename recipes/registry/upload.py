"""Brings one blob into a repository: not at all where it is there, by a mount, or in chunks that go on where one broke.

OCI Distribution Specification 1.1, "Pushing blobs". What an upload's session needs is noted in the store, so that the
next command goes on with it, where the registry keeps unfinished uploads.
"""

from __future__ import annotations

import io
import os
import re
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from http import HTTPStatus
from typing import TYPE_CHECKING, NamedTuple
from urllib.parse import urlencode

import msgspec

from recipes.core.digest import Sha256, hash_file
from recipes.core.filesystem import open_to_write, read_no_link, storage_errors
from recipes.fetch.http.response_rules import TryLater, status_text
from recipes.registry.client import RegistryFaultError, Reply, joined

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from recipes.core.console import Task
    from recipes.registry.client import Client

CHUNK_BYTES = 32 << 20  # one request's; what a broken one brought is lost where the registry forgets it
SENT_BYTES = 1 << 20  # handed to the connection at once
BINARY = {"Content-Type": "application/octet-stream"}
# what a registry answers that has lost an upload, or parts of it, as it forgets it where one was broken
_LOST = frozenset({400, 404, 410, 416})


@dataclass(frozen=True)
class Blob:
    """What is sent: bytes in memory, or a file; its digest is that of these very bytes."""

    sha256: Sha256
    size_bytes: int
    content: bytes | Path

    @classmethod
    def of_bytes(cls, data: bytes) -> Blob:
        """Return one of bytes."""
        return cls(Sha256.of_bytes(data), len(data), data)

    @classmethod
    def of_file(cls, path: Path) -> Blob:
        """Return one of a file, which is hashed."""
        return cls(hash_file(path), path.stat().st_size, path)


class _Note(msgspec.Struct, frozen=True):
    repository: str
    location: str


def push_blob(client: Client, blob: Blob) -> str:
    """Make a repository have a blob; return how it came: "there", "mounted" or "sent". Raises OriginError."""
    if client.has_blob(blob.sha256, blob.size_bytes):
        return "there"
    store = client.context.store
    with store.lock(blob.sha256.hex, client.context.console):
        title = f"send {blob.sha256.hex[:12]} to {client.repository.host}"
        with client.context.console.task(title, blob.size_bytes) as task:
            return _Upload(client, blob, store.partial / f"{blob.sha256.hex}.upload", task).run()


class _Next(NamedTuple):
    """Where an upload goes on."""

    session: str
    offset: int


class _Upload:
    def __init__(self, client: Client, blob: Blob, note: Path, task: Task) -> None:
        self._client, self._blob, self._note, self._task = client, blob, note, task

    def run(self) -> str:
        """Send until the registry has the blob."""
        place, failures = self._noted(), 0
        while True:
            if place is None:
                session = self._open()
                if session is None:
                    return "mounted"
                place = _Next(session, 0)
            outcome = self._send(place, has_failed=bool(failures or place.offset))
            if outcome is None:
                with storage_errors(self._note):
                    self._note.unlink(missing_ok=True)
                return "sent"
            if isinstance(outcome, TryLater):
                failures += 1
                self._client.tempo.pause(
                    self._client.repository.host, outcome, failures, self._client.context.console
                )
                place = None if isinstance(outcome, _Lost) else self._go_on(place.session)
            else:
                place, failures = outcome, 0

    def _open(self) -> str | None:
        """Begin an upload and return its address; None where a mount was all that was needed."""
        url = self._client.repository.url("blobs", "uploads/")
        for other in self._client.others:
            query = urlencode({"mount": str(self._blob.sha256), "from": other})
            reply = self._client.ask("POST", f"{url}?{query}", body=lambda: b"")
            if reply.status == HTTPStatus.CREATED:
                return None
            if reply.status == HTTPStatus.ACCEPTED:
                break
        else:
            reply = self._client.ask("POST", url, body=lambda: b"")
        self._client.demand(reply, HTTPStatus.ACCEPTED)
        return self._moved(url, reply)

    def _moved(self, url: str, reply: Reply) -> str:
        """Return where the upload goes on, and note it."""
        location = reply.headers.get("location")
        if location is None:
            raise RegistryFaultError("it does not say where the upload goes on")
        session = joined(url, location)
        note = _Note(str(self._client.repository), session)
        with storage_errors(self._note), os.fdopen(open_to_write(self._note, 0o600), "wb") as file:
            file.write(msgspec.json.encode(note))
        return session

    def _noted(self) -> _Next | None:
        with suppress(FileNotFoundError, msgspec.DecodeError):
            note = msgspec.json.decode(read_no_link(self._note), type=_Note)
            if note.repository == str(self._client.repository):
                return self._go_on(note.location)
        return None

    def _go_on(self, session: str) -> _Next | None:
        """Ask how much of the blob the registry has; None where it knows no such upload any more."""
        reply = self._client.ask("GET", session)
        match = re.fullmatch(r"(?:bytes=)?0-(\d{1,15})", reply.headers.get("range", "").strip())
        if reply.status not in {HTTPStatus.NO_CONTENT, HTTPStatus.ACCEPTED} or match is None:
            return None
        # the distribution project's registry says 0-0 of an upload without a byte
        arrived = int(match[1]) + 1 if match[1] != "0" else 0
        if arrived > self._blob.size_bytes:
            return None
        return _Next(self._moved(session, reply) if "location" in reply.headers else session, arrived)

    def _send(self, place: _Next, *, has_failed: bool) -> _Next | TryLater | None:
        """Send the next chunk, and close the upload with the last; return where it goes on, or None at the end."""
        size = self._blob.size_bytes
        start, end = place.offset, min(size, place.offset + CHUNK_BYTES)
        is_last = end == size
        url, headers = place.session, dict(BINARY)
        if is_last:
            url += ("&" if "?" in url else "?") + urlencode({"digest": str(self._blob.sha256)})
        if start < end and (start or not is_last):
            headers["Content-Range"] = f"{start}-{end - 1}"
        part = partial(_Part, self._blob.content, start, end, self._task.position)
        reply = self._client.ask_once("PUT" if is_last else "PATCH", url, headers, part)
        if isinstance(reply, TryLater):
            return reply
        if reply.status in _LOST and has_failed:
            return _Lost(f"{status_text(reply.status)}: it lost the upload, which starts over")
        self._client.demand(
            reply, *((HTTPStatus.CREATED, HTTPStatus.NO_CONTENT) if is_last else (HTTPStatus.ACCEPTED,))
        )
        return None if is_last else _Next(self._moved(url, reply), end)


class _Lost(TryLater):
    """The registry knows the upload no more."""


class _Part:
    """A part of a blob as a request's body: as long as it says, read as it is sent."""

    def __init__(
        self, content: bytes | Path, start: int, end: int, on_position: Callable[[int], None]
    ) -> None:
        self._content, self._start, self._end, self._on_position = content, start, end, on_position

    def __len__(self) -> int:
        return self._end - self._start

    def __iter__(self) -> Iterator[bytes]:
        with (
            io.BytesIO(self._content)
            if isinstance(self._content, bytes)
            else self._content.open("rb") as file
        ):
            file.seek(self._start)
            position = self._start
            while position < self._end and (data := file.read(min(SENT_BYTES, self._end - position))):
                yield data
                position += len(data)
                self._on_position(position)
