"""Read a patch: strictly, row by row, with nothing skipped.

The format is that of `git format-patch` and `git diff` (git's documentation, "Generating patch text with -p")
and of unified diffs whose names begin with a/ and b/ (POSIX.1-2017, `diff -u`).
"""

from __future__ import annotations

import re

from recipes.patches.model import MODES, PIN, FileChange, Hunk, ParsedPatch, quote
from recipes.patches.paths import path_trouble
from recipes.patches.rows import HUNK, PatchRows

_INDEX = re.compile(rb"index [0-9a-f]+\.\.[0-9a-f]+(?: (\d+))?")
_FIELDS = (
    *(b"old mode", b"new mode", b"deleted file mode", b"new file mode"),
    *(b"similarity index", b"dissimilarity index", b"rename from", b"rename to"),
)
_ESCAPE = re.compile(rb'\\([0-3][0-7]{2}|[abtnvfr"\\])')
_QUOTED = re.compile(rb'"((?:[^"\\]|' + _ESCAPE.pattern + rb')*)"')
_ESCAPED = dict(zip(b'abtnvfr"\\', b'\a\b\t\n\v\f\r"\\', strict=True))
_DISTRUST = "do not use this patch: no change of a source needs this; read it whole before anything else"


def parse_patch(data: bytes, where: str) -> ParsedPatch:
    """Read a patch; nothing in it is skipped. Errors begin with `where`.

    Raises PatchError where it is empty or malformed, is binary, copies a file, makes or removes a link, or names a path
    that leads outside the tree.
    """
    reader = PatchRows(data, where)
    if data.count(b"\r\n") == data.count(b"\n") > 0:
        fix = "git config core.autocrlf false, then check the file out again: its line endings were converted"
        reader.refuse("lines that end in LF", "CR LF at the end of every line", fix=fix)
    reader.skip_header()
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
    return ParsedPatch(where, tuple(changes))


def _parse_plain_change(reader: PatchRows) -> FileChange:
    row = reader.number
    old_path, new_path, hunks = _parse_body(reader)
    if old_path and new_path and old_path != new_path:
        reader.refuse("one name", f"{old_path!r} and {new_path!r}", row=row)
    return FileChange(row, old_path, new_path, None, None if old_path else "100644", hunks)


def _parse_git_change(reader: PatchRows) -> FileChange:
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
        reader.refuse("--- and a name", quote(reader.row))
    modes = {name: fields[name].decode() for name in fields if name.endswith(b"mode")}
    same = modes.get(b"index mode")
    old_mode = modes.get(b"old mode") or modes.get(b"deleted file mode") or same
    new_mode = modes.get(b"new mode") or modes.get(b"new file mode") or same
    return FileChange(
        row, old_path, new_path, None if created else old_mode, None if removed else new_mode, hunks
    )


def _parse_fields(reader: PatchRows) -> dict[bytes, bytes]:
    """Read the extended header lines of one file."""
    fields: dict[bytes, bytes] = {}
    while row := reader.row:
        if row.startswith((b"GIT binary patch", b"Binary files ")):
            fix = "bring a binary file as a source of its own, not in a patch"
            reader.refuse("a change of text", "a binary one", fix=fix)
        if row.startswith((b"copy from ", b"copy to ")):
            fix = f"make the patch without `-C`, {PIN}"
            reader.refuse("files changed, created, removed or renamed", "a copy", fix=fix)
        name = next((name for name in _FIELDS if row.startswith(name + b" ")), b"")
        value = row[len(name) + 1 :]
        if index := _INDEX.fullmatch(row):
            name, value = b"index mode" if index[1] else b"index", index[1] or b""
        if not name:
            break
        if name in fields:
            reader.refuse("each header line once", quote(row))
        if name.endswith(b"mode") and value.decode(errors="replace") not in MODES:
            expected = f"a file of mode {' or '.join(MODES)}"
            reader.refuse(expected, f"mode {quote(value)}", fix="leave links and submodules out of the patch")
        fields[name] = value
        reader.take()
    return fields


def _parse_names(reader: PatchRows, names: bytes, renames: list[str], row: int) -> tuple[str, str]:
    """Tell the two names after `diff --git` apart: by their quotes, by the renaming, or by being the same."""
    if quoted := _QUOTED.match(names):
        end = quoted.end()
    else:
        end = len(b"a/" + renames[0].encode()) if renames else len(names) // 2
    first = _parse_path(reader, names[:end], b"a/", row)
    second = _parse_path(reader, names[end + 1 :], b"b/", row)
    if names[end : end + 1] != b" " or [first, second] != (renames or [first, first]):
        expected = f"{' and '.join(map(repr, renames))}, as renamed" if renames else "the same name twice"
        reader.refuse(expected, quote(names), row=row)
    return first, second


def _parse_body(reader: PatchRows) -> tuple[str | None, str | None, tuple[Hunk, ...]]:
    """Read --- and +++ with their names, and the hunks."""
    paths = []
    for sign, prefix in ((b"--- ", b"a/"), (b"+++ ", b"b/")):
        row = reader.row or b""
        if not row.startswith(sign):
            reader.refuse(f"{sign.decode()}and a name", quote(reader.row))
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


def _parse_hunk(reader: PatchRows, before: Hunk | None) -> Hunk:
    row = reader.number
    header = HUNK.fullmatch(reader.row or b"")
    if header is None:
        reader.refuse("a hunk's header, such as @@ -10,6 +10,7 @@", quote(reader.row))
    reader.take()
    old_start, old_count, new_start, new_count = (
        1 if part is None else int(part) for part in header.groups()
    )
    lines = _parse_lines(reader, old_count, new_count)
    # The format names the line before an empty run, and the first line of any other.
    hunk = Hunk(row, old_start - bool(old_count), new_start - bool(new_count), lines)
    old_end = before.old_at + len(before.old) if before else 0
    if hunk.old_at < old_end:
        reader.refuse(f"a hunk below line {old_end}, where the one before ends", quote(header[0]), row=row)
    new_at = hunk.old_at - old_end + (before.new_at + len(before.new) if before else 0)
    if hunk.new_at != new_at:
        expected = f"+{new_at + bool(new_count)}, as the hunks before it shift the lines"
        reader.refuse(expected, quote(header[0]), row=row)
    if all(sign == " " for sign, _ in lines):
        reader.refuse("a changed line", "context only", row=row)
    for side in (hunk.old, hunk.new):
        if any(not line.endswith(b"\n") for line in side[:-1]) or b"" in side:
            reader.refuse("only a file's last line without its newline", "another", row=row)
    return hunk


def _parse_lines(reader: PatchRows, old_count: int, new_count: int) -> tuple[tuple[str, bytes], ...]:
    lines: list[tuple[str, bytes]] = []
    old_left, new_left = old_count, new_count
    while old_left or new_left:
        row = reader.row
        # some tools leave an empty context line empty
        sign = chr(row[0]) if row else " " if row == b"" else ""
        old_left -= sign in {" ", "-"}
        new_left -= sign in {" ", "+"}
        if sign not in {" ", "-", "+"} or old_left < 0 or new_left < 0:
            expected = f"{old_count} lines before and {new_count} after, as the hunk's header says"
            reader.refuse(expected, f"{quote(row)} after {len(lines)} lines of it")
        reader.take()
        ending = b"\n"
        if (reader.row or b"").startswith(b"\\ "):
            reader.take()
            ending = b""
        lines.append((sign, (row or b"")[1:] + ending))
    return tuple(lines)


def _parse_path(reader: PatchRows, name: bytes, prefix: bytes, row: int) -> str:
    """Return the path that a name stands for, below the tree."""
    quoted = _QUOTED.fullmatch(name)
    plain = _ESCAPE.sub(_unescape, quoted[1]) if quoted else name
    if not plain.startswith(prefix) or (quoted is None and name.startswith(b'"')):
        expected = f"a name below {prefix.decode()}, as git writes it by default"
        reader.refuse(expected, quote(name), row=row)
    path = plain[len(prefix) :]
    if trouble := path_trouble(path):
        reader.refuse(
            "the path of a file below the tree", f"{quote(path)}: {trouble}", fix=_DISTRUST, row=row
        )
    return path.decode()


def _unescape(match: re.Match[bytes]) -> bytes:
    code = match[1]
    return bytes([int(code, 8)]) if len(code) > 1 else bytes([_ESCAPED[code[0]]])


def _check_apart(reader: PatchRows, changes: list[FileChange]) -> None:
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
