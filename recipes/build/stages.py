"""Stages that builds share through registries: each is taken where somebody made it, or made, and then published."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

from recipes.fetch.http.network_errors import OriginError
from recipes.registry.attached import TITLE
from recipes.registry.caches import stage_tag, take_from, take_tree, wanted_stage
from recipes.registry.publish import Publication, publish
from recipes.registry.tree import SCHEMA, TreeFacts, empty

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from recipes.build.context import Job
    from recipes.build.webpage.build_page import PageJob
    from recipes.core.digest import Sha256
    from recipes.manifest.schema import Recipe

STANDARD = (
    "org.opencontainers.image"  # what the names of the image specification's own annotations begin with
)


def take_or_make(
    job: Job | PageJob, kind: str, tree: Sha256, folder: Path, make: Callable[[Path], None]
) -> None:
    """Fill an empty folder with a pinned stage: from a cache, or by `make`, which verifies what it makes.

    Among workers that share a registry one makes it and publishes it, and the others wait for it. Raises what `make`
    raises, and RegistryError where the workers' registry does not take it.
    """
    recipe, worker = job.recipe, job.worker
    wanted = wanted_stage(kind, recipe.name, tree)
    if take_tree(job, wanted, folder):
        return
    if worker is None:
        make(folder)
        return

    def is_there() -> bool:
        try:
            return take_from(job, worker.repository, wanted, folder, worker.tempo) is not None
        except OriginError as error:
            job.console.warn(f"{worker.repository} has no {wanted.what} that can be used: {error}")
            empty(folder)
            return False

    with worker.turn(stage_tag(kind, tree), is_there) as is_ours:
        if is_ours:
            make(folder)
            publish(
                job,
                worker.repository,
                (stage_publication(recipe, kind, tree, folder),),
                tempo=worker.tempo,
            )


def stage_publication(recipe: Recipe, kind: str, tree: Sha256, folder: Path) -> Publication:
    """Return how a stage of a recipe is published: under its tree's digest."""
    return Publication(
        folder=folder,
        tag=stage_tag(kind, tree),
        facts=TreeFacts(schema=SCHEMA, kind=kind, tree=tree.hex, recipe=recipe.name),
        annotations=annotations_of(recipe, f"{kind} of llama.cpp {recipe.name}"),
        mtime=recipe.source.epoch,
        pinned=True,
    )


def annotations_of(recipe: Recipe, title: str) -> dict[str, str]:
    """Return what the image specification's own annotations say of a recipe."""
    source = recipe.source
    return {
        TITLE: title,
        f"{STANDARD}.description": recipe.summary,
        f"{STANDARD}.version": f"b{source.build_number}",
        f"{STANDARD}.revision": source.commit.hex,
        f"{STANDARD}.source": source.repository,
        f"{STANDARD}.licenses": source.licence,
        f"{STANDARD}.created": datetime.fromtimestamp(source.epoch, UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
    }
