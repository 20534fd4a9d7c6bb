"""What becomes of a series of patches on a tree that it was not made for: each is tried, none is forced."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING

from recipes.core.digest import Sha1, Sha256, hash_tree
from recipes.core.filesystem import storage_errors
from recipes.patches.apply import apply_patch
from recipes.patches.fit import Fit, HunkReport, find_drift
from recipes.patches.parse import parse_patch

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path


class Fate(Enum):
    """How a whole patch meets a tree."""

    EXACT = "applies exactly"
    MOVED = "applies only at another line"
    FUZZY = "applies only with fuzz"
    APPLIED = "is applied already"
    PARTLY = "is applied already in part"
    CONFLICT = "does not apply"


@dataclass(frozen=True)
class PatchTrial:
    """What became of one patch, by its path below the project.

    `fate` is how it met the tree, with all patches before it that applied exactly; the trees are those that resulted,
    None where it did not apply exactly, and so changed nothing.
    """

    file: str
    sha256: Sha256
    fate: Fate
    reports: tuple[HunkReport, ...]
    tree: Sha1 | None = None
    tree_sha256: Sha256 | None = None

    def __str__(self) -> str:
        lines = [f"{self.file}: {self.fate.value}"]
        if self.fate is not Fate.APPLIED:
            for report in self.reports:
                if report.fit is not Fit.EXACT:
                    lines += [f"  line {report.row} of the patch: {report}".replace("\n", "\n  ")]
        return "\n".join(lines)


def fate_of(reports: Sequence[HunkReport]) -> Fate:
    """Return the fate of a patch from those of its hunks: the worst of them.

    A patch of which the tree has some hunks and takes the others is applied in part.
    """
    fits = {report.fit for report in reports}
    for fit, fate in ((Fit.CONFLICT, Fate.CONFLICT), (Fit.FUZZY, Fate.FUZZY), (Fit.MOVED, Fate.MOVED)):
        if fit in fits:
            return fate
    if Fit.APPLIED in fits:
        return Fate.PARTLY if Fit.EXACT in fits else Fate.APPLIED
    return Fate.EXACT


def try_patches(files: Sequence[str], project: Path, tree: Path) -> tuple[PatchTrial, ...]:
    """Try each patch of a series in turn; what applies exactly is applied, so that the next one finds it.

    Raises PatchError where a file is no well-formed patch, and StoreError where a file or the tree cannot be read or
    written.
    """
    return tuple(_read_and_try(file, project, tree) for file in files)


def _read_and_try(file: str, project: Path, tree: Path) -> PatchTrial:
    with storage_errors(project / file):
        data = (project / file).read_bytes()
    return try_patch(file, data, tree)


def try_patch(file: str, data: bytes, tree: Path) -> PatchTrial:
    """Try one patch, of that name; raises as `try_patches` does."""
    patch = parse_patch(data, file)
    reports = find_drift(patch, tree)
    trial = PatchTrial(file, Sha256.of_bytes(data), fate_of(reports), reports)
    if trial.fate is not Fate.EXACT:
        return trial
    apply_patch(patch, tree)
    trees = hash_tree(tree, Sha1), hash_tree(tree, Sha256)
    return PatchTrial(file, trial.sha256, trial.fate, reports, *trees)
