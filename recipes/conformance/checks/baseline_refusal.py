"""The failure that this project exists to remove, kept as a check: an older llama.cpp refuses the model in words."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import msgspec

from recipes.build.pipeline import ensure_bundle
from recipes.build.plan.plan import narrow
from recipes.build.toolchain.toolchain import default_platform
from recipes.conformance.results.inputs import pass_or_fail
from recipes.conformance.results.outcome import Part
from recipes.core.errors import UsageError
from recipes.core.process import Command, capture
from recipes.manifest.target_triple import program_file

if TYPE_CHECKING:
    from pathlib import Path

    from recipes.build.context import Job
    from recipes.build.plan.plan import Plan
    from recipes.conformance.results.outcome import Outcome
    from recipes.manifest.schema import Baseline, Model

LOADS_S = 60.0
ASKED = "--founding-failure"


def wanted(model: Model, recipe: str | None, *, is_asked: bool) -> Baseline | None:
    """Return the baseline to build for a recipe, or for a bundle of no recipe: its own one, or any where asked for.

    A UsageError is raised where it is asked for and the model has none.
    """
    baseline = model.baseline
    if is_asked and baseline is None:
        raise UsageError(
            where=f"manifests/models/{model.name}.yaml",
            expected=f"`baseline:`, which {ASKED} builds",
            found="none",
            fix=f"leave {ASKED} out, or choose another model with --model",
        )
    return baseline if baseline and (is_asked or baseline.recipe == recipe) else None


def job_and_plan(job: Job, baseline: Baseline) -> tuple[Job, Plan]:
    """Return the job of the baseline, which is built for this machine whatever the job is for, and its small plan."""
    recipe = job.manifests.recipe(baseline.recipe)
    old = replace(
        job,
        recipe=msgspec.structs.replace(recipe, patches=recipe.patches[: baseline.patches]),
        platform_name=default_platform(job.manifests.defaults(), recipe),
    )
    program = program_file(baseline.target, old.platform.target)
    return old, narrow(old.plan(), (baseline.target,), cmake=baseline.cmake, programs=(program,))


def check(job: Job, baseline: Baseline, model: Path, work: Path) -> Outcome:
    """Build one small program of the baseline (not of the job's recipe), and demand that it refuses the model in words.

    A RecipeError is raised where the program cannot be built.
    """
    bundle = ensure_bundle(*job_and_plan(job, baseline))
    program = bundle.entry.path / "bin" / bundle.plan.contents.bin[-1]
    done = capture(Command((str(program), "-m", str(model)), work, {"LC_ALL": "C"}), LOADS_S)
    said = done.out + done.err
    line = next((line for line in said.splitlines() if baseline.says in line), said[-200:])
    return pass_or_fail(
        Part.LOAD,
        f"{baseline.recipe} with {baseline.patches} of its patches refuses the model",
        is_right=done.status == 1 and baseline.says in said,
        words=f"{baseline.target} ends with status {done.status}: {line.strip()}",
        suspect="the baseline is not the llama.cpp that it should be",
    )
