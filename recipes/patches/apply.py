"""Apply patches exactly: every line where the patch says it is, or nothing is changed."""

from __future__ import annotations

import shutil
import tempfile
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

from recipes.core.errors import PatchError
from recipes.core.filesystem import storage_errors
from recipes.patches.fit import Fit, HunkReport, distance, fit_changes, removed_paths, show_line
from recipes.patches.model import MODES, PIN, FileChange, ParsedPatch
from recipes.patches.tree_file import TreeFile

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping, Sequence

_FIT_AGAIN = f"change the patch so that it fits this source exactly, {PIN}"
_LEAVE_OUT = f"the source has this change: take it out of the recipe's `patches`, {PIN}"


def apply_patch(patch: ParsedPatch, tree: Path) -> tuple[str, ...]:
    """Apply a patch wholly or not at all: everything is checked before anything is written.

    Files are replaced by rename and never written in place, so that hard links to them keep their content. Raises
    PatchError where a hunk does not apply at exactly its line, or the patch is applied already, and StoreError where
    the file system refuses; the tree is then as it was.
    """
    with storage_errors(tree):
        fits = fit_changes(patch, tree)
        reports = [report for each in fits for report in each.reports]
        if not all(each.is_exact for each in fits):
            _refuse_reports(patch, reports)
        written = {
            each.change.new_path: _edited(each.change, each.old) for each in fits if each.change.new_path
        }
        removed = removed_paths(patch.changes)
        _write(tree, removed, written)
    return tuple(sorted(removed | written.keys()))


def _edited(change: FileChange, old: TreeFile | None) -> TreeFile:
    lines = old.lines if old else []
    parts: list[bytes] = []
    at = 0
    for hunk in change.hunks:
        parts += [*lines[at : hunk.old_at], *hunk.new]
        at = hunk.old_at + len(hunk.old)
    mode = change.new_mode or (old.mode if old else "100644")
    return TreeFile(b"".join([*parts, *lines[at:]]), mode)


def _write(tree: Path, removed: Collection[str], written: Mapping[str, TreeFile]) -> None:
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


def _refuse_reports(patch: ParsedPatch, reports: Sequence[HunkReport]) -> NoReturn:
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
            f"them at line {place}, {distance(report.offset)}",
        )
    elif report.fit is Fit.APPLIED:
        expected, found = "a source without this change", f"it {report.fit.value}"
        fix = f"the source has a part of this change: take that out of the patch, {PIN}"
    elif report.differences:
        expected = "\n".join(f"line {row.line}: {show_line(row.expected)}" for row in report.differences)
        found = "\n".join(f"line {row.line}: {show_line(row.found)}" for row in report.differences)
        found += f"\n(the hunk {report.verdict})" if report.offset or report.fit is Fit.FUZZY else ""
    hunk = f"hunk {report.hunk} of " if report.hunk else ""
    raise PatchError(
        where=f"{patch.where}:{report.row}: {hunk}{report.path}", expected=expected, found=found, fix=fix
    )
