"""Writes a proposal: all its files or none, and a manifest only if it holds as written."""

from __future__ import annotations

import shutil
import sys
import tempfile
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

from recipes.core.errors import ManifestError, RecipeError
from recipes.core.filesystem import remove_tree
from recipes.core.log import step
from recipes.lock.proposal import unified_diff
from recipes.lock.transaction import alone, as_bytes, replace_files
from recipes.manifest.load import Manifests, load_advisory, load_model, load_recipe, load_toolchain

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from recipes.build.context import Job
    from recipes.lock.proposal import Change

LOADERS = {
    "manifests/recipes": load_recipe,
    "manifests/models": load_model,
    "manifests/toolchains": load_toolchain,
    "manifests/advisories": load_advisory,
}


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
    """Write the files of a proposal, all or none, the last one last; what is read meanwhile is the old or the new file.

    Nothing is written where a manifest would be invalid (RecipeError, naming the place in it), or where a file was
    changed since the proposal was made (ManifestError). Raises StoreError where the project's folder cannot be written
    to.
    """
    with tempfile.TemporaryDirectory(prefix="lock-") as folder:
        check_changes(changes, manifests, Path(folder))
    with alone(manifests.project):
        replace_files(changes, manifests.project)


def offer_proposal(changes: Sequence[Change], job: Job, *, write: bool, unwritten: str) -> None:
    """Check a proposal without touching the project, show its difference on standard output, and write it if asked.

    `unwritten`, the command that writes it, is printed where it is not written. Raises as `write_proposal` does.
    """
    changes = [change for change in changes if change.new != change.old]
    with job.store.scratch("lock-proposal") as work:
        check_changes(changes, job.manifests, work)
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


def check_changes(changes: Sequence[Change], manifests: Manifests, work: Path) -> Manifests:
    """Return the manifests as they would be, in an empty folder; each that changes is read and checked there.

    Raises RecipeError, naming the place in the file, where one would be invalid.
    """
    for folder in (manifests.root, manifests.patches):
        if folder.is_dir():
            ours = shutil.ignore_patterns(".*")  # of whoever writes at this moment
            shutil.copytree(folder, work / manifests.show(folder), symlinks=True, ignore=ours)
    for change in changes:
        target = work / change.path
        if change.new is None:
            target.unlink(missing_ok=True)
            continue
        with suppress(FileExistsError, NotADirectoryError):  # replacing names what stands in the way
            target.parent.mkdir(parents=True, exist_ok=True)
            remove_tree(target)
            target.write_bytes(as_bytes(change.new))
    proposed = Manifests(work)
    for change in changes:
        load = LOADERS.get(change.path.rpartition("/")[0])
        if load is None or change.new is None:
            continue
        try:
            load(work / change.path, proposed)
        except RecipeError as error:
            error.where = error.where.replace(change.path, f"{change.path}, as proposed")
            raise
    return proposed
