"""Measures what each stage of the store is in a registry: packed as `publish` packs it."""

from __future__ import annotations

import tempfile
from contextlib import suppress
from dataclasses import replace
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING

from recipes.build.pipeline import find_bundle
from recipes.build.publications import runtime_publications, stage_publications
from recipes.cli.evidence_input import evidence_beside, read_documents
from recipes.core.errors import RecipeError
from recipes.fetch.archives.pack import pack
from recipes.registry.attached import document_type
from recipes.registry.tree import BUNDLE
from tests.benchmarks.project import open_job
from tests.scale.arithmetic import Size

if TYPE_CHECKING:
    from collections.abc import Iterator

    from recipes.build.context import Job
    from tests.benchmarks.turns import Say

RECIPES = ("b11312", "b6751")


def measure(say: Say) -> tuple[Size, ...]:
    """Return the size of each bundle, source, page and set of runtime libraries that the user's store has."""
    found: list[Size] = []
    for recipe in RECIPES:
        job = open_job(recipe)
        for size in chain(_bundles(job), _stages(job)):
            if all((size.kind, size.name) != (each.kind, each.name) for each in found):
                say(f"{size.kind} {size.name}: {size.layer_bytes / 1e6:.1f} MB")
                found.append(size)
    return tuple(found)


def _bundles(job: Job) -> Iterator[Size]:
    for name in job.recipe.platforms:
        each = replace(job, platform_name=name)
        bundle = None
        with suppress(RecipeError):  # one that is not the pinned one is no bundle
            bundle = find_bundle(each, each.plan())
        if bundle is None:
            continue
        documents = read_documents(evidence_beside(bundle.entry.path))
        size_bytes = sum(len(data) for title, data in documents.items() if document_type(title))
        yield _sized(BUNDLE, each.plan().name, bundle.entry.path, size_bytes)


def _stages(job: Job) -> Iterator[Size]:
    for each in stage_publications(job):
        yield _sized(each.facts.kind, job.recipe.name, each.folder)
    signing = replace(job, sign_stage=lambda _key, _tree: b"")
    for each in runtime_publications([replace(signing, platform_name=name) for name in job.recipe.platforms]):
        yield _sized(each.facts.kind, each.tag.rpartition("-")[0].partition("-")[2], each.folder)


def _sized(kind: str, name: str, folder: Path, document_bytes: int = 0) -> Size:
    with tempfile.TemporaryDirectory() as work:
        archive = Path(work) / "layer"
        pack(folder, archive, mtime=0)
        tree_bytes = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
        return Size(kind, name, tree_bytes, archive.stat().st_size, document_bytes)
