"""Names what differs between two folders: file, offset, the part of the ELF file, the text around it."""

from __future__ import annotations

import os
import stat
from dataclasses import dataclass
from typing import TYPE_CHECKING

from recipes.build.audit.elf.facts import section_at
from recipes.core.digest import CHUNK_BYTES
from recipes.core.filesystem import shown, storage_errors

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

NEWLINE = b"\n"
CONTEXT_BYTES = 60  # of a string on each side of an offset
SHORTEST_TEXT = 4  # characters in a row, as of strings(1); fewer are machine code by chance
PRINTABLE = b"\t" + bytes(range(0x20, 0x7F))


@dataclass(frozen=True)
class FileDifference:
    """One file that is not the same in two folders.

    `offset` is that of the first byte that differs, None where the contents are equal or cannot be compared; `place` is
    the ELF section or the line that holds it, "" where that is not known; the texts are the printable characters around
    it.
    """

    name: str
    what: str
    offset: int | None = None
    place: str = ""
    left_text: str = ""
    right_text: str = ""

    def __str__(self) -> str:
        line = f"{shown(self.name)}: {self.what}"
        if self.place:
            line += f", in {self.place}"
        if self.left_text or self.right_text:
            line += f": {self.left_text!r} against {self.right_text!r}"
        return line


def compare(left: Path, right: Path) -> tuple[FileDifference, ...]:
    """Name each file that differs between two folders, in the order of the names.

    As in git, only the owner's execute bit of a mode counts, and an empty folder does not: where nothing differs, the
    tree digests are equal. Raises StoreError where a file cannot be read.
    """
    with storage_errors(left):
        ours, theirs = _files(left), _files(right)
        names = sorted(ours.keys() | theirs.keys(), key=os.fsencode)
        return tuple(item for name in names for item in _compare_file(name, ours.get(name), theirs.get(name)))


def _files(root: Path) -> dict[str, Path]:
    return {
        path.relative_to(root).as_posix(): path
        for path in root.rglob("*")
        if path.is_symlink() or not path.is_dir()
    }


def _compare_file(name: str, left: Path | None, right: Path | None) -> Iterator[FileDifference]:
    if left is None or right is None:
        side = "right" if left is None else "left"
        yield FileDifference(name, f"only in the {side} one")
        return
    kinds = _kind(left), _kind(right)
    if kinds[0] != kinds[1]:
        yield FileDifference(name, f"{kinds[0]} against {kinds[1]}")
    if _size(left) is None or _size(right) is None:
        return
    offset = _first_difference(left, right)
    if offset is not None:
        yield _describe(name, left, right, offset)


def _kind(path: Path) -> str:
    mode = path.lstat().st_mode
    if stat.S_ISLNK(mode):
        return f"link to {shown(str(path.readlink()))}"
    if not stat.S_ISREG(mode):
        return "neither file nor link"
    return "mode 100755" if mode & stat.S_IXUSR else "mode 100644"


def _size(path: Path | None) -> int | None:
    status = path.lstat() if path else None
    return status.st_size if status and stat.S_ISREG(status.st_mode) else None


def _first_difference(left: Path, right: Path) -> int | None:
    with left.open("rb") as ours, right.open("rb") as theirs:
        start = 0
        while True:
            one, other = ours.read(CHUNK_BYTES), theirs.read(CHUNK_BYTES)
            if one != other:
                return start + _common_length(one, other)
            if not one:
                return None
            start += len(one)


def _common_length(one: bytes, other: bytes) -> int:
    low, high = 0, min(len(one), len(other))
    while low < high:
        middle = (low + high + 1) // 2
        low, high = (middle, high) if one[:middle] == other[:middle] else (low, middle - 1)
    return low


def _describe(name: str, left: Path, right: Path, offset: int) -> FileDifference:
    sizes = left.stat().st_size, right.stat().st_size
    what = f"{sizes[0]} bytes against {sizes[1]}" if sizes[0] != sizes[1] else f"{sizes[0]} bytes"
    line = _line_at(left, offset)
    shortest = 1 if line else SHORTEST_TEXT
    return FileDifference(
        name,
        f"{what}, first different at {offset:#x}",
        offset,
        section_at(left, offset) or section_at(right, offset) or line,
        _text_at(left, offset, shortest),
        _text_at(right, offset, shortest),
    )


def _line_at(path: Path, offset: int) -> str:
    with path.open("rb") as file:
        before = file.read(offset)
    return "" if b"\0" in before else f"line {before.count(NEWLINE) + 1}"


def _text_at(path: Path, offset: int, shortest: int) -> str:
    with path.open("rb") as file:
        start = max(0, offset - CONTEXT_BYTES)
        file.seek(start)
        return string_at(file.read(2 * CONTEXT_BYTES), offset - start, shortest)


def string_at(data: bytes, offset: int, shortest: int = SHORTEST_TEXT) -> str:
    """Return the printable characters around an offset, at most 60 on each side; "" where they are too few."""
    after = _printable_start(data[offset : offset + CONTEXT_BYTES])
    before = _printable_start(data[max(0, offset - CONTEXT_BYTES) : offset][::-1])
    text = (before[::-1] + after).decode("ascii")
    return text if after and len(text) >= shortest else ""


def _printable_start(data: bytes) -> bytes:
    return data[: len(data) - len(data.lstrip(PRINTABLE))]
