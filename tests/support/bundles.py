"""The plan of the bundle that tests/bundle looks at."""

from __future__ import annotations

import os

from recipes.build.plan.plan import Plan, make_plan
from recipes.build.toolchain.toolchain import default_platform
from recipes.manifest.load import Manifests


def bundle_plan() -> Plan:
    """The plan of the recipe and platform that the environment names, else of the default ones."""
    manifests = Manifests()
    recipe = manifests.recipe(os.environ.get("PINNED_LLAMA_TEST_RECIPE", manifests.defaults().recipe))
    chosen = os.environ.get("PINNED_LLAMA_TEST_PLATFORM") or default_platform(manifests.defaults(), recipe)
    return make_plan(recipe, chosen, manifests.toolchain(recipe.platforms[chosen].toolchain))
