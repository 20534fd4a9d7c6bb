"""What is said of a bundle, and of the stages before it, where they are published."""

from __future__ import annotations

from typing import TYPE_CHECKING

from recipes.build.plan.plan import final_tree
from recipes.build.shared import bundle_tag
from recipes.build.sharing.stages import annotations_of, signed_publication, stage_publication
from recipes.build.source_tree import find_source
from recipes.build.toolchain.toolchain import PLACE, host_name, runtime_key, toolchain_key
from recipes.build.webpage.build_page import find_page, page_key
from recipes.registry.documents import TargetPlatform
from recipes.registry.names import recipe_tag
from recipes.registry.publish import Publication
from recipes.registry.tree import BUNDLE, PAGE, PLATFORM, RECIPE, SCHEMA, SOURCE, TREE, TreeFacts

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping
    from pathlib import Path

    from recipes.build.context import Job
    from recipes.build.plan.plan import Plan
    from recipes.core.digest import Sha256

OWN = "pinned-llama"
# Go's names, which registries use
SYSTEMS = {"macos": "darwin"}
MACHINES = {"x86_64": "amd64", "aarch64": "arm64"}


def bundle_publication(
    job: Job, plan: Plan, folder: Path, tree: Sha256, documents: Mapping[str, bytes]
) -> Publication:
    """Return how a plan's bundle is published: under its plan's digest, and in the index of its recipe."""
    facts = TreeFacts(
        schema=SCHEMA,
        kind=BUNDLE,
        tree=tree.hex,
        recipe=plan.recipe,
        platform=plan.platform,
        plan=plan.digest.hex,
    )
    annotations = {
        **annotations_of(job.recipe, f"llama.cpp {plan.recipe} for {plan.platform}"),
        RECIPE: plan.recipe,
        PLATFORM: plan.platform,
        f"{OWN}.plan": plan.digest.hex,
        TREE: tree.hex,
    }
    return Publication(
        folder=folder,
        tag=bundle_tag(plan),
        facts=facts,
        annotations=annotations,
        mtime=job.recipe.source.epoch,
        pinned=job.platform.output is not None,
        documents=documents,
        index=recipe_tag(plan.recipe),
        target=target_platform(plan),
    )


def stage_publications(job: Job) -> Iterator[Publication]:
    """Return how the patched source and the page of a recipe are published, where the store has them.

    Raises what `find_source` and `find_page` raise: what is published was hashed again.
    """
    recipe = job.recipe
    if source := find_source(job.store, final_tree(recipe)):
        yield stage_publication(recipe, SOURCE, source.tree, source.path)
    if recipe.page is not None:
        key = page_key(recipe, recipe.page, job.manifests.toolchain(recipe.page.toolchain))
        if page := find_page(job.store, key, recipe.page, job.where):
            yield stage_publication(recipe, PAGE, page.tree, page.path)


def runtime_publications(jobs: Iterable[Job]) -> Iterator[Publication]:
    """Return how the runtime libraries of platforms are published, where the store has them and somebody signs.

    Raises what `find_verified` of the store raises.
    """
    done: set[str] = set()
    for job in jobs:
        if (sign := job.sign_stage) is None or not (plan := job.plan()).hermetic:
            continue
        key = runtime_key(plan, toolchain_key(job.toolchain, host_name()), PLACE)
        if key not in done and (entry := job.store.find_verified(key)):
            done.add(key)
            yield signed_publication(job.recipe, sign, job.platform.target, key, entry.path)


def target_platform(plan: Plan) -> TargetPlatform:
    """Return a plan's platform in Go's names."""
    return TargetPlatform(
        architecture=MACHINES.get(plan.machine, plan.machine), os=SYSTEMS.get(plan.system, plan.system)
    )
