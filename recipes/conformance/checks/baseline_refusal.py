"""The failure that this project exists to remove, kept as a check: an older llama.cpp refuses the model in words."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import msgspec

from recipes.build.pipeline import ensure_bundle
from recipes.build.plan.plan import narrow
from recipes.conformance.results.inputs import pass_or_fail
from recipes.conformance.results.outcome import Part
from recipes.core.process import Command, capture

if TYPE_CHECKING:
    from pathlib import Path

    from recipes.build.context import Job
    from recipes.conformance.results.outcome import Outcome
    from recipes.manifest.schema import Baseline

LOADS_S = 60.0


def check(job: Job, baseline: Baseline, model: Path, work: Path) -> Outcome:
    """Build one small program of the baseline (not of the job's recipe), and demand that it refuses the model in words.

    A RecipeError is raised where the program cannot be built.
    """
    recipe = job.manifests.recipe(baseline.recipe)
    old = replace(job, recipe=msgspec.structs.replace(recipe, patches=recipe.patches[: baseline.patches]))
    bundle = ensure_bundle(old, narrow(old.plan(), (baseline.target,)))
    argv = (str(bundle.entry.path / "bin" / baseline.target), str(model), str(work / "baseline.gguf"), "F16")
    done = capture(Command(argv, work, {"LC_ALL": "C"}), LOADS_S)
    said = done.out + done.err
    line = next((line for line in said.splitlines() if baseline.says in line), said[-200:])
    return pass_or_fail(
        Part.LOAD,
        f"{baseline.recipe} with {baseline.patches} of its patches refuses the model",
        is_right=done.status == 1 and baseline.says in said,
        words=f"{baseline.target} ends with status {done.status}: {line.strip()}",
        suspect="the baseline is not the llama.cpp that it should be",
    )
