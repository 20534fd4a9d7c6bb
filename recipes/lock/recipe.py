"""The session `lock`: new pins, proposed as a difference of the manifest's text, and written only when asked.

| asked for  | what is proposed                                                              |
|------------|-------------------------------------------------------------------------------|
| --source   | another source: its commit, trees and origins, and its patches where they fit |
| --output   | the digest of the bundle that this machine built, and the listing of its files |
| neither    | the recipe's own patches, as they are now, on the pinned source                |

The difference goes to standard output, and everything said about it to standard error.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from recipes.build.bundle.layout import is_pin_of
from recipes.build.bundle.listing import digest_of_listing, list_bundle
from recipes.build.pipeline import UNPIN
from recipes.build.source_tree import ensure_unpatched
from recipes.core.errors import PatchError, UsageError
from recipes.core.filesystem import copy_writable
from recipes.core.log import step
from recipes.lock.inspect_source import inspect_source
from recipes.lock.proposal import (
    Change,
    NewSource,
    PatchPin,
    find_old_names,
    propose_output,
    propose_patches,
    propose_source,
    unpin_outputs,
    unpin_page,
)
from recipes.lock.request import SourceRequest, command_again, read_request
from recipes.lock.write import layout_errors, offer_proposal, read_manifest
from recipes.manifest.decode import parse
from recipes.manifest.schema import Recipe
from recipes.manifest.strict_yaml import read
from recipes.patches.series import Fate, PatchTrial, try_patches

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterable, Sequence
    from pathlib import Path

    from recipes.build.context import Job


def propose(job: Job, options: argparse.Namespace) -> int:
    """Propose new pins of a recipe, and write them where the options say so.

    1. Read what the options ask for.
    2. Find out the new pins: of a new source, of the bundle that was built, or of the recipe's own patches.
    3. Check that the manifest would be valid with them.
    4. Show the difference, and write it with --write.

    Raises RecipeError where there is nothing to base a proposal on, or it would not be valid; then nothing is written.
    """
    # 1. What is asked for.
    again = command_again(options)
    step(1, 4, "request", command=again)
    request = read_request(options, again)
    # 2. The new pins.
    step(2, 4, "new pins", recipe=job.recipe.name, source=options.source, output=options.output)
    with job.store.scratch(f"lock-{job.recipe.name}") as work:
        if options.output:
            changes = output_changes(job, again)
        elif request:
            changes = _source_changes(job, request, work / "source")
        else:
            changes = _patch_changes(job, again, work / "source")
    # 3. and 4. Checked, shown and written.
    unwritten = f"nothing is written; to write this: {command_again(options, '--write')}"
    step(3, 4, "check the proposal", files=len(changes))
    offer_proposal(changes, job, write=options.write, unwritten=unwritten)
    return 0


def _source_changes(job: Job, request: SourceRequest, tree: Path) -> tuple[Change, ...]:
    new = inspect_source(request, job, tree)
    trials = _try(job, tree)
    old = read_manifest(job.manifests, job.where)
    change = Change(job.where, old, text := repin(job, old, pins_of(trials), new))
    if new.commit != job.recipe.source.commit:
        for name, standing in job.recipe.advisories.items():
            if standing.status != "not_affected":
                job.console.warn(
                    f"advisories: {name} is {standing.status} in the old source; and in the new one?"
                )
        if old_names := find_old_names(text, job.recipe.source):
            lines = "\n".join(f"  {change.path}:{number}: {line.strip()}" for number, line in old_names)
            job.console.warn(f"these lines still name the old source; change them by hand:\n{lines}")
    for trial in trials:
        if trial.fate is not Fate.EXACT:
            job.console.warn(f"{trial.file} {trial.fate.value}: {_advice(trial)}; its pins stay as they are")
    return (change,)


def _patch_changes(job: Job, again: str, tree: Path) -> tuple[Change, ...]:
    copy_writable(ensure_unpatched(job).path, tree)
    trials = _try(job, tree)
    for index, trial in enumerate(trials):
        if trial.fate is not Fate.EXACT:
            raise PatchError(
                where=f"{job.where}: patches[{index}]",
                expected="a patch that applies exactly to the pinned source and the patches before it",
                found=str(trial),
                fix=f"{_advice(trial)}, then {again}",
            )
    old = read_manifest(job.manifests, job.where)
    return (Change(job.where, old, repin(job, old, pins_of(trials), None)),)


def _try(job: Job, tree: Path) -> tuple[PatchTrial, ...]:
    files = [f"{job.manifests.show(job.manifests.patches)}/{patch.file}" for patch in job.recipe.patches]
    trials = try_patches(files, job.manifests.project, tree)
    for trial in trials:
        job.console.say(str(trial))
    return trials


def _advice(trial: PatchTrial) -> str:
    if trial.fate is Fate.APPLIED:
        return "take it out of `patches:` in the manifest"
    return "change the patch so that it fits exactly"


def pins_of(trials: Iterable[PatchTrial]) -> tuple[PatchPin, ...]:
    """Return the pins of the patches that applied exactly, of a series."""
    return tuple(
        PatchPin(index, trial.sha256, trial.tree, trial.tree_sha256)
        for index, trial in enumerate(trials)
        if trial.tree and trial.tree_sha256
    )


def repin(job: Job, text: str, pins: Sequence[PatchPin], new: NewSource | None) -> str:
    """Return the text of the job's recipe with new pins, and without digests of page and outputs that no longer hold.

    Raises ManifestError where it is laid out so that it cannot be edited in place.
    """
    recipe = job.recipe
    with layout_errors(job.where):
        result = propose_source(text, recipe, new) if new else text
        result = propose_patches(result, recipe, pins)
        result = unpin_page(result, recipe, _parse(result, job.where))
        after = _parse(result, job.where)
        return unpin_outputs(
            result,
            recipe,
            after,
            job.manifests.toolchain,
            lambda plan: is_pin_of(plan, job.manifests.output_listing(plan.recipe, plan.platform)),
        )


def _parse(text: str, where: str) -> Recipe:
    return parse(read(text, f"{where}, as proposed"), Recipe, "run the same command again")


def output_changes(job: Job, again: str) -> tuple[Change, ...]:
    """Return the digest and the listing of the plan's bundle in the store, hashed again."""
    plan, where = job.plan(), f"{job.where}: platforms.{job.platform_name}"
    if job.toolchain.kind == "host":
        others = [
            name
            for name, p in job.recipe.platforms.items()
            if job.manifests.toolchain(p.toolchain).kind != "host"
        ]
        raise UsageError(
            where=where,
            expected=f"a platform with a pinned toolchain{': ' if others else ''}{', '.join(others)}",
            found="the toolchain `host`: what it makes depends on the machine, so there is nothing to pin",
            fix="leave `output_unpinned:` as it is; or choose another --platform",
        )
    entry = job.store.find(plan.bundle_key)
    if entry is None:
        build = f"python3 noxfile.py -s build -- --recipe {plan.recipe} --platform {plan.platform}"
        raise UsageError(
            where=where,
            expected=f"the bundle of these pins, built: plan {plan.digest}",
            found=f"none in {job.store.root}",
            fix=build if job.platform.output is None else f"{UNPIN}, then\n{build}\n{again}",
        )
    job.store.verify(entry)
    listing = list_bundle(entry.path)
    digest = digest_of_listing(listing)
    job.console.say(f"bundle: {entry.path}\n  {digest}, hashed again just now; plan {plan.digest}")
    path = job.manifests.output_path(job.recipe.name, job.platform_name)
    text = read_manifest(job.manifests, job.where)
    with layout_errors(job.where):
        result = propose_output(text, job.recipe, job.platform_name, digest)
    # the manifest last: a digest is never pinned without its listing
    return (
        Change(
            job.manifests.show(path),
            job.manifests.output_listing(job.recipe.name, job.platform_name),
            listing,
        ),
        Change(job.where, text, result),
    )
