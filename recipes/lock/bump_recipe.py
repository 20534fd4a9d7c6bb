"""One recipe on a newer source: its new text, its patches, and all that a person must look at; nothing is written."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from recipes.build.plan.plan import final_tree
from recipes.build.source_tree import ensure_unpatched
from recipes.build.vendored import read_version
from recipes.build.webpage.npm_packages import read_npm_lock
from recipes.core.errors import PatchError, PinMissingError, VerifyError
from recipes.core.filesystem import storage_errors
from recipes.fetch.fetcher import Fetcher
from recipes.fetch.http.network_errors import OriginError
from recipes.lock.cmake_options import Undeclared, compare_options, declared_options, named_options
from recipes.lock.git_refs import find_commit
from recipes.lock.inspect_source import git_url, inspect_source
from recipes.lock.loader import table_of_tree
from recipes.lock.proposal import Change, find_old_names
from recipes.lock.rebase import Outcome, Rebased, Series
from recipes.lock.recipe import pins_of, repin
from recipes.lock.request import Tag
from recipes.lock.standings import Look, look_again, write_looks
from recipes.lock.succession import Successor, changelog_line, keep_patches, succeed
from recipes.lock.transaction import as_text
from recipes.lock.write import layout_errors, read_manifest
from recipes.manifest.decode import parse
from recipes.manifest.edit_values import replace_pins
from recipes.manifest.schema import Recipe
from recipes.manifest.strict_yaml import read
from recipes.models.loader.table import table_path, table_text

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence
    from pathlib import Path

    from recipes.build.context import Job
    from recipes.core.errors import RecipeError
    from recipes.lock.proposal import NewSource
    from recipes.lock.request import SourceRequest
    from recipes.manifest.load import Manifests


@dataclass(frozen=True)
class RecipeBump:
    """What becomes of a recipe.

    `vendored` are libraries of the source with another version, as (name, before, after); `by_hand` are lines of the
    manifest that still name the old source; `page_packages` counts what the new source's page is built from;
    `blockers` say why it cannot be written, and then there are no `changes`.
    """

    before: Recipe
    after: Recipe
    new: NewSource
    series: tuple[Rebased, ...]
    options: Undeclared
    looks: tuple[Look, ...]
    vendored: tuple[tuple[str, str, str], ...]
    by_hand: tuple[str, ...]
    page_packages: int
    blockers: tuple[RecipeError, ...]
    changes: tuple[Change, ...]

    @property
    def changelog(self) -> str:
        """The line of the changelog."""
        return changelog_line(self.before, self.after, self.new, self.series)


def bump_recipe(job: Job, request: SourceRequest, left_out: Collection[int], work: Path) -> RecipeBump | None:
    """Return what becomes of the job's recipe on the source asked for; None where it is pinned already.

    1. Inspect the new source, as `lock` does, and compare its tag with git and with the other recipes.
    2. Rebase the patches, but for those left out, by their numbers from 0.
    3. Pin: source, patches, and what follows from them; page and outputs are unpinned.
    4. Read the lock of the page's packages, and derive the table of the loader, where the recipe has these.

    `work` is an empty folder of the store. Raises RecipeError where something cannot be found out, or is not as pinned.
    """
    manifests, recipe = job.manifests, job.recipe
    # 1. The source.
    tree = work / "new"
    new = inspect_source(request, job, tree)
    _refuse_moved(job, request, new)
    if new.commit == recipe.source.commit:
        return None
    old = ensure_unpatched(job).path
    options = compare_options(declared_options(old), declared_options(tree), named_options(recipe, manifests))
    # 2. The patches.
    text = read_manifest(manifests, job.where)
    with layout_errors(job.where):
        successor = succeed(recipe, text, new.build_number, _shared(manifests, recipe.name))
    patches = tuple(_read(manifests.patches / patch.file) for patch in recipe.patches)
    is_new = successor.recipe.name != recipe.name
    own = {
        number: _read(manifests.patches / file)
        for number, file in enumerate(successor.files)
        if is_new and (manifests.patches / file).is_file()
    }
    (work / "merge").mkdir()
    series = Series(recipe, patches, old, tree, new.tree, work / "merge", own, left_out).rebase()
    # 3. The pins.
    kept = [one.number for one in series if not one.outcome.is_gone]
    with layout_errors(job.where):
        successor = keep_patches(successor, kept)
        bumped = replace(job, recipe=successor.recipe)
        text = repin(bumped, successor.text, pins_of(series[number].trial for number in kept), new)
        vendored = _vendored(recipe, tree)
        text = (
            replace_pins(text, {("vendored", name): after for name, _, after in vendored})
            if vendored
            else text
        )
        looks = look_again(_parse(text, bumped.where), manifests.advisories(), series)
        text = write_looks(text, recipe, looks)
    after = _parse(text, bumped.where)
    # 4. The page and the table of the loader.
    blockers: list[RecipeError] = [
        _conflict(one.trial.file, after.name, request.again)
        for one in series
        if one.outcome is Outcome.CONFLICT
    ]
    page_packages = 0
    try:
        if after.page is not None:
            page_packages = len(read_npm_lock(tree / after.page.folder, f"{bumped.where}: page"))
    except (PinMissingError, VerifyError) as error:
        blockers.append(error)
    changes = _patch_changes(manifests, recipe, successor, series, is_new=is_new)
    if not blockers and (manifests.project / table_path(recipe.name)).is_file():
        try:
            table = table_text(table_of_tree(tree, str(final_tree(after)), table_path(after.name)))
            changes.append(_change(manifests, table_path(after.name), table.encode()))
        except VerifyError as error:
            blockers.append(error)
    changes.append(_change(manifests, bumped.where, text.encode()))
    names = find_old_names(text, recipe.source)
    by_hand = tuple(f"{bumped.where}:{number}: {line.strip()}" for number, line in names)
    return RecipeBump(
        recipe, after, new, series, options, looks, vendored, by_hand, page_packages, tuple(blockers),
        () if blockers else tuple(change for change in changes if change.old != change.new),
    )  # fmt: skip


def _conflict(file: str, name: str, again: str) -> PatchError:
    return PatchError(
        where=file,
        expected="a patch that git can merge with the new source",
        found="in conflict",
        fix=(
            f"make each patch in conflict again from the new source and put it into patches/{name}/ by the same name;\n"
            f"or leave it out: {again} --leave-out NUMBER"
        ),
    )


def _parse(text: str, where: str) -> Recipe:
    return parse(read(text, f"{where}, as proposed"), Recipe, "run the same command again")


def _refuse_moved(job: Job, request: SourceRequest, new: NewSource) -> None:
    """Refuse a tag that names another commit than it did, to git or to a recipe that pins that build."""
    known = {
        f"manifests/recipes/{name}.yaml": other.source.commit
        for name in job.manifests.recipe_names()
        if (other := job.manifests.recipe(name)).source.build_number == new.build_number
        and other.source.repository == job.recipe.source.repository
    }
    if isinstance(request.place, Tag) and request.place.name != new.commit.hex:
        url = git_url(job.recipe.source)
        try:
            known[url] = find_commit(url, request.place.name, Fetcher(job.store, job.console, job.settings))
        except OriginError as error:
            job.console.warn(f"the tag could not be compared with {url}: {error}")
    for place, commit in known.items():
        if commit != new.commit:
            raise VerifyError(
                where=request.where,
                expected=f"commit {commit.hex}, which {place} has as b{new.build_number}",
                found=f"commit {new.commit.hex}: the tag was moved, or this is another build",
                fix="ask upstream which of the two it is, then name that commit with --to COMMIT --build-number N",
            )


def _shared(manifests: Manifests, name: str) -> set[str]:
    others = (manifests.recipe(other) for other in manifests.recipe_names() if other != name)
    return {patch.file for other in others for patch in other.patches}


def _read(path: Path) -> bytes:
    with storage_errors(path):
        return path.read_bytes()


def _vendored(recipe: Recipe, source: Path) -> tuple[tuple[str, str, str], ...]:
    """Return the package URLs of the vendored libraries of which a source has another version."""
    listed = recipe.components if isinstance(recipe.components, tuple) else ()
    found = []
    for component in listed:
        before = recipe.vendored.get(component.name)
        version = read_version(component, source) if before and component.version else None
        if before and version and before.partition("@")[2] != version:
            found.append((component.name, before, f"{before.partition('@')[0]}@{version}"))
    return tuple(found)


def _patch_changes(
    manifests: Manifests, recipe: Recipe, successor: Successor, series: Sequence[Rebased], *, is_new: bool
) -> list[Change]:
    kept = [one for one in series if not one.outcome.is_gone]
    folder = manifests.show(manifests.patches)
    changes = [
        _change(manifests, f"{folder}/{file}", one.data)
        for one, file in zip(kept, successor.files, strict=True)
    ]
    gone = [recipe.patches[one.number].file for one in series if one.outcome.is_gone and not is_new]
    shared = _shared(manifests, recipe.name)
    return changes + [_change(manifests, f"{folder}/{file}", None) for file in gone if file not in shared]


def _change(manifests: Manifests, path: str, new: bytes | None) -> Change:
    present = manifests.project / path
    old = as_text(_read(present)) if present.is_file() else None
    return Change(path, old, None if new is None else as_text(new))
