"""When the llama.cpp from before the model is built, and that no more of it is than needed."""

from __future__ import annotations

from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import msgspec
import pytest

from recipes.build.context import Job
from recipes.conformance.checks.baseline_refusal import job_and_plan, wanted
from recipes.core.errors import UsageError
from recipes.manifest.load import Manifests

if TYPE_CHECKING:
    from recipes.manifest.schema import Baseline

MANIFESTS = Manifests()
POCKET = MANIFESTS.model("pocket")
assert POCKET.baseline
BASELINE: Baseline = POCKET.baseline


@pytest.mark.parametrize(
    ("recipe", "if_not_asked"),
    [
        ("b6751", BASELINE),
        ("b7827", None),
        ("b11312", None),
        (None, None),
    ],  # None is a folder that the user names
)
def test_the_baseline_is_built_for_its_own_recipe_or_where_it_is_asked_for(
    recipe: str | None, if_not_asked: Baseline | None
) -> None:
    assert wanted(POCKET, recipe, is_asked=False) == if_not_asked
    assert wanted(POCKET, recipe, is_asked=True) == BASELINE


def test_a_model_that_every_llama_cpp_knows_has_none_to_ask_for() -> None:
    other = msgspec.structs.replace(POCKET, baseline=None)
    assert wanted(other, "b6751", is_asked=False) is None
    with pytest.raises(UsageError) as caught:
        wanted(other, "b6751", is_asked=True)
    assert "pocket.yaml" in caught.value.where
    assert "--founding-failure" in caught.value.fix


@pytest.mark.parametrize("platform", ["linux-x86_64-cpu", "linux-x86_64-cuda"])
def test_it_is_one_program_of_few_patches_for_this_machine(
    monkeypatch: pytest.MonkeyPatch, platform: str
) -> None:
    monkeypatch.setattr("recipes.build.toolchain.toolchain.host_name", lambda: "linux-x86_64")
    parts: Any = SimpleNamespace()
    recipe = MANIFESTS.recipe("b7827")
    job = Job(
        manifests=MANIFESTS,
        recipe=recipe,
        platform_name=platform,
        store=parts,
        console=parts,
        settings=parts,
        surroundings=parts,
    )
    old, plan = job_and_plan(job, BASELINE)
    assert (plan.recipe, plan.platform, plan.whole) == ("b6751", "linux-x86_64-cpu", False)
    assert len(old.recipe.patches) == len(plan.inputs.patches) == BASELINE.patches
    assert plan.compile[-1] == plan.contents.bin[-1] == BASELINE.target
    assert dict(plan.cache).items() >= BASELINE.cmake.items()
    assert dict(plan.cache)["GGML_CPU"] == "OFF"
