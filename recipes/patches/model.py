"""What a patch is, once it is read: changes of files, each in hunks."""

from __future__ import annotations

from dataclasses import dataclass

MODES = {"100644": 0o644, "100755": 0o755}  # all that a source needs; a link could lead outside the tree
SHOWN_CHARACTERS = 100
PIN = "then pin it with `python3 noxfile.py -s lock -- --recipe NAME`"
MAKE_AGAIN = f"make the patch again with `git format-patch -1`, {PIN}"


@dataclass(frozen=True)
class Hunk:
    """A run of lines, some of them changed; `row` is its line in the patch, from 1.

    `old_at` and `new_at` say how many lines of the file precede it, before and after the change. Each of its lines has
    its sign " ", "-" or "+", and its line ending if it has one.
    """

    row: int
    old_at: int
    new_at: int
    lines: tuple[tuple[str, bytes], ...]

    @property
    def old(self) -> list[bytes]:
        """The lines before the change."""
        return [line for sign, line in self.lines if sign != "+"]

    @property
    def new(self) -> list[bytes]:
        """The lines after it."""
        return [line for sign, line in self.lines if sign != "-"]

    @property
    def is_at_end(self) -> bool:
        """Whether no context follows the change: then, as git has it too, the file must end there."""
        return self.lines[-1][0] != " "


@dataclass(frozen=True)
class FileChange:
    """What a patch does to one file; `row` is its first line in the patch, from 1.

    Paths are POSIX paths in the tree, None before the file is created and after it is removed; a mode is a key of
    MODES, None where the patch does not say. There are no hunks where only its name or mode changes, or it is empty.
    """

    row: int
    old_path: str | None
    new_path: str | None
    old_mode: str | None = None
    new_mode: str | None = None
    hunks: tuple[Hunk, ...] = ()

    @property
    def path(self) -> str:
        """The file's name, for people."""
        return self.new_path or self.old_path or ""


@dataclass(frozen=True)
class ParsedPatch:
    """A well-formed patch; `where` is what it is to the user, such as its path, and errors begin with it."""

    where: str
    changes: tuple[FileChange, ...]


def quote(row: bytes | None) -> str:
    """Return a row of a patch, or a line of a file, as an error shows it."""
    if row is None:
        return "the end of the patch"
    text = row.decode(errors="backslashreplace")
    return repr(text if len(text) <= SHOWN_CHARACTERS else text[:SHOWN_CHARACTERS] + "...")
