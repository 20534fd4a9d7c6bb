"""The conformance command: finds a llama.cpp, checks it, writes the report and prints the grades."""

from __future__ import annotations

import re
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from recipes.build.advisories import findings, summary
from recipes.build.evidence_files import CONFORMANCE, evidence_folder
from recipes.build.pipeline import ensure_bundle
from recipes.build.provenance import provenance_path, recorded_permissions
from recipes.conformance.checks import baseline_refusal as baseline
from recipes.conformance.checks import kernels as check_kernels
from recipes.conformance.report.json_record import to_json
from recipes.conformance.report.write import write_report
from recipes.conformance.results.inputs import load_reference_model
from recipes.conformance.results.outcome import NOTHING, CheckVerdict, grade, has_failed
from recipes.conformance.suite import run_suite
from recipes.core.errors import ConformanceError
from recipes.core.filesystem import make_folders, storage_errors, write_durably
from recipes.core.invocation import this_command
from recipes.core.log import step
from recipes.serve.llamacpp.installation import find_installation

if TYPE_CHECKING:
    from recipes.build.context import Job
    from recipes.conformance.results.result import Result
    from recipes.serve.llamacpp.installation import Installation

SHOWN = 6  # failures that the error names; the page has all


def conform(  # noqa: PLR0913 - the session's options
    job: Job,
    *,
    bundle: Path | None,
    model: str | None,
    gpu_layers: int | None,
    with_page: bool,
    folder: Path | None,
    founding_failure: bool = False,
    kernels: Path | None = None,
    with_hostile: bool = False,
) -> int:
    """Check the llama.cpp in the folder `bundle`, by default the recipe's; the report goes to `folder`.

    1. Verify the model's files, and that the reference was computed from these files and prompts.
    2. Find the llama.cpp: a folder that the user names, or the recipe's bundle, built where it is missing.
    3. Run the checks, and the quick attacks of the session `hostile` where they are wanted.
    4. Compare the kernels of a bundle's GPU backend, with the program that is built for it or lies in `kernels`.
    5. Build the baseline, and demand that it refuses the model; for its own recipe, or where it is asked for.
    6. Write the report, and print the grades.

    A ConformanceError is raised where it must not be shipped, another RecipeError where it cannot be checked.
    """
    # 1. The model and its reference.
    step(1, 6, "model and reference", model=model or "the default")
    reference = load_reference_model(job.manifests, model)
    of_recipe = None if bundle else job.recipe.name  # only a recipe says that something may be built
    old = baseline.wanted(reference.manifest, of_recipe, is_asked=founding_failure)
    program = check_kernels.find_program(kernels) if kernels else None
    # 2. The llama.cpp to check: a folder that the user names, or the recipe's bundle.
    step(2, 6, "llama.cpp", bundle=bundle or job.plan().name)
    subject = find_installation(bundle or ensure_bundle(job, job.plan()).entry.path)
    if gpu_layers is not None:
        subject = replace(subject, model_options=("-ngl", str(gpu_layers)))
    name = bundle.absolute().name if bundle else f"{job.recipe.name}-{job.platform_name}"
    folder = folder or Path("out") / "conformance" / re.sub(r"[^A-Za-z0-9._-]", "-", name)
    with tempfile.TemporaryDirectory(prefix="conformance-") as work:
        # 3. The checks.
        step(3, 6, "checks", title=subject.title, digest=subject.digest)
        inputs = reference.inputs(subject, Path(work), with_page=with_page)
        result = run_suite(inputs, job.console, this_command("conformance"))
        if with_hostile:
            # draws requests with a package that a machine which only checks need not have
            from recipes.conformance.hostile.command import check_hostile

            result = replace(result, outcomes=(*result.outcomes, *check_hostile(job, inputs)))
        # 4. The kernels.
        step(4, 6, "kernels", program=kernels or "of the recipe")
        compared = check_kernels.check_bundle(job, None if bundle else subject.folder, program)
        result = replace(result, outcomes=(*result.outcomes, *compared))
        # 5. The baseline.
        step(5, 6, "baseline", recipe=old)
        if old:
            refused = baseline.check(job, old, inputs.model, inputs.work)
            result = replace(result, outcomes=(*result.outcomes, refused))
        # 6. The report.
        step(6, 6, "report", folder=folder, outcomes=len(result.outcomes), seconds=f"{result.seconds:.0f}")
        with storage_errors(folder):
            page = write_report(result, folder)
        if not bundle:
            keep_result(job, result)
    print_result(subject, result, page)
    if not bundle:
        print_known(job)
    if has_failed(result.outcomes):
        raise refusal(result, page)
    return 0


def keep_result(job: Job, result: Result) -> None:
    """Keep the record beside the bundle in the store, among what is said of it."""
    path = evidence_folder(job.store, job.plan().bundle_key) / CONFORMANCE
    with storage_errors(path):
        make_folders(path.parent)
        write_durably(path, to_json(result).encode())


def print_result(subject: Installation, result: Result, page: Path) -> None:
    """Print what was checked, each part's grade, and where the page is."""
    print(f"checked:  {subject.title}")
    print(f"          {subject.folder}")
    print(f"digest:   {result.digest}")
    for item in result.files:
        print(f"{item.role + ':':<9} {item.name} {item.digest}")
    for row in grade(result.outcomes):
        print(f"  {row.verdict.value:<13} {row.part.value:<20} {row.words}")
    for outcome in result.outcomes:
        if outcome.verdict is CheckVerdict.DEVIATES:
            print(f"  deviates: {outcome.part.value}, {outcome.name}: {outcome.words}")
        elif outcome.verdict in NOTHING:
            print(f"  {outcome.verdict.value}: {outcome.part.value}, {outcome.name}: {outcome.words}")
    print(f"report:   {page} ({result.seconds:.0f} s)")


def print_known(job: Job) -> None:
    """Print what is known against the recipe, and what of it was permitted when its bundle was built."""
    permitted = recorded_permissions(provenance_path(job.store, job.plan()))
    for line in summary(findings(job.recipe, job.manifests.advisories()), permitted):
        print(f"  known: {line}")


def refusal(result: Result, page: Path) -> ConformanceError:
    """Return the error that names what failed and what to suspect."""
    failed = [outcome for outcome in result.outcomes if outcome.verdict is CheckVerdict.FAILED]
    lines = [
        f"{o.part.value}, {o.name}: {o.words}" + (f"\n  suspect: {o.suspect}" if o.suspect else "")
        for o in failed[:SHOWN]
    ]
    if len(failed) > SHOWN:
        lines.append(f"and {len(failed) - SHOWN} more")
    return ConformanceError(
        where=f"{result.title}, {result.digest}",
        expected="every check passed, or a known deviation named",
        found="\n".join(lines) or "nothing could be run",
        fix=f"open {page}; do not ship it for the parts that failed",
    )
