"""Parse and apply patches exactly: every context line where the patch says it is, or nothing is changed.

The format is that of `git format-patch` and `git diff` (git's documentation, "Generating patch text with -p")
and of plain unified diffs whose names begin with a/ and b/ (POSIX.1-2017, `diff -u`).
"""

from __future__ import annotations

import os
import re
import shutil
import stat
import tempfile
from dataclasses import dataclass
from enum import Enum
from itertools import pairwise
from pathlib import Path
from typing import NoReturn

from recipes.errors import PatchError
from recipes.storage import storage_errors

MODES = {"100644": 0o644, "100755": 0o755}  # what a source tree needs; a link in a patch could lead outside
MAX_FUZZ = 3  # context lines at either end that `find_drift` may overlook; git makes hunks with three
SHOWN_CHARACTERS = 120
NO_NEWLINE = b"\\ No newline at end of file"

_HUNK = re.compile(rb"@@ -(\d{1,9})(?:,(\d{1,9}))? \+(\d{1,9})(?:,(\d{1,9}))? @@(?: .*)?")
_MODE_LINES = {b"old mode": "old", b"deleted file mode": "old", b"new mode": "new", b"new file mode": "new"}
_ESCAPES = {b"a": 7, b"b": 8, b"t": 9, b"n": 10, b"v": 11, b"f": 12, b"r": 13, b'"': 34, b"\\": 92}
_LOCK = "python3 noxfile.py -s lock -- --recipe NAME"
_MAKE_AGAIN = f"make the patch again with `git format-patch -1`, then pin it with `{_LOCK}`"
_REBASE = f"change the patch so that it fits this source exactly, then pin it with `{_LOCK}`"
_DISTRUST = "do not use this patch: no change of a source needs that; read it before anything else"


@dataclass(frozen=True)
class Hunk:
    """A run of lines, some of them changed.

    Parameters
    ----------
    row
        Its line in the patch, from 1.
    old_at, new_at
        How many lines of the file precede it, before and after the change.
    lines
        Each line with its sign " ", "-" or "+"; with its line ending, if it has one.
    """

    row: int
    old_at: int
    new_at: int
    lines: tuple[tuple[str, bytes], ...]

    @property
    def old(self) -> tuple[bytes, ...]:
        """The lines before the change."""
        return tuple(line for sign, line in self.lines if sign != "+")

    @property
    def new(self) -> tuple[bytes, ...]:
        """The lines after it."""
        return tuple(line for sign, line in self.lines if sign != "-")

    @property
    def is_at_end(self) -> bool:
        """Whether nothing follows its last change: then the file ends there, as git demands too."""
        return self.lines[-1][0] != " "


@dataclass(frozen=True)
class FileChange:
    """What a patch does to one file.

    Parameters
    ----------
    row
        Its first line in the patch, from 1.
    old_path, new_path
        POSIX paths in the tree; None before a file is created and after it is removed.
    old_mode, new_mode
        "100644" or "100755"; None where the patch does not say.
    hunks
        In the order of the file; none where only its name or mode changes.
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
class Patch:
    """A patch that is well formed, with what its author says of it.

    Parameters
    ----------
    where
        What the patch is to the user, such as its path; errors begin with it.
    author, date, subject, reason
        From the header and the message; empty where the patch has none.
    changes
        One per file.
    """

    where: str
    author: str
    date: str
    subject: str
    reason: str
    changes: tuple[FileChange, ...]


class Fit(Enum):
    """How a hunk, or a whole file's change, meets a tree."""

    EXACT = "applies"
    APPLIED = "is applied already"
    MOVED = "applies only at another line"
    FUZZY = "applies only with fuzz"
    CONFLICT = "does not apply"


@dataclass(frozen=True)
class Difference:
    """A line that is not what the patch expects; None stands for the end of the file."""

    line: int
    expected: bytes | None
    found: bytes | None


@dataclass(frozen=True)
class HunkReport:
    """How one hunk meets a tree.

    Parameters
    ----------
    path
        The file.
    hunk
        Its number in that file, from 1; 0 where the file as a whole is meant.
    row
        Its line in the patch.
    line
        Where it should apply, from 1.
    fit
        Whether it does.
    offset
        How many lines further down it was found; negative: further up.
    differences
        The lines that stand against it.
    reason
        What stands against the file as a whole.
    """

    path: str
    hunk: int
    row: int
    line: int
    fit: Fit
    offset: int = 0
    differences: tuple[Difference, ...] = ()
    reason: str = ""

    def __str__(self) -> str:
        place = f"{self.path}:{self.line}: hunk {self.hunk}" if self.hunk else f"{self.path}: the file"
        text = f"{place} {self.fit.value}"
        if self.offset:
            text += f", {abs(self.offset)} lines {'down' if self.offset > 0 else 'up'}"
        if self.reason:
            text += f": {self.reason}"
        rows = (
            f"\n  line {difference.line}: expected {_show(difference.expected)}, found {_show(difference.found)}"
            for difference in self.differences
        )
        return text + "".join(rows)
