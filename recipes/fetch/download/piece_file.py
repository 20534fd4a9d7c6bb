"""The pieces of a large file on disk, with a note beside them of which have come."""

from __future__ import annotations

import errno
import os
import zlib
from typing import TYPE_CHECKING, Self

from recipes.core.filesystem import open_no_link, open_to_write, read_no_link, storage_errors
from recipes.fetch.download.piece_map import (
    Note,
    PieceLayout,
    PieceNote,
    Version,
    head_line,
    lost_line,
    parse_note,
    piece_line,
    version_line,
)

if TYPE_CHECKING:
    from pathlib import Path

    from recipes.core.digest import Sha256
    from recipes.store.blobs import BlobStore

MOST_NOTE_BYTES = 1 << 28


class PieceFile:
    """A file whose pieces come in any order. Use it as a context manager, by one process at a time.

    Bytes are written first and noted after. A piece that is noted was there whole when it was; whether it still is, its
    checksum says. The file is made where there is none. Where the note is of another layout, nothing counts as being
    there. Where the disk refuses, a StoreError is raised.
    """

    def __init__(self, path: Path, layout: PieceLayout) -> None:
        self.path, self.layout = path, layout
        self._note_path = note_path(path)
        self._is_abandoned = False
        self._buffer = bytearray(min(layout.piece_bytes, layout.size_bytes))
        found = read_note(path)
        if found and found.layout != layout:
            found = None
        self.inherited = dict(found.pieces) if found else {}
        self.pieces = dict(self.inherited)
        self.versions = list(found.versions) if found else []
        with storage_errors(path, needed_bytes=layout.size_bytes):
            self._data = open_no_link(path, os.O_RDWR | os.O_CREAT)
            if found is None:
                os.ftruncate(self._data, 0)
            os.ftruncate(self._data, layout.size_bytes)
            # by rename: one that is killed here must find the old note or the new one
            fresh = self._note_path.with_name(f"{self._note_path.name}.new")
            with os.fdopen(open_to_write(fresh), "wb") as file:
                file.write(self._whole_note().encode())
            fresh.replace(self._note_path)
            self._note = open_no_link(self._note_path, os.O_WRONLY | os.O_APPEND)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if not self._is_abandoned:
            os.close(self._data)
            os.close(self._note)

    def abandon(self) -> None:
        """Leave both files open to the end of the process: somebody may still write."""
        self._is_abandoned = True

    def version(self, version: Version) -> int:
        """Return the number of a version, noted where it was not met before."""
        if version not in self.versions:
            self._append(version_line(version))
            self.versions.append(version)
        return self.versions.index(version)

    def write(self, offset: int, chunk: bytes) -> None:
        """Write bytes of a piece."""
        rest = memoryview(chunk)
        with storage_errors(self.path, needed_bytes=self.layout.size_bytes):
            while rest:
                written = os.pwrite(self._data, rest, offset)
                offset, rest = offset + written, rest[written:]

    def note(self, index: int, checksum: int, version: int) -> None:
        """Note that a piece is there whole."""
        piece = PieceNote(checksum, version)
        self._append(piece_line(index, piece))
        self.pieces[index] = piece

    def lose(self, index: int) -> None:
        """Note that a piece does not count any more."""
        self._append(lost_line(index))
        self.pieces.pop(index, None)
        self.inherited.pop(index, None)

    def read(self, index: int) -> memoryview | None:
        """Return the bytes of a piece; None of one that came in an earlier run and is not what it was.

        They are those of this piece only until the next one is read: a new buffer for each costs as much as reading it.
        """
        data = memoryview(self._buffer)[: self.layout.size_of(index)]
        with storage_errors(self.path):
            done = 0
            while done < len(data):
                count = os.preadv(self._data, [data[done:]], self.layout.start(index) + done)
                if not count:
                    raise OSError(errno.EIO, os.strerror(errno.EIO), str(self.path))
                done += count
        before = self.inherited.get(index)
        return data if before is None or zlib.crc32(data) == before.checksum else None

    def _append(self, line: str) -> None:
        with storage_errors(self._note_path):
            if os.write(self._note, line.encode()) < len(line.encode()):  # what follows would not be read
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(self._note_path))

    def _whole_note(self) -> str:
        lines = (head_line(self.layout), *map(version_line, self.versions))
        return "".join((*lines, *(piece_line(index, piece) for index, piece in sorted(self.pieces.items()))))


def read_note(path: Path) -> Note | None:
    """Return what is noted of a file; None where nothing is."""
    with storage_errors(path):
        try:
            text = read_no_link(note_path(path), MOST_NOTE_BYTES).decode("utf-8", "replace")
            return parse_note(text) if path.is_file() else None
        except FileNotFoundError:
            return None


def note_path(path: Path) -> Path:
    """Where the note of a file lies."""
    return path.with_name(f"{path.name}.note")


def pieces_path(store: BlobStore, sha256: Sha256) -> Path:
    """Where the pieces of a file are kept until it is whole."""
    return store.partial_path(sha256).with_suffix(".pieces")
