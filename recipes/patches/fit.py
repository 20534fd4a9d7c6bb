"""Compares a patch with a tree: whether each hunk fits exactly, and if not, how far it is from that."""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import Enum
from itertools import islice
from operator import eq
from typing import TYPE_CHECKING, NamedTuple

from recipes.core.filesystem import storage_errors
from recipes.patches.model import FileChange, Hunk, ParsedPatch, quote
from recipes.patches.tree_file import ObjectionError, TreeFile, look

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence
    from pathlib import Path

MAX_FUZZ = 2  # context lines at either end that a report overlooks, as GNU patch does unless told otherwise
SHOWN_DIFFERENCES = 3


class Fit(Enum):
    """How a hunk, or a file's whole change, meets a tree."""

    EXACT = "applies"
    APPLIED = "is applied already"
    MOVED = "applies only at another line"
    FUZZY = "applies only with fuzz"
    CONFLICT = "does not apply"


@dataclass(frozen=True)
class LineDifference:
    """A line, from 1, that is not what the patch expects; None stands for the end of the file."""

    line: int
    expected: bytes | None
    found: bytes | None


@dataclass(frozen=True)
class HunkReport:
    """How one hunk meets a tree; or the file, where that as a whole stands against it.

    `hunk`, its number in the file, and `line`, where it should apply, count from 1, and are 0 for the file; `row` is
    the line of the patch. `offset` says how many lines further down it was found, or what is most like it; negative:
    further up. `differences` are the first lines that stand against it; `expected` and `found` what stands against the
    file.
    """

    path: str
    hunk: int
    row: int
    line: int
    fit: Fit
    offset: int = 0
    differences: tuple[LineDifference, ...] = ()
    expected: str = ""
    found: str = ""

    @property
    def verdict(self) -> str:
        """The fit and the offset, in words."""
        near = "; the lines most like its own are" if self.fit is Fit.CONFLICT else ","
        return self.fit.value + (f"{near} {distance(self.offset)}" if self.offset else "")

    def __str__(self) -> str:
        text = f"{self.path}:{self.line}: hunk {self.hunk}" if self.hunk else self.path
        text += f" {self.verdict}"
        if self.expected:
            text += f": expected {self.expected}, found {self.found}"
        rows = (
            f"line {d.line}: expected {show_line(d.expected)}, found {show_line(d.found)}"
            for d in self.differences
        )
        return "\n  ".join((text, *rows))


class ChangeFit(NamedTuple):
    """A change, the file that it changes as it is now, and how the change fits it."""

    change: FileChange
    old: TreeFile | None
    reports: tuple[HunkReport, ...]

    @property
    def is_exact(self) -> bool:
        """Whether the change applies as it is."""
        return all(report.fit is Fit.EXACT for report in self.reports)


def find_drift(patch: ParsedPatch, tree: Path) -> tuple[HunkReport, ...]:
    """Say of each hunk whether it applies, and if not, how far it is from doing so; raises StoreError."""
    with storage_errors(tree):
        return tuple(report for each in fit_changes(patch, tree) for report in each.reports)


def fit_changes(patch: ParsedPatch, tree: Path) -> list[ChangeFit]:
    """Try each change on the tree; and its reverse, which fits where the change is applied already."""
    fits = _fit_all(patch.changes, tree)
    if not all(each.is_exact for each in fits):
        reverse = _fit_all([_reversed(change) for change in patch.changes], tree)
        for index, (each, back) in enumerate(zip(fits, reverse, strict=True)):
            if back.is_exact and not each.is_exact:
                reports = (replace(one, path=each.change.path, fit=Fit.APPLIED) for one in back.reports)
                fits[index] = each._replace(reports=tuple(reports))
    return fits


def _fit_all(changes: Sequence[FileChange], tree: Path) -> list[ChangeFit]:
    gone = removed_paths(changes)
    return [_fit_file(change, tree, gone) for change in changes]


def removed_paths(changes: Sequence[FileChange]) -> set[str]:
    """Return the paths that are no longer there once a patch is applied."""
    return {change.old_path for change in changes if change.old_path and change.old_path != change.new_path}


def _reversed(change: FileChange) -> FileChange:
    signs = {" ": " ", "-": "+", "+": "-"}
    hunks = (
        Hunk(hunk.row, hunk.new_at, hunk.old_at, tuple((signs[sign], line) for sign, line in hunk.lines))
        for hunk in change.hunks
    )
    paths, modes = (change.new_path, change.old_path), (change.new_mode, change.old_mode)
    return FileChange(change.row, *paths, *modes, tuple(hunks))


def _fit_file(change: FileChange, tree: Path, gone: Collection[str]) -> ChangeFit:
    whole = HunkReport(change.path, 0, change.row, 0, Fit.EXACT)
    old = None
    try:
        old = look(tree, change.old_path, gone) if change.old_path else None
        new = look(tree, change.new_path, gone) if change.new_path else None
        objection = _objection(change, old, None if change.new_path in gone else new)
    except ObjectionError as found:
        objection = found
    if objection:
        report = replace(whole, fit=Fit.CONFLICT, expected=objection.expected, found=objection.found)
        return ChangeFit(change, old, (report,))
    lines = old.lines if old else []
    reports = (_fit_hunk(change, number, lines) for number in range(len(change.hunks)))
    return ChangeFit(change, old, tuple(reports) or (whole,))


def _objection(change: FileChange, old: TreeFile | None, new: TreeFile | None) -> ObjectionError | None:
    """Say what stands against a change apart from its hunks."""
    if change.old_path and old is None:
        return ObjectionError(f"a file {change.old_path!r}", "none")
    if old and change.old_mode and old.mode != change.old_mode:
        return ObjectionError(f"mode {change.old_mode}", f"mode {old.mode}")
    if old and change.new_path is None and not change.hunks and old.data:
        return ObjectionError("an empty file to remove", f"one of {len(old.data)} bytes")
    if new and change.old_path != change.new_path:
        return ObjectionError(f"no file {change.new_path!r} yet", "one with other content")
    return None


def _matches(hunk: Hunk, wanted: list[bytes], at: int, lines: list[bytes]) -> bool:
    end = at + len(wanted)
    return lines[at:end] == wanted and (end == len(lines) or (end < len(lines) and not hunk.is_at_end))


def _fit_hunk(change: FileChange, index: int, lines: list[bytes]) -> HunkReport:
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
    """Return the place where at least half of the lines are the wanted ones, and the most; else `at`."""
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


def _differences(hunk: Hunk, at: int, lines: list[bytes]) -> tuple[LineDifference, ...]:
    """Return the first lines from `at` that are not those of a hunk."""
    wanted: list[bytes | None] = [*hunk.old, None] if hunk.is_at_end else [*hunk.old]
    found = [lines[place] if place < len(lines) else None for place in range(at, at + len(wanted))]
    unlike = (
        LineDifference(at + count + 1, expected, had)
        for count, (expected, had) in enumerate(zip(wanted, found, strict=True))
        if expected != had
    )
    return tuple(islice(unlike, SHOWN_DIFFERENCES))


def show_line(line: bytes | None) -> str:
    """Return a line of a file as an error shows it; None stands for the end of the file."""
    if line is None:
        return "the end of the file"
    return quote(line.removesuffix(b"\n")) + ("" if line.endswith(b"\n") else " and no newline")


def distance(lines: int) -> str:
    """Say how far an offset leads, and where to."""
    return f"{abs(lines)} line{'s' * (abs(lines) != 1)} further {'down' if lines > 0 else 'up'}"
