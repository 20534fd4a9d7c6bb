"""What of a store the manifests reach: the roots of garbage collection."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from recipes.build.plan.host_override import on_host
from recipes.build.plan.plan import final_tree, make_plan
from recipes.build.source_tree import paged_source_key, source_key
from recipes.build.toolchain.toolchain import PLACE, host_name, runtime_key, toolchain_key
from recipes.build.webpage.build_page import page_key
from recipes.build.webpage.npm_packages import packages_key, partial_name
from recipes.manifest.schema import GitOrigin, Recipe
from recipes.store import gc

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from recipes.core.digest import Sha256
    from recipes.manifest.load import Manifests
    from recipes.store.context import Context


@dataclass(frozen=True)
class Reachable:
    """The entries and downloads that some manifest names."""

    keys: frozenset[str]
    blobs: frozenset[Sha256]


def find_reachable(manifests: Manifests, entries: Path) -> Reachable:
    """Return all that any recipe, for any platform, is built from or gives on this machine; and all models.

    `entries` is the store's folder: where a toolchain cannot be seen at another path, that is part of a name.
    """
    keys: set[str] = set()
    blobs: set[Sha256] = set()
    for recipe in map(manifests.recipe, manifests.recipe_names()):
        blobs |= {origin.sha256 for origin in recipe.source.origins if not isinstance(origin, GitOrigin)}
        keys |= {
            source_key(recipe.source.tree_sha256),
            *(source_key(each.tree_sha256) for each in recipe.patches),
        }
        if recipe.page is not None:
            node = manifests.toolchain(recipe.page.toolchain)
            blobs |= {wheel.sha256 for wheels in node.hosts.values() for wheel in wheels}
            keys.add(page_key(recipe, recipe.page, node))
            if recipe.page.tree_sha256 is not None:
                keys.add(paged_source_key(recipe))
            if host_name() in node.hosts:
                unpacked = toolchain_key(node, host_name())
                packages = packages_key(final_tree(recipe), recipe.page.folder, unpacked)
                keys |= {unpacked, packages}
                blobs.add(partial_name(packages))  # what npm has got so far goes on, like a download
        for built, name in _builds(recipe):
            toolchain = manifests.toolchain(built.platforms[name].toolchain)
            plan = make_plan(built, name, toolchain)
            keys |= {plan.bundle_key, plan.compiled_key}
            blobs |= {wheel.sha256 for wheels in toolchain.hosts.values() for wheel in wheels}
            if host_name() in toolchain.hosts:
                unpacked = toolchain_key(toolchain, host_name())
                places = (PLACE, entries / unpacked)
                keys |= {unpacked, *(runtime_key(plan, unpacked, place) for place in places)}
    for model in map(manifests.model, manifests.model_names()):
        blobs |= {file.sha256 for file in model.files if file.sha256 is not None}
    for base in map(manifests.image_base, manifests.image_names()):
        blobs |= {package.sha256 for packages in base.machines.values() for package in packages}
    return Reachable(frozenset(keys), frozenset(blobs))


def collect(manifests: Manifests, context: Context, *, dry_run: bool, rejected: bool) -> int:
    """Remove what nothing reaches, or only list it."""
    reachable = find_reachable(manifests, context.store.entries)
    contents = gc.list_store(context.store)
    plan = gc.plan_collection(reachable.keys, reachable.blobs, contents, rejected=rejected)
    for line in gc.describe(plan):
        print(line)
    if dry_run:
        print("nothing was removed: --dry-run")
        return 0
    collected = gc.collect(context.store, plan, context.console)
    print(f"removed {len(collected.removed)} things, {collected.freed_bytes / 1e6:.1f} MB")
    return 0


def _builds(recipe: Recipe) -> Iterator[tuple[Recipe, str]]:
    """Return each platform as the pinned compiler builds it, and as the machine's own does where it can."""
    for name, platform in recipe.platforms.items():
        yield recipe, name
        if platform.host is not None:
            yield on_host(recipe, name), name
