"""Parse and apply patches exactly: every line where the patch says it is, or nothing is changed.

The format is that of `git format-patch` and `git diff` (git's documentation, "Generating patch text with -p")
and of unified diffs whose names begin with a/ and b/ (POSIX.1-2017, `diff -u`).
"""

from __future__ import annotations

import io
import os
import re
import shutil
import stat
import tempfile
import unicodedata
from contextlib import suppress
from dataclasses import dataclass, replace
from enum import Enum
from functools import partial
from itertools import islice
from operator import eq
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, NoReturn

from recipes.errors import PatchError
from recipes.storage import storage_errors

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping, Sequence

MODES = {"100644": 0o644, "100755": 0o755}  # all that a source needs; a link could lead outside the tree
MAX_FUZZ = 2  # context lines at either end that a report overlooks, as GNU patch does unless told otherwise
SHOWN_CHARACTERS = 100
SHOWN_DIFFERENCES = 3

_HUNK = re.compile(rb"@@ -(\d{1,9})(?:,(\d{1,9}))? \+(\d{1,9})(?:,(\d{1,9}))? @@(?: .*)?")
_INDEX = re.compile(rb"index [0-9a-f]+\.\.[0-9a-f]+(?: (\d+))?")
_FIELDS = (
    *(b"old mode", b"new mode", b"deleted file mode", b"new file mode"),
    *(b"similarity index", b"dissimilarity index", b"rename from", b"rename to"),
)
_ESCAPE = re.compile(rb'\\([0-3][0-7]{2}|[abtnvfr"\\])')
_QUOTED = re.compile(rb'"((?:[^"\\]|' + _ESCAPE.pattern + rb')*)"')
_ESCAPED = dict(zip(b'abtnvfr"\\', b'\a\b\t\n\v\f\r"\\', strict=True))
_PIN = "then pin it with `python3 noxfile.py -s lock -- --recipe NAME`"
_MAKE_AGAIN = f"make the patch again with `git format-patch -1`, {_PIN}"
_FIT_AGAIN = f"change the patch so that it fits this source exactly, {_PIN}"
_LEAVE_OUT = f"the source has this change: take it out of the recipe's `patches`, {_PIN}"
_DISTRUST = "do not use this patch: no change of a source needs this; read it whole before anything else"


class Fit(Enum):
    """How a hunk, or a file's whole change, meets a tree."""

    EXACT = "applies"
    APPLIED = "is applied already"
    MOVED = "applies only at another line"
    FUZZY = "applies only with fuzz"
    CONFLICT = "does not apply"


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
        Each with its sign " ", "-" or "+", and with its line ending if it has one.
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
    """What a patch does to one file.

    Parameters
    ----------
    row
        Its first line in the patch, from 1.
    old_path, new_path
        POSIX paths in the tree; None before the file is created and after it is removed.
    old_mode, new_mode
        A key of MODES; None where the patch does not say.
    hunks
        In the order of the file; none where only its name or mode changes, or it is empty.
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
    """A well-formed patch, and what its author says of it.

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


@dataclass(frozen=True)
class Difference:
    """A line, from 1, that is not what the patch expects; None stands for the end of the file."""

    line: int
    expected: bytes | None
    found: bytes | None


@dataclass(frozen=True)
class HunkReport:
    """How one hunk meets a tree; or the file, where that as a whole stands against it.

    Parameters
    ----------
    path
        The file.
    hunk
        The hunk's number in it, from 1; 0 for the file.
    row
        The line of the patch.
    line
        Where it should apply, from 1; 0 for the file.
    fit
        Whether it does.
    offset
        How many lines further down it was found, or what is most like it; negative: further up.
    differences
        The first lines that stand against it.
    expected, found
        What stands against the file.
    """

    path: str
    hunk: int
    row: int
    line: int
    fit: Fit
    offset: int = 0
    differences: tuple[Difference, ...] = ()
    expected: str = ""
    found: str = ""

    @property
    def verdict(self) -> str:
        """The fit and the offset, in words."""
        near = "; the lines most like its own are" if self.fit is Fit.CONFLICT else ","
        return self.fit.value + (f"{near} {_distance(self.offset)}" if self.offset else "")

    def __str__(self) -> str:
        text = f"{self.path}:{self.line}: hunk {self.hunk}" if self.hunk else self.path
        text += f" {self.verdict}"
        if self.expected:
            text += f": expected {self.expected}, found {self.found}"
        rows = (
            f"line {d.line}: expected {_show(d.expected)}, found {_show(d.found)}" for d in self.differences
        )
        return "\n  ".join((text, *rows))


# --- parsing ---


class _Reader:
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
        """Give that row, and go on to the next."""
        row = self.row
        self._at += 1
        return row

    def take_header(self) -> list[bytes]:
        """Give the rows before the first changed file."""
        start = self._at
        while self.row is not None and not self.is_change():
            if _HUNK.match(self.row):
                self.refuse("a file's name before its hunks", _quote(self.row))
            self._at += 1
        return self._rows[start : self._at]

    def is_change(self) -> bool:
        """Tell whether a changed file begins here."""
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
                fix = "put each patch in a file of its own" if row.startswith(b"From ") else _MAKE_AGAIN
                self.refuse(expected, _quote(row), fix=fix, row=number)
        self._at = len(self._rows)

    def refuse(
        self, expected: str, found: str, *, fix: str = _MAKE_AGAIN, row: int | None = None
    ) -> NoReturn:
        """Raise the error for a row, by default the one to be read next."""
        where = f"{self._where}:{row or self.number}"
        raise PatchError(where=where, expected=expected, found=found, fix=fix)


def parse_patch(data: bytes, where: str) -> Patch:
    """Read a patch; nothing in it is passed over.

    Parameters
    ----------
    data
        The patch file's bytes.
    where
        What the patch is to the user, such as its path; errors begin with it.

    Raises
    ------
    PatchError
        Where it is empty or malformed, is binary, copies a file, makes or removes a link, or names a path
        that leads outside the tree.
    """
    reader = _Reader(data, where)
    if data.count(b"\r\n") == data.count(b"\n") > 0:
        fix = "git config core.autocrlf false, then check the file out again: its line endings were converted"
        reader.refuse("lines that end in LF", "CR LF at the end of every line", fix=fix)
    header = reader.take_header()
    changes = []
    while reader.row is not None:
        if reader.is_change():
            parse = _parse_git_change if reader.row.startswith(b"diff") else _parse_plain_change
            changes.append(parse(reader))
        else:
            reader.take_end()
    if not changes:
        reader.refuse("at least one changed file", "none")
    _check_apart(reader, changes)
    author, date, subject, reason = _parse_header(header)
    return Patch(where, author, date, subject, reason, tuple(changes))


def _parse_header(rows: list[bytes]) -> tuple[str, str, str, str]:
    """Give author, date, subject and the message's body; any text will do (RFC 5322 for the fields)."""
    from email.errors import MessageError  # noqa: PLC0415 - costs more than parsing most patches
    from email.header import decode_header, make_header  # noqa: PLC0415 - as above

    lines = [row.decode(errors="replace").rstrip("\r") for row in rows]
    fields = {"From": "", "Date": "", "Subject": ""}
    at = 1 if lines and lines[0].startswith("From ") else 0
    name = ""
    while at < len(lines) and (match := re.fullmatch(r"([A-Za-z-]+): ?(.*)|[ \t]+(.*)", lines[at])):
        name = match[1] or name
        if name in fields:
            fields[name] = f"{fields[name]} {match[2] or match[3] or ''}".strip()
        at += 1
    for name, value in fields.items():
        with suppress(MessageError, LookupError, ValueError):  # what cannot be decoded is shown as it is
            fields[name] = str(make_header(decode_header(value)))
    body = lines[at:]
    body = body[: body.index("---")] if "---" in body else body
    subject = re.sub(r"^\[PATCH[^\]]*\] *", "", fields["Subject"])
    return fields["From"], fields["Date"], subject, "\n".join(body).strip()


def _parse_plain_change(reader: _Reader) -> FileChange:
    row = reader.number
    old_path, new_path, hunks = _parse_body(reader)
    if old_path and new_path and old_path != new_path:
        reader.refuse("one name", f"{old_path!r} and {new_path!r}", row=row)
    return FileChange(row, old_path, new_path, None, None if old_path else "100644", hunks)


def _parse_git_change(reader: _Reader) -> FileChange:
    row, names = reader.number, (reader.take() or b"").removeprefix(b"diff --git ")
    fields = _parse_fields(reader)
    created, removed = b"new file mode" in fields, b"deleted file mode" in fields
    renamed, moded = b"rename from" in fields, b"old mode" in fields
    paired = renamed is (b"rename to" in fields) and moded is (b"new mode" in fields)
    if not paired or created + removed + (renamed or moded) > 1:
        reader.refuse("one thing done to the file", "header lines that contradict each other", row=row)
    renames = [
        _parse_path(reader, fields[name], b"", row) for name in (b"rename from", b"rename to") if renamed
    ]
    first, second = _parse_names(reader, names, renames, row)
    old_path, new_path = None if created else first, None if removed else second
    hunks: tuple[Hunk, ...] = ()
    if (reader.row or b"").startswith(b"--- "):
        *paths, hunks = _parse_body(reader)
        if paths != [old_path, new_path]:
            expected = f"{old_path!r} and {new_path!r}, as the lines above say"
            reader.refuse(expected, f"{paths[0]!r} and {paths[1]!r}", row=hunks[0].row - 2)
    elif not (created or removed or renamed or moded):
        reader.refuse("--- and a name", _quote(reader.row))
    modes = {name: fields[name].decode() for name in fields if name.endswith(b"mode")}
    same = modes.get(b"index mode")
    old_mode = modes.get(b"old mode") or modes.get(b"deleted file mode") or same
    new_mode = modes.get(b"new mode") or modes.get(b"new file mode") or same
    return FileChange(
        row, old_path, new_path, None if created else old_mode, None if removed else new_mode, hunks
    )


def _parse_fields(reader: _Reader) -> dict[bytes, bytes]:
    """Read the extended header lines of one file."""
    fields: dict[bytes, bytes] = {}
    while row := reader.row:
        if row.startswith((b"GIT binary patch", b"Binary files ")):
            fix = "bring a binary file as a source of its own, not in a patch"
            reader.refuse("a change of text", "a binary one", fix=fix)
        if row.startswith((b"copy from ", b"copy to ")):
            fix = f"make the patch without `-C`, {_PIN}"
            reader.refuse("files changed, created, removed or renamed", "a copy", fix=fix)
        name = next((name for name in _FIELDS if row.startswith(name + b" ")), b"")
        value = row[len(name) + 1 :]
        if index := _INDEX.fullmatch(row):
            name, value = b"index mode" if index[1] else b"index", index[1] or b""
        if not name:
            break
        if name in fields:
            reader.refuse("each header line once", _quote(row))
        if name.endswith(b"mode") and value.decode(errors="replace") not in MODES:
            expected = f"a file of mode {' or '.join(MODES)}"
            reader.refuse(
                expected, f"mode {_quote(value)}", fix="leave links and submodules out of the patch"
            )
        fields[name] = value
        reader.take()
    return fields


def _parse_names(reader: _Reader, names: bytes, renames: list[str], row: int) -> tuple[str, str]:
    """Tell the two names after `diff --git` apart: by their quotes, by the renaming, or by being the same."""
    if quoted := _QUOTED.match(names):
        end = quoted.end()
    else:
        end = len(b"a/" + renames[0].encode()) if renames else len(names) // 2
    first = _parse_path(reader, names[:end], b"a/", row)
    second = _parse_path(reader, names[end + 1 :], b"b/", row)
    if names[end : end + 1] != b" " or [first, second] != (renames or [first, first]):
        expected = f"{' and '.join(map(repr, renames))}, as renamed" if renames else "the same name twice"
        reader.refuse(expected, _quote(names), row=row)
    return first, second


def _parse_body(reader: _Reader) -> tuple[str | None, str | None, tuple[Hunk, ...]]:
    """Read --- and +++ with their names, and the hunks."""
    paths = []
    for sign, prefix in ((b"--- ", b"a/"), (b"+++ ", b"b/")):
        row = reader.row or b""
        if not row.startswith(sign):
            reader.refuse(f"{sign.decode()}and a name", _quote(reader.row))
        quoted = _QUOTED.match(row, len(sign))
        end = quoted.end() if quoted else len(sign)
        name = row[len(sign) : end] + row[end:].partition(b"\t")[0]  # a time may follow, after a tab
        paths.append(None if name == b"/dev/null" else _parse_path(reader, name, prefix, reader.number))
        reader.take()
    hunks: list[Hunk] = []
    while reader.row is not None and (not hunks or reader.row.startswith(b"@@ ")):
        hunks.append(_parse_hunk(reader, hunks[-1] if hunks else None))
    if not hunks:
        reader.refuse("a hunk", "the end of the patch")
    if paths == [None, None]:
        reader.refuse("a file", "/dev/null twice", row=hunks[0].row - 2)
    whole = {"+"} if paths[0] is None else {"-"} if paths[1] is None else None
    if whole and (len(hunks) > 1 or hunks[0].old_at or {sign for sign, _ in hunks[0].lines} != whole):
        reader.refuse("one hunk, which holds the whole file", "another", row=hunks[0].row)
    return paths[0], paths[1], tuple(hunks)


def _parse_hunk(reader: _Reader, before: Hunk | None) -> Hunk:
    row = reader.number
    header = _HUNK.fullmatch(reader.row or b"")
    if header is None:
        reader.refuse("a hunk's header, such as @@ -10,6 +10,7 @@", _quote(reader.row))
    reader.take()
    old_start, old_count, new_start, new_count = (
        1 if part is None else int(part) for part in header.groups()
    )
    lines = _parse_lines(reader, old_count, new_count)
    # The format names the line before an empty run, and the first line of any other.
    hunk = Hunk(row, old_start - bool(old_count), new_start - bool(new_count), lines)
    old_end = before.old_at + len(before.old) if before else 0
    if hunk.old_at < old_end:
        reader.refuse(f"a hunk below line {old_end}, where the one before ends", _quote(header[0]), row=row)
    new_at = hunk.old_at - old_end + (before.new_at + len(before.new) if before else 0)
    if hunk.new_at != new_at:
        expected = f"+{new_at + bool(new_count)}, as the hunks before it shift the lines"
        reader.refuse(expected, _quote(header[0]), row=row)
    if all(sign == " " for sign, _ in lines):
        reader.refuse("a changed line", "context only", row=row)
    for side in (hunk.old, hunk.new):
        if any(not line.endswith(b"\n") for line in side[:-1]) or b"" in side:
            reader.refuse("only a file's last line without its newline", "another", row=row)
    return hunk


def _parse_lines(reader: _Reader, old_count: int, new_count: int) -> tuple[tuple[str, bytes], ...]:
    lines: list[tuple[str, bytes]] = []
    old_left, new_left = old_count, new_count
    while old_left or new_left:
        row = reader.row
        sign = (
            chr(row[0]) if row else " " if row == b"" else ""
        )  # some tools leave an empty context line empty
        old_left -= sign in {" ", "-"}
        new_left -= sign in {" ", "+"}
        if sign not in {" ", "-", "+"} or old_left < 0 or new_left < 0:
            expected = f"{old_count} lines before and {new_count} after, as the hunk's header says"
            reader.refuse(expected, f"{_quote(row)} after {len(lines)} lines of it")
        reader.take()
        ending = b"\n"
        if (reader.row or b"").startswith(b"\\ "):
            reader.take()
            ending = b""
        lines.append((sign, (row or b"")[1:] + ending))
    return tuple(lines)


def _parse_path(reader: _Reader, name: bytes, prefix: bytes, row: int) -> str:
    """Give the path that a name stands for, below the tree."""
    quoted = _QUOTED.fullmatch(name)
    plain = _ESCAPE.sub(_unescape, quoted[1]) if quoted else name
    if not plain.startswith(prefix) or (quoted is None and name.startswith(b'"')):
        expected = f"a name below {prefix.decode()}, as git writes it by default"
        reader.refuse(expected, _quote(name), row=row)
    path = plain[len(prefix) :]
    if trouble := _path_trouble(path):
        reader.refuse(
            "the path of a file below the tree", f"{_quote(path)}: {trouble}", fix=_DISTRUST, row=row
        )
    return path.decode()


def _unescape(match: re.Match[bytes]) -> bytes:
    code = match[1]
    return bytes([int(code, 8)]) if len(code) > 1 else bytes([_ESCAPED[code[0]]])


def _path_trouble(path: bytes) -> str:
    try:
        text = path.decode()
    except UnicodeDecodeError:
        return "not UTF-8"
    if strange := next((character for character in text if unicodedata.category(character) == "Cc"), None):
        return f"the character {strange!r}"
    parts = text.split("/")
    rules = (
        ("an absolute path", text.startswith("/")),
        ("a path with `..`", ".." in parts),
        ("a path with `.` or an empty part", "." in parts or "" in parts),
        ("a path with a backslash", "\\" in text),
        ("git's own folder", any(part.casefold() == ".git" for part in parts)),
    )
    return next((trouble for trouble, holds in rules if holds), "")


def _check_apart(reader: _Reader, changes: list[FileChange]) -> None:
    """Refuse a patch that changes, or makes, one path twice."""
    old_paths: set[str] = set()
    new_paths: set[str] = set()
    for change in changes:
        for path, seen in ((change.old_path, old_paths), (change.new_path, new_paths)):
            if path in seen:
                reader.refuse("each file once", f"{path!r} again", row=change.row)
            if path:
                seen.add(path)
    for change in changes:
        folder = change.new_path or ""
        while folder := folder.rpartition("/")[0]:
            if folder in new_paths:
                reader.refuse(f"{change.new_path!r} in a folder", f"{folder!r} as a file", row=change.row)


# --- judging ---


class _File(NamedTuple):
    """A file's bytes, and its mode as git has it."""

    data: bytes
    mode: str

    @property
    def lines(self) -> list[bytes]:
        """Its lines, each with its ending."""
        return io.BytesIO(self.data).readlines()


class _Objection(Exception):  # noqa: N818 - never shown: it becomes a report
    def __init__(self, expected: str, found: str) -> None:
        super().__init__(expected, found)
        self.expected, self.found = expected, found


class _Meeting(NamedTuple):
    """A change, the file that it changes as it is now, and how the two get on."""

    change: FileChange
    old: _File | None
    reports: tuple[HunkReport, ...]

    @property
    def is_exact(self) -> bool:
        """Whether the change applies as it is."""
        return all(report.fit is Fit.EXACT for report in self.reports)


def find_drift(patch: Patch, tree: Path) -> tuple[HunkReport, ...]:
    """Say of each hunk whether it applies, and if not, how far it is from doing so.

    Parameters
    ----------
    patch
        From `parse_patch`.
    tree
        The folder that its paths are relative to; it is only read.

    Raises
    ------
    StoreError
        Where the tree cannot be read.
    """
    with storage_errors(tree):
        return tuple(report for meeting in _meet(patch, tree) for report in meeting.reports)


def _meet(patch: Patch, tree: Path) -> list[_Meeting]:
    """Hold each change against the tree; and its reverse, which fits where the change is applied already."""
    meetings = _meet_all(patch.changes, tree)
    if not all(meeting.is_exact for meeting in meetings):
        reverse = _meet_all([_reversed(change) for change in patch.changes], tree)
        for index, (meeting, back) in enumerate(zip(meetings, reverse, strict=True)):
            if back.is_exact and not meeting.is_exact:
                meetings[index] = meeting._replace(reports=_applied(meeting.change, back.reports))
    return meetings


def _meet_all(changes: Sequence[FileChange], tree: Path) -> list[_Meeting]:
    gone = _removed_paths(changes)
    return [_meet_file(change, tree, gone) for change in changes]


def _removed_paths(changes: Sequence[FileChange]) -> set[str]:
    """Give the paths that are no longer there once a patch is applied."""
    return {change.old_path for change in changes if change.old_path and change.old_path != change.new_path}


def _reversed(change: FileChange) -> FileChange:
    signs = {" ": " ", "-": "+", "+": "-"}
    hunks = (
        Hunk(hunk.row, hunk.new_at, hunk.old_at, tuple((signs[sign], line) for sign, line in hunk.lines))
        for hunk in change.hunks
    )
    paths, modes = (change.new_path, change.old_path), (change.new_mode, change.old_mode)
    return FileChange(change.row, *paths, *modes, tuple(hunks))


def _applied(change: FileChange, reports: Sequence[HunkReport]) -> tuple[HunkReport, ...]:
    return tuple(replace(report, path=change.path, fit=Fit.APPLIED) for report in reports)


def _meet_file(change: FileChange, tree: Path, gone: Collection[str]) -> _Meeting:
    whole = HunkReport(change.path, 0, change.row, 0, Fit.EXACT)
    old = None
    try:
        old = _look(tree, change.old_path, gone) if change.old_path else None
        new = _look(tree, change.new_path, gone) if change.new_path else None
        objection = _objection(change, old, None if change.new_path in gone else new)
    except _Objection as found:
        objection = found
    if objection:
        report = replace(whole, fit=Fit.CONFLICT, expected=objection.expected, found=objection.found)
        return _Meeting(change, old, (report,))
    lines = old.lines if old else []
    reports = (_meet_hunk(change, number, lines) for number in range(len(change.hunks)))
    return _Meeting(change, old, tuple(reports) or (whole,))


def _look(tree: Path, path: str, gone: Collection[str]) -> _File | None:
    """Read a file, reached through real folders only; None where there is none once `gone` is gone."""
    names = path.split("/")
    for depth in range(1, len(names) + 1):
        name = "/".join(names[:depth])
        place = tree / name
        try:
            status = place.lstat()
        except FileNotFoundError:
            return None
        is_folder, is_file = stat.S_ISDIR(status.st_mode), stat.S_ISREG(status.st_mode)
        if depth < len(names) and not is_folder:
            if is_file and name in gone:
                return None
            raise _Objection("a path that leads through folders", f"{name!r}, which is {_kind(status)}")
        if depth == len(names) and not is_file:
            if is_folder and _vanishes(place, name, gone):
                return None
            raise _Objection("a file", _kind(status))
    descriptor = os.open(tree / path, os.O_RDONLY | os.O_NOFOLLOW)
    with open(descriptor, "rb") as file:  # noqa: PTH123 - of a descriptor, which Path cannot open
        return _File(file.read(), "100755" if status.st_mode & stat.S_IXUSR else "100644")


def _vanishes(folder: Path, path: str, gone: Collection[str]) -> bool:
    with os.scandir(folder) as listing:
        items = list(listing)
    return bool(items) and all(
        _vanishes(Path(item.path), f"{path}/{item.name}", gone)
        if item.is_dir(follow_symlinks=False)
        else f"{path}/{item.name}" in gone
        for item in items
    )


def _kind(status: os.stat_result) -> str:
    kinds = {stat.S_IFLNK: "a link", stat.S_IFDIR: "a folder", stat.S_IFREG: "a file"}
    return kinds.get(stat.S_IFMT(status.st_mode), "neither a file nor a folder")


def _objection(change: FileChange, old: _File | None, new: _File | None) -> _Objection | None:
    """Say what stands against a change apart from its hunks."""
    if change.old_path and old is None:
        return _Objection(f"a file {change.old_path!r}", "none")
    if old and change.old_mode and old.mode != change.old_mode:
        return _Objection(f"mode {change.old_mode}", f"mode {old.mode}")
    if old and change.new_path is None and not change.hunks and old.data:
        return _Objection("an empty file to remove", f"one of {len(old.data)} bytes")
    if new and change.old_path != change.new_path:
        return _Objection(f"no file {change.new_path!r} yet", "one with other content")
    return None


def _matches(hunk: Hunk, wanted: list[bytes], at: int, lines: list[bytes]) -> bool:
    end = at + len(wanted)
    return lines[at:end] == wanted and (end == len(lines) or (end < len(lines) and not hunk.is_at_end))


def _meet_hunk(change: FileChange, index: int, lines: list[bytes]) -> HunkReport:
    hunk = change.hunks[index]
    report = HunkReport(change.path, index + 1, hunk.row, hunk.old_at + 1, Fit.EXACT)
    old, new = hunk.old, hunk.new
    if _matches(hunk, old, hunk.old_at, lines):
        return report
    if _matches(hunk, new, hunk.new_at, lines):
        return replace(report, fit=Fit.APPLIED)
    for fit, wanted, at in ((Fit.MOVED, old, hunk.old_at), (Fit.APPLIED, new, hunk.new_at)):
        places = [place for place in _places(wanted, lines) if _matches(hunk, wanted, place, lines)]
        if places:
            return replace(report, fit=fit, offset=_nearest(places, at) - at)
    leading = next(count for count, (sign, _) in enumerate(hunk.lines) if sign != " ")
    trailing = next(count for count, (sign, _) in enumerate(reversed(hunk.lines)) if sign != " ")
    for fuzz in range(MAX_FUZZ + 1):
        head, tail = min(fuzz, leading), min(fuzz, trailing)
        places = [place - head for place in _places(old[head : len(old) - tail], lines) if place >= head]
        if places:
            at = _nearest(places, hunk.old_at)
            differences = _differences(hunk, at, lines)
            return replace(report, fit=Fit.FUZZY, offset=at - hunk.old_at, differences=differences)
    at = _most_alike(old, lines, hunk.old_at)
    differences = _differences(hunk, at, lines)
    return replace(report, fit=Fit.CONFLICT, offset=at - hunk.old_at, differences=differences)


def _places(wanted: list[bytes], lines: list[bytes]) -> list[int]:
    if not wanted:
        return []
    starts = range(len(lines) - len(wanted) + 1)
    return [at for at in starts if lines[at] == wanted[0] and lines[at : at + len(wanted)] == wanted]


def _nearest(places: list[int], at: int) -> int:
    return min(places, key=lambda place: (abs(place - at), place))


def _most_alike(wanted: list[bytes], lines: list[bytes], at: int) -> int:
    """Give the place where at least half of the lines are the wanted ones, and the most; else `at`."""
    alike = {
        place: sum(map(eq, wanted, lines[place : place + len(wanted)]))
        for place in range(len(lines) - len(wanted) + 1)
    }
    most = max(alike.values(), default=0)
    return (
        _nearest([place for place in alike if alike[place] == most], at)
        if 2 * most >= len(wanted) > 0
        else at
    )


def _differences(hunk: Hunk, at: int, lines: list[bytes]) -> tuple[Difference, ...]:
    """Give the first lines from `at` that are not those of a hunk."""
    wanted: list[bytes | None] = [*hunk.old, None] if hunk.is_at_end else [*hunk.old]
    found = [lines[place] if place < len(lines) else None for place in range(at, at + len(wanted))]
    unlike = (
        Difference(at + count + 1, expected, had)
        for count, (expected, had) in enumerate(zip(wanted, found, strict=True))
        if expected != had
    )
    return tuple(islice(unlike, SHOWN_DIFFERENCES))


def _refuse_reports(patch: Patch, reports: Sequence[HunkReport]) -> NoReturn:
    """Raise the error for the first report that is not exact; or for all, where all is applied already."""
    if all(report.fit is Fit.APPLIED for report in reports):
        paths = ", ".join(dict.fromkeys(report.path for report in reports))
        raise PatchError(
            where=patch.where,
            expected="a source without this change",
            found=f"the patch is applied already, to {paths}",
            fix=_LEAVE_OUT,
        )
    report = next(report for report in reports if report.fit is not Fit.EXACT)
    place = report.line + report.offset
    expected, found, fix = report.expected, report.found, _FIT_AGAIN
    if report.fit is Fit.MOVED:
        expected, found = (
            f"its lines at line {report.line}",
            f"them at line {place}, {_distance(report.offset)}",
        )
    elif report.fit is Fit.APPLIED:
        expected, found = "a source without this change", f"it {report.fit.value}"
        fix = f"the source has a part of this change: take that out of the patch, {_PIN}"
    elif report.differences:
        expected = "\n".join(f"line {row.line}: {_show(row.expected)}" for row in report.differences)
        found = "\n".join(f"line {row.line}: {_show(row.found)}" for row in report.differences)
        found += f"\n(the hunk {report.verdict})" if report.offset or report.fit is Fit.FUZZY else ""
    hunk = f"hunk {report.hunk} of " if report.hunk else ""
    raise PatchError(
        where=f"{patch.where}:{report.row}: {hunk}{report.path}", expected=expected, found=found, fix=fix
    )


def _quote(row: bytes | None) -> str:
    """Give a row of a patch, or a line of a file, as an error shows it."""
    if row is None:
        return "the end of the patch"
    text = row.decode(errors="backslashreplace")
    return repr(text if len(text) <= SHOWN_CHARACTERS else text[:SHOWN_CHARACTERS] + "...")


def _show(line: bytes | None) -> str:
    """Give a line of a file as an error shows it; None stands for the end of the file."""
    if line is None:
        return "the end of the file"
    return _quote(line.removesuffix(b"\n")) + ("" if line.endswith(b"\n") else " and no newline")


def _distance(lines: int) -> str:
    """Say how far an offset leads, and where to."""
    return f"{abs(lines)} line{'s' * (abs(lines) != 1)} further {'down' if lines > 0 else 'up'}"


# --- writing ---


def apply_patch(patch: Patch, tree: Path) -> tuple[str, ...]:
    """Apply a patch wholly or not at all: everything is checked before anything is written.

    Files are replaced by rename and never written in place, so that hard links to them keep their content.

    Parameters
    ----------
    patch
        From `parse_patch`.
    tree
        The folder that its paths are relative to.

    Returns
    -------
    tuple of str
        The paths that were changed, created or removed.

    Raises
    ------
    PatchError
        Where a hunk does not apply at exactly its line, or the patch is applied already.
    StoreError
        Where the file system refuses; the tree is then as it was.
    """
    with storage_errors(tree):
        meetings = _meet(patch, tree)
        reports = [report for meeting in meetings for report in meeting.reports]
        if not all(meeting.is_exact for meeting in meetings):
            _refuse_reports(patch, reports)
        written = {
            meeting.change.new_path: _edited(meeting.change, meeting.old)
            for meeting in meetings
            if meeting.change.new_path
        }
        removed = _removed_paths(patch.changes)
        _write(tree, removed, written)
    return tuple(sorted(removed | written.keys()))


def _edited(change: FileChange, old: _File | None) -> _File:
    lines = old.lines if old else []
    parts: list[bytes] = []
    at = 0
    for hunk in change.hunks:
        parts += [*lines[at : hunk.old_at], *hunk.new]
        at = hunk.old_at + len(hunk.old)
    mode = change.new_mode or (old.mode if old else "100644")
    return _File(b"".join([*parts, *lines[at:]]), mode)


def _write(tree: Path, removed: Collection[str], written: Mapping[str, _File]) -> None:
    """Move the old files away and the new ones in; on any failure, Ctrl-C included, move all back."""
    staging = Path(tempfile.mkdtemp(prefix=".patch-", dir=tree))
    undo: list[Callable[[], object]] = []  # each is entered before what it undoes: Ctrl-C may come in between
    try:
        for number, file in enumerate(written.values()):
            place = staging / f"new-{number}"
            place.write_bytes(file.data)
            place.chmod(MODES[file.mode])
        for number, path in enumerate([*removed, *written]):
            if (tree / path).is_file():
                _move(tree / path, staging / f"old-{number}", undo)
        for path in removed:
            _remove_emptied(tree / path, tree, undo)
        for number, path in enumerate(written):
            _make_folders((tree / path).parent, undo)
            _move(staging / f"new-{number}", tree / path, undo)
    except BaseException:
        for step in reversed(undo):
            with suppress(FileNotFoundError, FileExistsError):  # what was entered and not done
                step()
        shutil.rmtree(staging, ignore_errors=True)
        raise
    shutil.rmtree(staging)


def _move(source: Path, target: Path, undo: list[Callable[[], object]]) -> None:
    undo.append(partial(target.rename, source))
    source.rename(target)


def _remove_emptied(file: Path, tree: Path, undo: list[Callable[[], object]]) -> None:
    # As git does, which knows no empty folders.
    for folder in file.parents:
        if folder == tree or not folder.is_dir() or any(folder.iterdir()):
            return
        undo.append(partial(_make_folder, folder))
        folder.rmdir()


def _make_folders(folder: Path, undo: list[Callable[[], object]]) -> None:
    if not folder.is_dir():
        _make_folders(folder.parent, undo)
        undo.append(folder.rmdir)
        _make_folder(folder)


def _make_folder(folder: Path) -> None:
    folder.mkdir()
    folder.chmod(0o755)
