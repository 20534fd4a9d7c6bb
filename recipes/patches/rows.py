"""The rows of a patch, read one after another."""

from __future__ import annotations

import re
from typing import NoReturn

from recipes.core.errors import PatchError
from recipes.patches.model import MAKE_AGAIN, quote

HUNK = re.compile(rb"@@ -(\d{1,9})(?:,(\d{1,9}))? \+(\d{1,9})(?:,(\d{1,9}))? @@(?: .*)?")


class PatchRows:
    """The rows of a patch, and where an error in them is."""

    def __init__(self, data: bytes, where: str) -> None:
        self._rows = data.split(b"\n")
        self._where, self._at = where, 0
        if self._rows.pop() and data:
            self._at = len(self._rows)
            self.refuse("a newline at the end", "the last line is cut off")

    @property
    def row(self) -> bytes | None:
        """The row to be read next; None at the end."""
        return self._rows[self._at] if self._at < len(self._rows) else None

    @property
    def number(self) -> int:
        """The number of that row, from 1."""
        return self._at + 1

    def take(self) -> bytes | None:
        """Return that row, and go on to the next."""
        row = self.row
        self._at += 1
        return row

    def skip_header(self) -> None:
        """Go on to the first changed file."""
        while self.row is not None and not self.is_change():
            if HUNK.match(self.row):
                self.refuse("a file's name before its hunks", quote(self.row))
            self._at += 1

    def is_change(self) -> bool:
        """Return whether a changed file begins here."""
        following = self._rows[self._at + 1 : self._at + 2]
        row = self.row or b""
        return row.startswith(b"diff --git ") or (
            row.startswith(b"--- ") and bool(following) and following[0].startswith(b"+++ ")
        )

    def take_end(self) -> None:
        """Read what may follow the last hunk: git's signature, and empty rows."""
        number = self._at
        rest = self._rows[self._at :]
        if rest[:1] == [b"-- "]:
            rest, number = rest[2:], number + 2  # the signature, and the version of git below it
        for row in rest:
            number += 1
            if row:
                expected = "a hunk (@@), a file (diff --git, or --- and +++) or the end of the patch"
                fix = "put each patch in a file of its own" if row.startswith(b"From ") else MAKE_AGAIN
                self.refuse(expected, quote(row), fix=fix, row=number)
        self._at = len(self._rows)

    def refuse(self, expected: str, found: str, *, fix: str = MAKE_AGAIN, row: int | None = None) -> NoReturn:
        """Raise the error for a row, by default the one to be read next."""
        where = f"{self._where}:{row or self.number}"
        raise PatchError(where=where, expected=expected, found=found, fix=fix)
