"""Writes a proposal: all its files or none, each by rename, and a manifest only if it holds as written."""

from __future__ import annotations

import os
import sys
import tempfile
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

from recipes.core.errors import ManifestError, RecipeError, StoreError
from recipes.core.filesystem import remove_tree, shown, write_durably
from recipes.core.log import step
from recipes.lock.proposal import unified_diff
from recipes.manifest.load import Manifests, load_advisory, load_model, load_recipe, load_toolchain

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from recipes.build.context import Job
    from recipes.lock.proposal import Change


def read_manifest(manifests: Manifests, where: str) -> str:
    """Return the text of a manifest, by its path from the project; raises ManifestError where it cannot be read."""
    try:
        return (manifests.project / where).read_text(encoding="utf-8")
    except OSError as error:
        raise ManifestError(
            where=where,
            expected="a file that can be read",
            found=error.strerror or str(error),
            fix=f"ls -l {where}",
        ) from error


@contextmanager
def layout_errors(where: str) -> Iterator[None]:
    """Raise ManifestError where a manifest is laid out so that it cannot be edited in place (ValueError)."""
    try:
        yield
    except ValueError as error:
        raise ManifestError(
            where=where,
            expected="a manifest laid out so that its pins can be changed in place: one key or item a line",
            found=str(error),
            fix="write these keys in the layout of the other manifests, then run the same command again",
        ) from error


def write_proposal(changes: Sequence[Change], manifests: Manifests) -> None:
    """Write the files of a proposal, the last one last; what is read meanwhile is the old or the new file.

    All are written beside their targets first, and checked there; then each takes that place by rename. Nothing is
    written where a manifest would be invalid (RecipeError, naming the place in it), or where a file was changed since
    the proposal was made (ManifestError). Raises StoreError where the project's folder cannot be written to.
    """
    prepared: list[tuple[Path, Path]] = []
    try:
        for change in changes:
            target = Path(os.path.realpath(manifests.project / change.path))
            with _project_errors(target):
                target.parent.mkdir(parents=True, exist_ok=True)
                folder = Path(tempfile.mkdtemp(prefix=".lock-", dir=target.parent))
                prepared.append((folder / target.name, target))
                write_durably(folder / target.name, change.new.encode())
                (folder / target.name).chmod(target.stat().st_mode & 0o777 if target.exists() else 0o644)
            _check(folder / target.name, change, manifests)
            _refuse_changed(target, change)
        for copy, target in prepared:
            with _project_errors(target):
                copy.replace(target)
    finally:
        for copy, _ in prepared:
            with suppress(OSError):  # a second failure would hide the first
                remove_tree(copy.parent)


def offer_proposal(changes: Sequence[Change], job: Job, *, write: bool, unwritten: str) -> None:
    """Check a proposal without touching the project, show its difference on standard output, and write it if asked.

    `unwritten`, the command that writes it, is printed where it is not written. Raises as `write_proposal` does.
    """
    changes = [change for change in changes if change.new != change.old]
    with job.store.scratch("lock-proposal") as work:
        for change in changes:
            copy = work / Path(change.path).name
            copy.write_text(change.new, encoding="utf-8")
            _check(copy, change, job.manifests)
    step(4, 4, "show the proposal", files=len(changes), write=write)
    if not changes:
        job.console.say("nothing to propose")
        return
    sys.stdout.write(unified_diff(changes))
    sys.stdout.flush()  # what is said next comes after it
    if write:
        write_proposal(changes, job.manifests)
        job.console.say("\n".join(f"written: {change.path}" for change in changes))
    else:
        job.console.say(unwritten)


def _check(copy: Path, change: Change, manifests: Manifests) -> None:
    folder = change.path.rpartition("/")[0]
    load = {
        "manifests/recipes": load_recipe,
        "manifests/models": load_model,
        "manifests/toolchains": load_toolchain,
        "manifests/advisories": load_advisory,
    }.get(folder)
    if load is None:
        return
    try:
        load(copy, manifests)
    except RecipeError as error:
        error.where = error.where.replace(manifests.show(copy), f"{change.path}, as proposed")
        raise


def _refuse_changed(target: Path, change: Change) -> None:
    with _project_errors(target):
        present = target.read_text(encoding="utf-8") if target.exists() else None
    if present != change.old:
        raise ManifestError(
            where=change.path,
            expected="the file that the proposal was made from",
            found="one that was changed meanwhile",
            fix="run the same command again",
        )


@contextmanager
def _project_errors(target: Path) -> Iterator[None]:
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
