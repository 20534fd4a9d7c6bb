"""A recipe's patches on another source: each is kept, rebased by git's three-way merge, upstream's, or in conflict."""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import Enum
from functools import cached_property
from typing import TYPE_CHECKING

from recipes.core.digest import Sha1, Sha256
from recipes.core.errors import PatchError, VerifyError
from recipes.core.filesystem import copy_writable, storage_errors
from recipes.lock.three_way import Repository
from recipes.patches.apply import apply_patch
from recipes.patches.fit import Fit
from recipes.patches.parse import parse_patch
from recipes.patches.series import Fate, PatchTrial, try_patch

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping
    from pathlib import Path

    from recipes.lock.three_way import Merged
    from recipes.manifest.schema import Recipe
    from recipes.patches.fit import HunkReport

WORST = (Fit.CONFLICT, Fit.FUZZY, Fit.MOVED)  # what to show of a patch in conflict, the first that there is
CHANGES = re.compile(rb"(?m)^(diff --git |--- [^\n]*\n\+\+\+ )")


class Outcome(Enum):
    """What becomes of a patch on another source."""

    KEPT = "kept"
    REBASED = "rebased"
    UPSTREAM = "upstream's"
    LEFT_OUT = "left out"
    CONFLICT = "in conflict"

    @property
    def is_gone(self) -> bool:
        """Whether the new recipe does without the patch."""
        return self in {Outcome.UPSTREAM, Outcome.LEFT_OUT}


@dataclass(frozen=True)
class Rebased:
    """What became of one patch, by its number in the old series, from 0.

    `data` are its bytes from now on, and `trial` has its pins; of one that is upstream's or in conflict only what was
    tried. `notes` say, where it was not kept as it is, what stood against that.
    """

    number: int
    outcome: Outcome
    trial: PatchTrial
    data: bytes
    notes: tuple[str, ...] = ()


@dataclass
class Series:
    """The patches of a recipe, between two sources.

    `old` is the pinned source, and is not changed; `new` is the other one, writable, and gets the patches. `work` is an
    empty folder on their file system. `own` has patches, by number, that a person has made for the new source already;
    those of `left_out` are not applied to it.
    """

    recipe: Recipe
    patches: tuple[bytes, ...]
    old: Path
    new: Path
    new_tree: Sha1
    work: Path
    own: Mapping[int, bytes]
    left_out: Collection[int] = ()

    def __post_init__(self) -> None:
        """Begin before the first patch."""
        self._applied = 0  # of the patches, to the copy of the old source
        self._old_tree = self.recipe.source.tree

    @cached_property
    def _repository(self) -> Repository:
        """What merges: made, and git asked for, where the first patch must be merged."""
        return Repository(self.work / "git")

    def rebase(self) -> tuple[Rebased, ...]:
        """Return what becomes of each patch.

        Raises VerifyError where a patch or a source is not the pinned one, PatchError where one is no well-formed
        patch, ToolchainError where git is needed and cannot be used, and StoreError where the disk refuses.
        """
        for number, (patch, data) in enumerate(zip(self.recipe.patches, self.patches, strict=True)):
            if Sha256.of_bytes(data) != patch.sha256:
                raise VerifyError(
                    where=f"patches/{patch.file}",
                    expected=f"{patch.sha256}, as manifests/recipes/{self.recipe.name}.yaml: patches[{number}] pins it",
                    found=f"{Sha256.of_bytes(data)}: another file, or changed since",
                    fix=f"git checkout -- patches/{patch.file}; or, if the change is meant,\n"
                    f"python3 noxfile.py -s lock -- --recipe {self.recipe.name} --write",
                )
        tree, result = self.new_tree, []
        for number in range(len(self.patches)):
            one = self._rebase(number, tree)
            result.append(one)
            tree = one.trial.tree or tree
        return tuple(result)

    def _rebase(self, number: int, tree: Sha1) -> Rebased:
        file, data = f"patches/{self.recipe.patches[number].file}", self.patches[number]
        if number in self.left_out:
            trial = PatchTrial(file, self.recipe.patches[number].sha256, Fate.CONFLICT, ())
            return Rebased(number, Outcome.LEFT_OUT, trial, data, ("as you say",))
        if (own := self.own.get(number)) is not None:
            return self._made_by_hand(number, try_patch(file, own, self.new), own)
        trial = try_patch(file, data, self.new)
        known = {Fate.EXACT: (Outcome.KEPT, ()), Fate.APPLIED: (Outcome.UPSTREAM, ("it reverse-applies",))}
        if trial.fate in known:
            outcome, notes = known[trial.fate]
            return Rebased(number, outcome, trial, data, notes)
        merged = self._merge(number, tree)
        if merged.conflicts:
            return Rebased(number, Outcome.CONFLICT, trial, data, _conflict_notes(trial, merged))
        if merged.tree == tree:
            return Rebased(number, Outcome.UPSTREAM, trial, data, ("merged, nothing is left of it",))
        return self._made_again(number, tree, merged.tree, trial)

    @staticmethod
    def _made_by_hand(number: int, trial: PatchTrial, own: bytes) -> Rebased:
        outcome = Outcome.REBASED if trial.fate is Fate.EXACT else Outcome.CONFLICT
        notes = ("made by hand", *(() if trial.fate is Fate.EXACT else _shown(trial)))
        return Rebased(number, outcome, trial, own, notes)

    def _made_again(self, number: int, tree: Sha1, wanted: Sha1, before: PatchTrial) -> Rebased:
        """Make the patch of what git merged, and apply that as any other: its tree is git's."""
        first = CHANGES.search(self.patches[number])
        head = self.patches[number][: first.start()] if first else b""
        message, dashes, _ = head.partition(b"\n---\n")
        data = self._repository.diff(tree, wanted, stat=bool(dashes))
        data = (message + dashes if dashes else head) + data
        try:
            trial = try_patch(before.file, data, self.new)
        except PatchError as error:  # such as of a file that is not text
            return Rebased(number, Outcome.CONFLICT, before, self.patches[number], (error.found,))
        if trial.tree != wanted:
            raise PatchError(
                where=before.file,
                expected=f"{wanted}, as git merges it with the new source",
                found=f"{trial.tree}: {trial.fate.value}",
                fix="make the patch again from the new source by hand",
            )
        notes = dict.fromkeys(f"{one.path}: hunk {one.hunk} {one.verdict}" for one in _not_exact(before))
        return Rebased(number, Outcome.REBASED, trial, data, tuple(notes))

    def _merge(self, number: int, tree: Sha1) -> Merged:
        """Merge one patch with what upstream and the patches before it made of the new source."""
        old = self.work / "old"
        if not old.exists():
            with storage_errors(old):
                copy_writable(self.old, old)
            self._demand(old, self._old_tree, "source")
        for each in range(self._applied, number):
            self._apply(each, old)
        base = self._old_tree
        self._apply(number, old)
        self._applied = number + 1
        theirs = self._old_tree
        if self._repository.add(self.new) != tree:
            raise self._other("the new source", tree, self._repository.add(self.new))
        return self._repository.merge(base, tree, theirs)

    def _apply(self, number: int, old: Path) -> None:
        patch = self.recipe.patches[number]
        apply_patch(parse_patch(self.patches[number], f"patches/{patch.file}"), old)
        self._demand(old, patch.tree, f"patches[{number}].tree")
        self._old_tree = patch.tree

    def _demand(self, folder: Path, tree: Sha1, pin: str) -> None:
        if (found := self._repository.add(folder)) != tree:
            raise self._other(f"manifests/recipes/{self.recipe.name}.yaml: {pin}", tree, found)

    def _other(self, where: str, expected: Sha1, found: Sha1) -> VerifyError:
        return VerifyError(
            where=where,
            expected=f"{expected}",
            found=f"{found}",
            fix=f"python3 noxfile.py -s lock -- --recipe {self.recipe.name}",
        )


def _not_exact(trial: PatchTrial) -> list[HunkReport]:
    return [report for report in trial.reports if report.fit is not Fit.EXACT]


def _shown(trial: PatchTrial, paths: tuple[str, ...] = ()) -> tuple[str, ...]:
    """Return the worst of what stands against a patch, in some files or in all."""
    reports = [one for one in _not_exact(trial) if not paths or one.path in paths] or _not_exact(trial)
    worst = next((fit for fit in WORST if any(one.fit is fit for one in reports)), Fit.APPLIED)
    return tuple(str(one).partition("\n")[0] for one in reports if one.fit is worst)


def _conflict_notes(trial: PatchTrial, merged: Merged) -> tuple[str, ...]:
    known = sum(report.fit is Fit.APPLIED for report in trial.reports)
    in_part = (f"{known} of its {len(trial.reports)} hunks are upstream's",) if known else ()
    return (*in_part, *_shown(trial, merged.conflicts), *merged.words)
