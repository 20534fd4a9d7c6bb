"""Hashes again everything that is pinned and present: one row each, nothing skipped unsaid."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from recipes.build.pipeline import find_bundle
from recipes.build.plan.plan import final_tree
from recipes.build.provenance import PROVENANCE_INPUT, find_fault, provenance_path
from recipes.build.source_tree import (
    find_paged_source,
    find_source,
    paged_source_key,
    read_patch,
    source_key,
)
from recipes.build.toolchain.toolchain import find_toolchain, host_name, place_of, runtime_key, toolchain_key
from recipes.build.vendored import check_version
from recipes.build.webpage.build_page import find_page, page_key
from recipes.build.webpage.npm_packages import find_packages, packages_key
from recipes.core.errors import FetchError, RecipeError, VerifyError
from recipes.core.log import step
from recipes.fetch.fetcher import Fetcher
from recipes.fetch.origins import Tree, compare_origins
from recipes.manifest.schema import GitOrigin

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from recipes.build.context import Job
    from recipes.build.plan.plan import Plan
    from recipes.manifest.schema import Page, Recipe, Toolchain
    from recipes.store.entry import Entry
    from recipes.store.store import Store


@dataclass(frozen=True)
class PinCheck:
    """What became of one pin, named as in the manifest.

    Its state is "ok", "absent" (nothing here to verify), "unpinned" (whole by the store's own record, and no manifest
    says what it must be) or "BAD", with the error.
    """

    what: str
    state: str
    digest: str
    error: RecipeError | None = None


def verify_all(job: Job, *, all_origins: bool = False) -> Iterator[PinCheck]:
    """Return one row for each pin of a recipe and platform.

    1. All origins, where asked for: downloaded, and what they give compared with the pinned tree and commit. The commit
       is absent where an origin proves none.
    2. The archives and the tree of the source.
    3. The patches, and the patched tree; what it says of the versions of libraries that it carries.
    4. The toolchain, and the runtime libraries that it compiled.
    5. The page, where the recipe builds one.
    6. The compiled files, and the bundle.
    """
    recipe, store = job.recipe, job.store
    # 1. All origins.
    step(1, 6, "origins", all=all_origins)
    if all_origins:
        yield from _origins(job)
    # 2. The source.
    step(2, 6, "source", commit=recipe.source.commit)
    for index, origin in enumerate(recipe.source.origins):
        if not isinstance(origin, GitOrigin):
            name = f"source.origins[{index}]"
            yield _check_pin(
                name, str(origin.sha256), partial(store.verified_blob, origin.sha256, origin.size_bytes)
            )
    yield _check_pin(
        "source.tree", str(recipe.source.tree), lambda: find_source(store, recipe.source.tree_sha256)
    )
    # 3. The patches.
    step(3, 6, "patches", count=len(recipe.patches))
    for index, patch in enumerate(recipe.patches):
        yield _check_pin(f"patches/{patch.file}", str(patch.sha256), partial(_find_patch, job, index))
    if recipe.patches:
        last = recipe.patches[-1]
        yield _check_pin("patched tree", str(last.tree), lambda: find_source(store, last.tree_sha256))
    yield from _vendored(recipe, store)
    # 4. The toolchain.
    plan = job.plan()
    step(4, 6, "toolchain", name=job.toolchain.name)
    yield from _toolchain(job.toolchain, store)
    if plan.hermetic and host_name() in job.toolchain.hosts:
        unpacked = toolchain_key(job.toolchain, host_name())
        place = place_of(store.entry_path(unpacked), job.surroundings)
        runtime = runtime_key(plan, unpacked, place)
        yield _check_pin(
            f"runtime libraries of {plan.machine}",
            runtime,
            lambda: store.find_verified(runtime),
            is_pinned=False,
        )
    # 5. The page.
    step(5, 6, "page", builds=recipe.page is not None)
    if recipe.page is not None:
        node = job.manifests.toolchain(recipe.page.toolchain)
        yield from _toolchain(node, store)
        yield from _page(recipe, recipe.page, node, store)
    # 6. The compiled files, and the bundle.
    step(6, 6, "bundle", plan=plan.name, digest=plan.digest)
    yield _check_pin(
        f"compiled files of {plan.name}",
        plan.compiled_key,
        lambda: store.find_verified(plan.compiled_key),
        is_pinned=False,
    )
    yield _check_pin(
        f"bundle {plan.name}",
        str(job.platform.output or "not pinned"),
        lambda: find_bundle(job, plan),
        is_pinned=job.platform.output is not None,
    )
    if (entry := store.find(plan.bundle_key)) is not None:
        yield _check_pin(
            f"provenance of {plan.name}",
            entry.inputs.get(PROVENANCE_INPUT, "not recorded"),
            partial(_find_provenance, job, plan, entry),
        )


def _check_pin(what: str, digest: str, check: Callable[[], object], *, is_pinned: bool = True) -> PinCheck:
    try:
        present = check()
    except RecipeError as error:
        return PinCheck(what, "BAD", digest, error)
    return PinCheck(what, ("ok" if is_pinned else "unpinned") if present else "absent", digest)


def _origins(job: Job) -> Iterator[PinCheck]:
    source, where = job.recipe.source, f"{job.where}: source.origins"
    pinned = Tree(source.tree, source.tree_sha256)
    results = compare_origins(job.recipe.name, source, where, Fetcher.of(job))
    for index, result in enumerate(results):
        error: RecipeError | None = result.refused
        if error is None and result.tree != pinned:
            error = (FetchError if result.tree is None else VerifyError)(
                where=f"{where}[{index}]",
                expected=str(pinned),
                found="\n".join(map(str, result.failures)),
                fix="remove this origin from the manifest where it stays so; the others give the pinned source",
            )
        yield PinCheck(f"source from {result.label}", "BAD" if error else "ok", str(source.tree), error)
        if error is None:
            state = "ok" if result.proves_commit else "absent"
            yield PinCheck(f"commit from {result.label}", state, str(source.commit))


def _vendored(recipe: Recipe, store: Store) -> Iterator[PinCheck]:
    """Compare the versions by which findings are matched with the source that carries the libraries."""
    source = store.find(source_key(final_tree(recipe)))  # compared with its pin above
    for library, url in recipe.vendored.items():
        what = f"version of {library}"
        if source is None:
            yield PinCheck(what, "absent", url)
        else:
            yield _check_pin(what, url, partial(check_version, recipe, library, source.path))


def _toolchain(toolchain: Toolchain, store: Store) -> Iterator[PinCheck]:
    for wheel in toolchain.hosts.get(host_name(), ()):
        yield _check_pin(
            f"{wheel.project} {wheel.version}",
            str(wheel.sha256),
            partial(store.verified_blob, wheel.sha256, wheel.size_bytes),
        )
    if host_name() in toolchain.hosts:
        pinned = toolchain.trees.get(host_name())
        yield _check_pin(
            f"toolchain {toolchain.name}",
            str(pinned or toolchain_key(toolchain, host_name())),
            lambda: find_toolchain(toolchain, store),
            is_pinned=pinned is not None,
        )


def _page(recipe: Recipe, page: Page, node: Toolchain, store: Store) -> Iterator[PinCheck]:
    where = f"manifests/recipes/{recipe.name}.yaml: page"
    if host_name() in node.hosts:
        packages = packages_key(final_tree(recipe), page.folder, toolchain_key(node, host_name()))
        source = store.find(source_key(final_tree(recipe)))  # compared with its pin above
        if source is None:
            yield PinCheck("npm packages of the page", "absent", packages)
        else:
            lock = source.path / page.folder
            yield _check_pin(
                "npm packages of the page", packages, lambda: find_packages(store, packages, lock, where)
            )
    key = page_key(recipe, page, node)
    yield _check_pin("page", str(page.tree_sha256), lambda: find_page(store, key, page, where))
    # as compared with their pins above
    patched, built = store.find(source_key(final_tree(recipe))), store.find(key)
    together = paged_source_key(recipe)
    if patched is None or built is None:
        yield PinCheck("source with its page", "absent", together)
    else:
        yield _check_pin(
            "source with its page", together, lambda: find_paged_source(store, recipe, patched, built)
        )


def _find_provenance(job: Job, plan: Plan, entry: Entry) -> bool:
    if fault := find_fault(job.store, plan, entry):
        raise VerifyError(
            where=str(provenance_path(job.store, plan)),
            expected=f"the provenance that was written with {entry.path}",
            found=fault,
            fix=f"python3 noxfile.py -s build -- --recipe {plan.recipe} --platform {plan.platform}  # writes it again",
        )
    return PROVENANCE_INPUT in entry.inputs


def _find_patch(job: Job, index: int) -> bytes | None:
    is_here = (job.manifests.patches / job.recipe.patches[index].file).exists()
    return read_patch(job, index) if is_here else None
