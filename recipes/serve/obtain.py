"""Gets what a server needs and is not here: a bundle from a cache, or built, and a model, each if that is agreed to."""

from __future__ import annotations

from typing import TYPE_CHECKING

from recipes.build.pipeline import Bundle, ensure_bundle, find_bundle, take_bundle
from recipes.core.errors import BundleMissingError, PinMissingError
from recipes.core.invocation import command_line, typed_options
from recipes.fetch.fetcher import Fetcher
from recipes.models.fetch import ModelFetcher
from recipes.models.files import missing, pinned_files
from recipes.serve.consent import YES, download_text

if TYPE_CHECKING:
    from recipes.build.context import Job
    from recipes.manifest.schema import Model
    from recipes.serve.consent import Consent

BUILD_MINUTES = 40  # of one core, for b11312; docs/how-to/build-a-bundle.md


def obtain_bundle(job: Job, consent: Consent) -> Bundle:
    """Return the recipe's bundle, verified; where it is missing, from a cache, or built if it may be.

    A BundleMissingError is raised where it is not here, no cache has it, and it may not be built.
    """
    plan = job.plan()
    found = find_bundle(job, plan) or take_bundle(job, plan)
    if found is not None:
        return found
    cores = job.surroundings.jobs
    minutes = max(1, round(BUILD_MINUTES / cores))
    question = (
        f"{plan.name} is not built here. Build it now? Its sources and compiler are downloaded, about 0.3 GB, and"
        f" compiled: about {minutes} min on {cores} cores, once."
    )
    if consent.to(question):
        return ensure_bundle(job, plan)
    same = ("--recipe", plan.recipe, "--platform", plan.platform)
    build = command_line(("build", *same, *typed_options("--project", "--architecture")))
    raise BundleMissingError(
        where=f"{plan.name}, in {job.store.root}",
        expected="the recipe's bundle, whose llama-server is run",
        found="it was not built here",
        fix=f"{build}\nor add {YES}, which does what is missing",
    )


def is_here(job: Job, model: Model) -> bool:
    """Return whether all files of a model are on this machine, by their names."""
    try:
        return all(file.path.exists() for file in pinned_files(model, job.manifests, job.store))
    except PinMissingError:
        return False


def obtain_model(job: Job, model: Model, consent: Consent, *, text_only: bool = False) -> None:
    """Fetch what is missing of a model, if that may be done; else raise a ModelMissingError.

    A PinMissingError is raised for a model that is not pinned, and what a fetch raises.
    """
    needed = [
        file
        for file in pinned_files(model, job.manifests, job.store)
        if file.file.role == "model" or not text_only
    ]
    absent = [file for file in needed if not file.path.exists()]
    if not absent:
        return
    is_fetched = not any(file.is_local for file in absent) and consent.to(
        f"{model.name} is not here. Download it now? {size_of(model)}; it can be stopped, and goes on later."
    )
    if not is_fetched:
        error = missing(absent[0])
        error.fix += "" if absent[0].is_local else f"\nor add {YES}, which does what is missing"
        raise error
    ModelFetcher(job.manifests, Fetcher.of(job)).fetch(model)


def size_of(model: Model) -> str:
    """Return how large a model's download is, and how long it may take. Pure."""
    sizes = [file.size_bytes or file.max_bytes or 0 for file in model.files]
    return download_text(sum(sizes), is_exact=all(file.size_bytes for file in model.files))
