"""Replaces files of a project together: afterwards all are the new ones, or all the old ones, whatever fails.

No file system replaces several files at once. So what undoes it is on the disk before the first file is replaced: a
folder with the new files, the old ones (the same file by another name, so that a full disk stops no undoing), and the
list of both. It appears by rename, and while it is there the replacement is not done: an error undoes it at once, and
what was ended by force is undone by whoever writes next.
"""

from __future__ import annotations

import errno
import os
import shutil
import tempfile
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from recipes.core.digest import Sha256
from recipes.core.errors import ManifestError, StoreError
from recipes.core.file_lock import hold
from recipes.core.filesystem import remove_tree, shown, sync, write_durably

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from recipes.lock.proposal import Change

UNDO = ".undo"  # below manifests/, while files are replaced
LIST = "list.json"
LOCK = ".writing.lock"


class Replaced(msgspec.Struct, frozen=True):
    """One file of the list, by its path from the project; a digest is None where there is no file.

    `folders` are those that were made for it, outermost first.
    """

    path: str
    old: str | None
    new: str | None
    folders: tuple[str, ...] = ()


def as_bytes(text: str) -> bytes:
    """Return what is written for a text; what was not UTF-8 when it was read is what it was."""
    return text.encode("utf-8", "surrogateescape")


def as_text(data: bytes) -> str:
    """Return the text of a file, from which `as_bytes` makes the same bytes."""
    return data.decode("utf-8", "surrogateescape")


@contextmanager
def alone(project: Path, say: Callable[[str], None] = print) -> Iterator[None]:
    """Be the only one who writes the files of a project, after waiting for whoever does; nothing is half replaced then.

    Raises as `undo_leftover` does, and StoreError where the project cannot be written to.
    """
    manifests = project / "manifests"
    with ExitStack() as stack:
        with project_errors(manifests):
            lock = hold(manifests / LOCK, on_wait=lambda owner: say(f"waiting for {owner}"), discard=True)
            stack.enter_context(lock)
            undo_leftover(project, say)
            for stale in manifests.glob(f"{UNDO}-*"):  # what was not begun, or was done
                remove_tree(stale)
        yield


def replace_files(changes: Sequence[Change], project: Path) -> None:
    """Make all changes or none, the last one last; the caller is `alone`.

    Raises ManifestError where a file is not the old one of its change, StoreError where the project cannot be written
    to, and whatever else stops it, Ctrl-C included; then all files are as they were.
    """
    with project_errors(project / "manifests"):
        for change in changes:
            _refuse_changed(project, change)
        undo = _prepare(changes, project)
        try:
            for number, change in enumerate(changes):
                target = _target(project, change.path)
                if change.new is None:
                    target.unlink()
                else:
                    target.parent.mkdir(parents=True, exist_ok=True)
                    _put(undo / f"new-{number}", target)
                sync(target.parent)
        except BaseException:
            _undo(undo, project)
            raise
        _discard(undo)


@contextmanager
def project_errors(target: Path) -> Iterator[None]:
    """Raise StoreError where the system refuses to write below the project."""
    try:
        yield
    except OSError as error:
        folder = shown(str(target.parent))
        raise StoreError(
            where=shown(str(error.filename or target)),
            expected="a folder of the project that can be written to",
            found=error.strerror or str(error),
            fix=f"ls -ld {folder}; df {folder}",
        ) from error


def undo_leftover(project: Path, say: Callable[[str], None] = print) -> None:
    """Undo a replacement that was ended by force; the caller holds the lock.

    Raises ManifestError where one of its files was changed since: to undo that would lose the change.
    """
    undo = project / "manifests" / UNDO
    if not undo.exists():
        return
    for entry in _read_list(undo):
        present = _digest(_target(project, entry.path))
        if present not in {entry.old, entry.new}:
            raise ManifestError(
                where=entry.path,
                expected="the file as it was before a replacement that was ended by force, or after it",
                found="another: it was changed since",
                fix=f"compare it with {undo}, remove that folder, then run the same command again",
            )
    _undo(undo, project)
    say("a replacement of files that was ended by force is undone")


def _prepare(changes: Sequence[Change], project: Path) -> Path:
    """Return the folder that undoes the changes; nothing is replaced yet."""
    manifests = project / "manifests"
    making = Path(tempfile.mkdtemp(prefix=f"{UNDO}-", dir=manifests))
    try:
        entries = []
        for number, change in enumerate(changes):
            target = _target(project, change.path)
            if target.exists():
                _keep(target, making / f"old-{number}")
            if change.new is not None:
                write_durably(making / f"new-{number}", as_bytes(change.new))
                mode = target.stat().st_mode & 0o777 if target.exists() else 0o644
                (making / f"new-{number}").chmod(mode)
            new = None if change.new is None else Sha256.of_bytes(as_bytes(change.new)).hex
            entries.append(Replaced(change.path, _digest(target), new, _missing_folders(target)))
        write_durably(making / LIST, msgspec.json.encode(entries))
        sync(making)
        making.rename(manifests / UNDO)
    except BaseException:
        remove_tree(making)
        raise
    sync(manifests)
    return manifests / UNDO


def _missing_folders(target: Path) -> tuple[str, ...]:
    """Return the folders above a file that are not there, outermost first; refuse a file in the place of one."""
    missing = [str(folder) for folder in target.parents if not folder.exists()]
    first = target.parents[len(missing)]
    if not first.is_dir():
        raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), str(first))
    return tuple(reversed(missing))


def _undo(undo: Path, project: Path) -> None:
    for number, entry in enumerate(_read_list(undo)):
        target = _target(project, entry.path)
        if entry.old is not None:
            if _digest(target) != entry.old:
                _put(undo / f"old-{number}", target)
        elif not (undo / f"new-{number}").exists():  # it was moved to its place
            target.unlink(missing_ok=True)
        for folder in reversed(entry.folders):
            with suppress(OSError):  # another file of the list is still in it
                Path(folder).rmdir()
    _discard(undo)


def _discard(undo: Path) -> None:
    gone = Path(tempfile.mkdtemp(prefix=f"{UNDO}-", dir=undo.parent))
    undo.rename(gone / "done")  # at once: one that lacks files would undo in part
    with suppress(OSError):
        remove_tree(gone)


def _read_list(undo: Path) -> list[Replaced]:
    return msgspec.json.decode((undo / LIST).read_bytes(), type=list[Replaced])


def _target(project: Path, path: str) -> Path:
    return Path(os.path.realpath(project / path))


def _digest(path: Path) -> str | None:
    return Sha256.of_bytes(path.read_bytes()).hex if path.exists() else None


def _keep(file: Path, place: Path) -> None:
    try:
        place.hardlink_to(file)
    except OSError:  # another file system, or one without hard links
        shutil.copy2(file, place)
        sync(place)


def _put(file: Path, target: Path) -> None:
    """Move a file to its place in one step; a link leads to another file system where that is not one."""
    try:
        file.replace(target)
    except OSError as error:
        if error.errno != errno.EXDEV:
            raise
        beside = target.with_name(f".{target.name}.new")
        shutil.copy2(file, beside)
        sync(beside)
        beside.replace(target)
        file.unlink()


def _refuse_changed(project: Path, change: Change) -> None:
    target = _target(project, change.path)
    present = target.read_bytes() if target.exists() else None
    before = None if change.old is None else as_bytes(change.old)
    # a text was read with its line ends made one
    if present != before and (present is None or present.replace(b"\r\n", b"\n") != before):
        raise ManifestError(
            where=change.path,
            expected="the file that the proposal was made from",
            found="one that was changed meanwhile",
            fix="run the same command again",
        )
