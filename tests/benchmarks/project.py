"""The project's own recipe and store, as the sessions use them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from recipes.build.context import Job
from recipes.build.pipeline import find_bundle
from recipes.build.toolchain.toolchain import default_platform
from recipes.core.console import open_console
from recipes.core.cores import usable_cores
from recipes.core.sandbox import Surroundings
from recipes.core.settings import read_settings
from recipes.manifest.load import Manifests
from recipes.store.store import Store
from tests.benchmarks.turns import UnmeasurableError

if TYPE_CHECKING:
    from recipes.build.pipeline import Bundle


def open_job(recipe_name: str) -> Job:
    """Return a recipe for this machine, with the user's store and settings."""
    settings, manifests = read_settings(), Manifests()
    recipe = manifests.recipe(recipe_name)
    return Job(
        manifests=manifests,
        recipe=recipe,
        platform_name=default_platform(manifests.defaults(), recipe),
        store=Store.open(settings.store),
        console=open_console(),
        settings=settings,
        surroundings=Surroundings(jobs=usable_cores()),
    )


def built_bundle(job: Job) -> Bundle:
    """Return the bundle of a recipe; UnmeasurableError where it is not built."""
    bundle = find_bundle(job, job.plan())
    if bundle is None:
        fix = f"python3 noxfile.py -s build -- --recipe {job.recipe.name}"
        raise UnmeasurableError(f"the bundle of {job.recipe.name} is not in the store; build it first: {fix}")
    return bundle
