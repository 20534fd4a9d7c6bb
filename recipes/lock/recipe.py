"""The session `lock`: new pins, proposed as a difference of the manifest's text, and written only when asked.

| asked for  | what is proposed                                                              |
|------------|-------------------------------------------------------------------------------|
| --source   | another source: its commit, trees and origins, and its patches where they fit |
| --output   | the digest of the bundle that this machine built, and the listing of its files |
| neither    | the recipe's own patches, as they are now, on the pinned source                |

The difference goes to standard output, and everything said about it to standard error.
"""

from __future__ import annotations

import shlex
from contextlib import contextmanager
from typing import TYPE_CHECKING

from recipes.build.bundle.layout import is_pin_of
from recipes.build.bundle.listing import digest_of_listing, list_bundle
from recipes.build.pipeline import UNPIN
from recipes.build.source_tree import ensure_unpatched
from recipes.core.digest import Sha1
from recipes.core.errors import ManifestError, PatchError, UsageError
from recipes.core.filesystem import copy_writable
from recipes.lock.inspect_source import look_at
from recipes.lock.proposal import (
    Change,
    PatchPin,
    SeenSource,
    find_old_names,
    propose_output,
    propose_patches,
    propose_source,
    unpin_outputs,
)
from recipes.lock.request import Question, parse_place
from recipes.lock.write import check_proposal, offer_proposal
from recipes.manifest.decode import parse
from recipes.manifest.schema import Recipe
from recipes.manifest.strict_yaml import read
from recipes.patches.series import Fate, Trial, try_patches

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from recipes.build.context import Job


def propose(job: Job, options: argparse.Namespace) -> int:
    """Propose new pins of a recipe, and write them where the options say so.

    Parameters
    ----------
    job
        The recipe; and the platform, for --output.
    options
        As the command line gives them: source, subdirectory, commit, build_number, output, write.

    Raises
    ------
    RecipeError
        Where there is nothing to base a proposal on, or it would not be a valid manifest; nothing is written.
    """
    again = command_again(options)
    question = read_question(options, again)
    with job.store.scratch(f"lock-{job.recipe.name}") as work:
        if options.output:
            changes = _output_changes(job, again)
        elif question:
            changes = _source_changes(job, question, work / "source")
        else:
            changes = _patch_changes(job, again, work / "source")
        changes = tuple(change for change in changes if change.new != change.old)
        checked = work / "checked"
        checked.mkdir()
        check_proposal(changes, job.manifests, checked)
    unwritten = f"nothing is written; to write this: {command_again(options, '--write')}"
    offer_proposal(changes, job.manifests, job.console, write=options.write, unwritten=unwritten)
    return 0


def command_again(options: argparse.Namespace, *more: str) -> str:
    """Give the command line that asks the same, without --write, and with more options."""
    words = ["python3", "noxfile.py", "-s", "lock", "--"]
    for name in ("project", "recipe", "platform", "source", "subdirectory", "commit", "build_number"):
        if (value := getattr(options, name)) is not None:
            words += [f"--{name.replace('_', '-')}", str(value)]
    if options.output:
        words.append("--output")
    return shlex.join((*words, *more)).removesuffix(" --")


def read_question(options: argparse.Namespace, again: str) -> Question | None:
    """Make sense of the options together.

    Raises
    ------
    UsageError
        Where they contradict each other, or cannot be meant.
    """
    only_with = [
        name for name in ("subdirectory", "commit", "build_number") if getattr(options, name) is not None
    ]
    if options.source is None:
        if only_with:
            raise UsageError(
                where=f"--{only_with[0].replace('_', '-')}",
                expected="--source with it: it says something about a new source",
                found="no --source",
                fix=f"{again} --source ...",
            )
        return None
    if options.output:
        raise UsageError(
            where="--output",
            expected="one of --source and --output: a new source must be built before its output is pinned",
            found="both",
            fix=again.removesuffix(" --output"),
        )
    try:
        place = parse_place(options.source)
    except ValueError as error:
        raise UsageError(
            where="--source", expected=str(error), found=repr(options.source), fix="write one of these"
        ) from error
    try:
        commit = Sha1(options.commit) if options.commit is not None else None
    except ValueError as error:
        raise UsageError(
            where="--commit", expected="a full commit id", found=str(error), fix="copy the id again, in full"
        ) from error
    return Question(options.source, place, again, options.subdirectory, commit, options.build_number)


def _source_changes(job: Job, question: Question, tree: Path) -> tuple[Change, ...]:
    seen = look_at(question, job, tree)
    trials = _try(job, tree)
    change = _repin(job, trials, seen)
    for issue in job.recipe.known_issues if seen.commit != job.recipe.source.commit else ():
        job.console.warn(f"known_issues: {issue.id} was found in the old source; is it in the new one?")
    old_names = (
        find_old_names(change.new, job.recipe.source) if seen.commit != job.recipe.source.commit else ()
    )
    if old_names:
        lines = "\n".join(f"  {change.path}:{number}: {line.strip()}" for number, line in old_names)
        job.console.warn(f"these lines still speak of the old source, and are yours to change:\n{lines}")
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
    return (_repin(job, trials, None),)


def _try(job: Job, tree: Path) -> tuple[Trial, ...]:
    files = [f"{job.manifests.show(job.manifests.patches)}/{patch.file}" for patch in job.recipe.patches]
    trials = try_patches(files, job.manifests.project, tree)
    for trial in trials:
        job.console.say(str(trial))
    return trials


def _advice(trial: Trial) -> str:
    if trial.fate is Fate.APPLIED:
        return "take it out of `patches:` in the manifest"
    return "change the patch so that it fits exactly"


def _repin(job: Job, trials: Sequence[Trial], seen: SeenSource | None) -> Change:
    """Give the manifest with what was seen and tried, and without outputs that cannot come out any more."""
    recipe, text = job.recipe, _text(job)
    pins = [
        PatchPin(index, trial.sha256, trial.tree, trial.tree_sha256)
        for index, trial in enumerate(trials)
        if trial.tree and trial.tree_sha256
    ]
    with _edits(job):
        result = propose_source(text, recipe, seen) if seen else text
        result = propose_patches(result, recipe, pins)
        after = parse(read(result, f"{job.where}, as proposed"), Recipe, "run the same command again")
        result = unpin_outputs(
            result,
            recipe,
            after,
            job.manifests.toolchain,
            lambda plan: is_pin_of(plan, job.manifests.output_listing(plan.recipe, plan.platform)),
        )
    return Change(job.where, text, result)


def _output_changes(job: Job, again: str) -> tuple[Change, ...]:
    """Give the digest and the listing of the bundle that the store holds for the plan, hashed again.

    Raises
    ------
    UsageError
        Where there is none, or it cannot be pinned.
    """
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
    text = _text(job)
    with _edits(job):
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


def _text(job: Job) -> str:
    path = job.manifests.project / job.where
    try:
        return path.read_text(encoding="utf-8")
    except OSError as error:
        raise ManifestError(
            where=job.where,
            expected="a file that can be read",
            found=error.strerror or str(error),
            fix=f"ls -l {job.where}",
        ) from error


@contextmanager
def _edits(job: Job) -> Iterator[None]:
    try:
        yield
    except ValueError as error:
        raise ManifestError(
            where=job.where,
            expected="a manifest laid out so that its pins can be changed in place: one key or item a line",
            found=str(error),
            fix="write these keys in the layout of the other recipes, then run the same command again",
        ) from error
