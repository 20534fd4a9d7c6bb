from __future__ import annotations

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest

from recipes.build.plan.plan import make_plan
from recipes.build.toolchain.toolchain import default_platform
from recipes.conformance.results.model_choice import chosen_model, verified_files
from recipes.core.settings import read_settings
from recipes.evalset.golden import Golden, read_golden
from recipes.evalset.prompts import Prompt, compared
from recipes.manifest.load import PROJECT, Manifests
from recipes.store.store import Store

if TYPE_CHECKING:
    from pathlib import Path

    from recipes.manifest.schema import Recipe


@dataclass(frozen=True)
class Pocket:
    """The pinned model, and what the reference says of it."""

    model: Path
    mmproj: Path
    golden: Golden
    prompts: tuple[Prompt, ...]


@pytest.fixture(scope="session")
def pocket() -> Pocket:
    manifests = Manifests()
    model = chosen_model(manifests, None)
    files = verified_files(manifests, model)
    return Pocket(files["model"], files["mmproj"], read_golden(PROJECT / str(model.golden)), compared())


def bundle_of(recipe: Recipe, manifests: Manifests) -> Path:
    platform = default_platform(manifests.defaults(), recipe)
    plan = make_plan(recipe, platform, manifests.toolchain(recipe.platforms[platform].toolchain))
    entry = Store.open(read_settings().store).find(plan.bundle_key)
    assert entry, f"build it first: python3 noxfile.py -s build -- --recipe {recipe.name}"
    return entry.path


@pytest.fixture(scope="session")
def bundle() -> Path:
    manifests = Manifests()
    name = os.environ.get("PINNED_LLAMA_TEST_RECIPE", manifests.defaults().recipe)
    return bundle_of(manifests.recipe(name), manifests)
