from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from recipes.build.plan.plan import make_plan
from recipes.build.toolchain.toolchain import default_platform
from recipes.conformance.results.inputs import ReferenceModel, load_reference_model
from recipes.core.settings import read_settings
from recipes.manifest.load import Manifests
from recipes.store.store import Store

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture(scope="session")
def pocket() -> ReferenceModel:
    """The pinned model, and what the reference says of it."""
    return load_reference_model(Manifests())


@pytest.fixture(scope="session")
def bundle() -> Path:
    manifests = Manifests()
    recipe = manifests.recipe(os.environ.get("PINNED_LLAMA_TEST_RECIPE", manifests.defaults().recipe))
    platform = default_platform(manifests.defaults(), recipe)
    plan = make_plan(recipe, platform, manifests.toolchain(recipe.platforms[platform].toolchain))
    entry = Store.open(read_settings().store).find(plan.bundle_key)
    assert entry, f"build it first: python3 noxfile.py -s build -- --recipe {recipe.name}"
    return entry.path
