"""The session `bump`: what `lock` proposes, for one recipe or for all recipes and models, as one change of the project.

Nothing is bumped in part: what cannot be decided here, as a patch in conflict, is said, and then nothing is written.
"""

from __future__ import annotations

import argparse
import shutil
import sys
from contextlib import nullcontext
from dataclasses import replace
from typing import TYPE_CHECKING

from recipes.build.pipeline import ensure_bundle
from recipes.core.errors import FetchError, ManifestError, UsageError
from recipes.core.log import step
from recipes.core.process import Command, capture
from recipes.fetch.fetcher import Fetcher
from recipes.fetch.git_checkout import NO_CONFIG
from recipes.fetch.http.network_errors import OriginError, shown_url
from recipes.lock.bump_recipe import RecipeBump, bump_recipe
from recipes.lock.bump_table import table_of, table_of_model
from recipes.lock.git_refs import find_newest_build
from recipes.lock.inspect_source import git_url
from recipes.lock.model import model_change
from recipes.lock.page import page_change
from recipes.lock.proposal import Change
from recipes.lock.recipe import output_changes
from recipes.lock.request import command_again, named_source, number_of_build
from recipes.lock.succession import add_to_changelog, is_named_after_build
from recipes.lock.transaction import alone, replace_files
from recipes.lock.write import check_changes, read_manifest

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from recipes.build.context import Job
    from recipes.core.errors import RecipeError
    from recipes.manifest.load import Manifests
    from recipes.manifest.schema import Recipe, Source

CHANGELOG = "CHANGELOG.md"
GIT_S = 60


def bump(job: Job, options: argparse.Namespace) -> int:
    """Say what a newer source would change, and write it where the options say so.

    1. Choose the recipes, and the source of each.
    2. Find out what becomes of each, and of the models.
    3. Print the tables.
    4. Check that all manifests would be valid together; build page and platforms, where asked, and pin what comes out.
    5. Write all files, or none.

    Raises RecipeError where anything stands against that; then nothing is written.
    """
    with alone(job.manifests.project, job.console.say) if options.write else nullcontext():
        manifests = type(job.manifests)(job.manifests.project, job.manifests.own_models)  # as they are by now
        return _bump(replace(job, manifests=manifests, recipe=manifests.recipe(job.recipe.name)), options)


def _bump(job: Job, options: argparse.Namespace) -> int:
    manifests, console = job.manifests, job.console
    again = command_again(options)
    # 1. What.
    step(1, 5, "recipes", command=again)
    recipes = [manifests.recipe(name) for name in manifests.recipe_names()] if options.all else [job.recipe]
    sources = {
        recipe.name: options.to or newest_build(job, recipe.source, options)
        for recipe in choose(job, recipes)
    }
    # 2. What becomes of it.
    step(2, 5, "new pins", recipes=len(sources))
    bumps = [found for name, to in sources.items() if (found := _one(job, name, to, options))]
    changes = [change for each in bumps for change in each.changes]
    models = []
    for name in manifests.model_names() if options.all else ():
        model = manifests.model(name)
        is_ours = manifests.model_path(name).is_relative_to(manifests.project)
        if is_ours and model.hub is not None and model.repository is not None:
            change, differing = model_change(job, model, model.hub, model.repository, again)
            models.append((name, change, differing))
            changes += [change] if change.old != change.new else []
    # 3. The tables.
    step(3, 5, "tables", files=len(changes))
    tables = [*map(table_of, bumps), *(table_of_model(*model) for model in models)]
    lines = [each.changelog for each in bumps]
    lines += [
        f"- Pins: the model `{name}`, as the hub has it now." for name, one, _ in models if one.old != one.new
    ]
    sys.stdout.writelines(f"{text}\n" for text in (*tables, *lines))
    sys.stdout.flush()  # what is said next comes after it
    if blockers := [blocker for each in bumps for blocker in each.blockers]:
        return _refuse(bumps, blockers, job, write=options.write)
    if not changes:
        console.say("nothing to bump")
        return 0
    changes = [*_changelog(manifests, lines), *changes]
    # 4. Checked together.
    step(4, 5, "check the proposal", files=len(changes))
    with job.store.scratch("bump-proposal") as work:
        proposed = check_changes(changes, manifests, work)
        if options.build:
            changes = _with_outputs(job, bumps, proposed, changes, again)
    # 5. Written.
    step(5, 5, "write", files=len(changes), write=options.write)
    if not options.write:
        console.say(f"nothing is written; to write this: {command_again(options, '--write')}")
        return 0
    _refuse_unsaved(manifests, changes)
    replace_files(changes, manifests.project)
    console.say("\n".join(f"written: {change.path}" for change in changes))
    return 0


def choose(job: Job, recipes: Sequence[Recipe]) -> list[Recipe]:
    """Return the recipes that get a newer source: of those named after their build, which keep theirs, the newest."""
    newest: dict[str, Recipe] = {}
    for recipe in filter(is_named_after_build, recipes):
        other = newest.setdefault(recipe.source.repository, recipe)
        if other.source.build_number < recipe.source.build_number:
            newest[recipe.source.repository] = recipe
    chosen = []
    for recipe in recipes:
        heir = newest.get(recipe.source.repository, recipe)
        if is_named_after_build(recipe) and heir is not recipe:
            job.console.say(
                f"{recipe.name} keeps its source, by which it is named; {heir.name} is the newest of these"
            )
        else:
            chosen.append(recipe)
    return chosen


def newest_build(job: Job, source: Source, options: argparse.Namespace) -> str:
    """Return the tag of upstream's newest build; raises FetchError where upstream's git cannot be asked."""
    url = git_url(source)
    try:
        return find_newest_build(url, Fetcher(job.store, job.console, job.settings))
    except OriginError as error:
        raise FetchError(
            where=shown_url(url),
            expected="the tags of upstream's builds",
            found=str(error),
            fix=(
                f"{command_again(options)}  # once it can be reached; or name the source, as\n"
                f"{command_again(options, '--to', 'PROJECT==VERSION')}  # or a tag, a commit, an archive's address"
            ),
        ) from error


def _one(job: Job, name: str, to: str, options: argparse.Namespace) -> RecipeBump | None:
    """Return what becomes of one recipe; None where nothing does, which is said."""
    console, manifests = job.console, job.manifests
    alone = {"to": to} | ({"all": False, "recipe": name} if options.all else {})
    again = command_again(argparse.Namespace(**{**vars(options), **alone}))
    job = replace(job, recipe=manifests.recipe(name))
    request = named_source(to, options, again, "--to")
    number = options.build_number or number_of_build(request.place)
    if options.to is None and number is not None and number <= job.recipe.source.build_number:
        console.say(f"{name} has upstream's newest build, {to}")
        return None
    is_successor = is_named_after_build(job.recipe) and number != job.recipe.source.build_number
    if is_successor and f"b{number}" in manifests.recipe_names():
        console.say(f"manifests/recipes/b{number}.yaml is there already: {name} has its successor")
        return None
    with job.store.scratch(f"bump-{name}") as work:
        found = bump_recipe(job, request, _left_out(options, job.recipe), work)
    if found is None:
        console.say(f"{name} pins {to} already: commit {job.recipe.source.commit.hex}")
    return found


def _left_out(options: argparse.Namespace, recipe: Recipe) -> set[int]:
    for number in options.leave_out:
        if number > len(recipe.patches):
            raise UsageError(
                where=f"--leave-out {number}",
                expected=f"the number of a patch of {recipe.name}, from 1 to {len(recipe.patches)}",
                found=str(number),
                fix="count the patches in the order of `patches:`",
            )
    return {number - 1 for number in options.leave_out}


def _refuse(bumps: Sequence[RecipeBump], blockers: Sequence[RecipeError], job: Job, *, write: bool) -> int:
    text = "\n".join(f"{each.where}: {each.found}" for each in blockers)
    fix = "\n".join(dict.fromkeys(each.fix for each in blockers))
    if not write:
        job.console.warn(f"this cannot be written:\n{text}\n{fix}")
        return 0
    raise type(blockers[0])(
        where=bumps[0].after.name if len(bumps) == 1 else "bump",
        expected="all that is bumped, or nothing",
        found=text,
        fix=fix,
    )


def _changelog(manifests: Manifests, lines: Sequence[str]) -> list[Change]:
    if not (manifests.project / CHANGELOG).is_file():
        return []
    text = read_manifest(manifests, CHANGELOG)
    return [Change(CHANGELOG, text, add_to_changelog(text, lines))]


def _with_outputs(
    job: Job, bumps: Sequence[RecipeBump], proposed: Manifests, changes: Sequence[Change], again: str
) -> list[Change]:
    """Build the page, and each platform whose output was pinned, from the manifests as proposed; pin what comes out."""
    by_path = {change.path: change for change in changes}

    def job_of(recipe: str, platform: str) -> Job:
        manifests = type(proposed)(proposed.project)  # as they are by now
        return replace(job, manifests=manifests, recipe=manifests.recipe(recipe), platform_name=platform)

    def pin(pinned: Iterable[Change]) -> None:
        for change in pinned:
            first = by_path.get(change.path)
            by_path[change.path] = change._replace(old=first.old if first else change.old)
            (proposed.project / change.path).parent.mkdir(exist_ok=True)
            (proposed.project / change.path).write_text(change.new or "", encoding="utf-8")

    for each in bumps:
        if each.after.page is not None:
            pin((page_change(job_of(each.after.name, job.platform_name)),))
        for name in (name for name, platform in each.before.platforms.items() if platform.output):
            built = job_of(each.after.name, name)
            ensure_bundle(built, built.plan())
            pin(output_changes(built, again))
    manifests = [f"manifests/recipes/{each.after.name}.yaml" for each in bumps]
    last = [by_path.pop(path) for path in manifests if path in by_path]
    return [*by_path.values(), *last]


def _refuse_unsaved(manifests: Manifests, changes: Sequence[Change]) -> None:
    """Refuse to replace or remove a patch that git does not have as it is: nobody could bring it back.

    Manifests are changed in place, so that a person's own edits of them stay.
    """
    program = shutil.which("git")
    folder = manifests.show(manifests.patches)
    paths = [
        change.path for change in changes if change.old is not None and change.path.startswith(f"{folder}/")
    ]
    if program is None or not paths:
        return
    command = (program, "status", "--porcelain", "--ignored", "--untracked-files=all", "--", *paths)
    done = capture(Command(command, manifests.project, NO_CONFIG | {"PATH": "/usr/bin:/bin"}), GIT_S)
    if done.status == 0 and done.out.strip():  # where this is no checkout, nothing is said
        raise ManifestError(
            where=done.out.splitlines()[0][3:],
            expected="patches that are committed: this would replace or remove them",
            found="changes that git does not have",
            fix="git add patches && git commit, or git stash; then run the same command again",
        )
