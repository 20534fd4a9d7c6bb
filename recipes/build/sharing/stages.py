"""Stages that builds share through registries: each is taken where somebody made it, or made, and then published."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

from recipes.core.digest import Sha256, hash_tree
from recipes.fetch.http.network_errors import OriginError
from recipes.registry.attached import SIGNED, TITLE
from recipes.registry.caches import Wanted, take_from, take_tree, wanted_stage
from recipes.registry.names import stage_tag
from recipes.registry.publish import Publication, publish
from recipes.registry.tree import RUNTIME, SCHEMA, TreeFacts, empty

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from recipes.build.sharing.stage_job import Sign, StageJob
    from recipes.manifest.schema import Recipe
    from recipes.registry.workers import Worker

STAGE_DOCUMENT = f"stage{SIGNED}"
STANDARD = (
    "org.opencontainers.image"  # what the names of the image specification's own annotations begin with
)
DESCRIPTION, LICENCES = f"{STANDARD}.description", f"{STANDARD}.licenses"
CREATED = f"{STANDARD}.created"


def take_or_make(job: StageJob, kind: str, tree: Sha256, folder: Path, make: Callable[[Path], None]) -> None:
    """Fill an empty folder with a pinned stage: from a cache, or by `make`, which verifies what it makes.

    Among workers that share a registry one makes it and publishes it, and the others wait for it. Raises what `make`
    raises, and RegistryError where the workers' registry does not take it.
    """
    wanted = wanted_stage(kind, job.recipe.name, tree)
    if take_tree(job, wanted, folder):
        return
    if job.worker is None:
        make(folder)
        return
    _make_in_turn(
        job, job.worker, wanted, folder, make, lambda: stage_publication(job.recipe, kind, tree, folder)
    )


def take_or_make_signed(
    job: StageJob, target: str, key: str, folder: Path, make: Callable[[Path], None]
) -> None:
    """Fill an empty folder with the runtime libraries of a key, which nothing pins.

    They are taken where the job's policy accepts who signed them, and shared by workers that sign: else they are made.
    Raises as `take_or_make`.
    """
    worker, sign, accept = job.worker, job.sign_stage, job.accept_stage(key) if job.accept_stage else None
    wanted = Wanted(RUNTIME, key, None, f"runtime libraries of {target}", accept=accept)
    if take_tree(job, wanted, folder):
        return
    if worker is None or sign is None:
        make(folder)
        return

    def described() -> Publication:
        return signed_publication(job.recipe, sign, target, key, folder)

    if accept is None:  # what others make cannot be used here, so nobody is waited for
        make(folder)
        publish(job, worker.repository, (described(),), tempo=worker.tempo)
    else:
        _make_in_turn(job, worker, wanted, folder, make, described)


def _make_in_turn(  # noqa: PLR0913, PLR0917 - a stage, who makes it, and how it is published
    job: StageJob,
    worker: Worker,
    wanted: Wanted,
    folder: Path,
    make: Callable[[Path], None],
    described: Callable[[], Publication],
) -> None:
    """Make a stage and publish it, or wait for the worker that makes it, and take it."""
    with worker.turn(str(wanted.name), lambda: _take(job, worker, wanted, folder)) as is_ours:
        if is_ours:
            make(folder)
            publish(job, worker.repository, (described(),), tempo=worker.tempo)


def _take(job: StageJob, worker: Worker, wanted: Wanted, folder: Path) -> bool:
    """Fill an empty folder with what another worker made; False, and the folder is empty, where there is none."""
    try:
        taken = take_from(job, worker.repository, wanted, folder, worker.tempo)
    except OriginError as error:
        job.console.warn(f"{worker.repository} has no {wanted.what} that can be used: {error}")
        empty(folder)
        return False
    if taken:
        job.console.say(f"{wanted.what}: taken from {worker.repository}, where another worker put it")
    return taken is not None


def signed_publication(recipe: Recipe, sign: Sign, target: str, key: str, folder: Path) -> Publication:
    """Return how runtime libraries are published: under their key, with a signature of this tree of theirs."""
    tree = hash_tree(folder, Sha256)
    return Publication(
        folder=folder,
        tag=key,
        facts=TreeFacts(schema=SCHEMA, kind=RUNTIME, tree=tree.hex, recipe=recipe.name),
        annotations={TITLE: f"runtime libraries of {target}"},
        mtime=recipe.source.epoch,
        pinned=True,  # whoever made them: they differ, and any that is signed will do
        documents={STAGE_DOCUMENT: sign(key, tree)},
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
        DESCRIPTION: recipe.summary,
        f"{STANDARD}.version": f"b{source.build_number}",
        f"{STANDARD}.revision": source.commit.hex,
        f"{STANDARD}.source": source.repository,
        LICENCES: source.licence,
        CREATED: datetime.fromtimestamp(source.epoch, UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
    }
