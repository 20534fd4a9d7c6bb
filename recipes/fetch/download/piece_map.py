"""A large file as pieces that arrive in any order: where each lies, and what is noted of those that came. Pure.

The note is a text of lines that only grows, so that a process killed at any moment leaves a true one: a line that is
not whole counts for nothing. Each piece has a checksum there. The file's own digest can only be taken over the whole,
and would not say which of 18,000 pieces a power cut left empty.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass

PIECE_BYTES = 1 << 20  # what a killed process loses of each connection, at most
FORMAT = "pieces/1"
_HEAD = re.compile(rf"{FORMAT} ([1-9]\d{{0,18}}) ([1-9]\d{{0,9}})")
_PIECE = re.compile(r"(\d{1,10}) ([0-9a-f]{8}) (\d{1,9})")
_LOST = re.compile(r"lost (\d{1,10})")


@dataclass(frozen=True)
class PieceLayout:
    """Where pieces lie in a file."""

    size_bytes: int
    piece_bytes: int = PIECE_BYTES

    @property
    def count(self) -> int:
        """How many pieces there are."""
        return -(-self.size_bytes // self.piece_bytes)

    def start(self, index: int) -> int:
        """Return the first byte of a piece."""
        return index * self.piece_bytes

    def end(self, index: int) -> int:
        """Return the byte behind the last one of a piece."""
        return min(self.size_bytes, (index + 1) * self.piece_bytes)

    def size_of(self, index: int) -> int:
        """Return the bytes of a piece."""
        return self.end(index) - self.start(index)


@dataclass(frozen=True)
class Version:
    """Which bytes these are, as far as a server says it."""

    place: str  # where they came from
    tag: str = ""  # the server's ETag, or date


@dataclass(frozen=True)
class PieceNote:
    """What is noted of one piece: the CRC-32 of its bytes, and its version's number."""

    checksum: int
    version: int


@dataclass(frozen=True)
class Note:
    """What is noted of a file; a piece names a version by its number, in the order that they were met."""

    layout: PieceLayout
    versions: tuple[Version, ...]
    pieces: dict[int, PieceNote]


def head_line(layout: PieceLayout) -> str:
    """Return the first line of a note."""
    return f"{FORMAT} {layout.size_bytes} {layout.piece_bytes}\n"


def version_line(version: Version) -> str:
    """Return the line of a version that was not met before; its number is how many stand before it."""
    return "version " + json.dumps([version.place, version.tag]) + "\n"


def piece_line(index: int, note: PieceNote) -> str:
    """Return the line of a piece that has come."""
    return f"{index} {note.checksum:08x} {note.version}\n"


def lost_line(index: int) -> str:
    """Return the line of a piece that is there no more."""
    return f"lost {index}\n"


def parse_note(text: str) -> Note | None:
    """Return what a note says up to its first line that is cut or invalid; None where that is all of it."""
    lines = text.split("\n")[:-1]  # what stands behind the last line feed was being written
    head = _HEAD.fullmatch(lines[0]) if lines else None
    if head is None:
        return None
    layout = PieceLayout(int(head[1]), int(head[2]))
    versions: list[Version] = []
    pieces: dict[int, PieceNote] = {}
    for line in lines[1:]:
        if line.startswith("version "):
            version = _parse_version(line)
            if version is None:
                break
            versions.append(version)
        elif lost := _LOST.fullmatch(line):
            pieces.pop(int(lost[1]), None)
        else:
            piece = _PIECE.fullmatch(line)
            if piece is None or int(piece[1]) >= layout.count or int(piece[3]) >= len(versions):
                break
            pieces[int(piece[1])] = PieceNote(int(piece[2], 16), int(piece[3]))
    return Note(layout, tuple(versions), pieces)


def _parse_version(line: str) -> Version | None:
    try:
        place, tag = json.loads(line.removeprefix("version "))
    except (ValueError, TypeError):
        return None
    return Version(place, tag) if isinstance(place, str) and isinstance(tag, str) else None
