"""The conformance command: finds what is judged, judges it, writes the report and says how it went."""

from __future__ import annotations

import re
import shlex
import sys
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from recipes.build.pipeline import ensure_bundle
from recipes.conformance.checks import baseline_refusal as baseline
from recipes.conformance.report.write import write_report
from recipes.conformance.results.context import Context
from recipes.conformance.results.model_choice import chosen_model, reference_of, verified_files
from recipes.conformance.results.outcome import Verdict, grade, has_failed
from recipes.conformance.suite import judge
from recipes.core.errors import ConformanceError
from recipes.core.filesystem import storage_errors
from recipes.evalset.golden import read_golden, verify_golden
from recipes.evalset.prompts import compared, digest, everything
from recipes.serve.llamacpp.installation import find_installation

if TYPE_CHECKING:
    import argparse

    from recipes.build.context import Job
    from recipes.conformance.results.result import Result
    from recipes.serve.llamacpp.installation import Installation

SHOWN = 6  # failures that the error names; the page has all


def conform(job: Job, options: argparse.Namespace) -> int:
    """Judge what the options name.

    Raises
    ------
    ConformanceError
        Where it must not be shipped.
    RecipeError
        Where it cannot be judged.
    """
    model = chosen_model(job.manifests, options.model)
    golden_path = reference_of(job.manifests, model)
    files = verified_files(job.manifests, model)
    golden = read_golden(golden_path)
    verify_golden(golden, files["model"], files["mmproj"], digest(everything()))
    subject = find_installation(options.bundle or ensure_bundle(job, job.plan()).entry.path)
    if options.gpu_layers is not None:
        subject = replace(subject, model_options=("-ngl", str(options.gpu_layers)))
    name = options.bundle.absolute().name if options.bundle else f"{job.recipe.name}-{job.platform_name}"
    folder = options.report or Path("out") / "conformance" / re.sub(r"[^A-Za-z0-9._-]", "-", name)
    command = shlex.join(("nox", "-s", "conformance", "--", *sys.argv[2:])).removesuffix(" --")
    with tempfile.TemporaryDirectory(prefix="conformance-") as work:
        context = Context(subject, files["model"], files["mmproj"], golden, compared(), Path(work))
        context = replace(context, with_page=options.without != "web-page")
        result = judge(context, job.console, command)
        if model.baseline and not options.bundle:  # only a recipe says that something may be built
            found = baseline.check(job, model.baseline, files["model"], Path(work))
            result = replace(result, outcomes=(*result.outcomes, *found.outcomes))
        with storage_errors(folder):
            page = write_report(result, folder)
    print_result(subject, result, page)
    if has_failed(result.outcomes):
        raise refusal(result, page)
    return 0


def print_result(subject: Installation, result: Result, page: Path) -> None:
    """Print what was judged, each part's grade, and where the page is."""
    print(f"judged:   {subject.title}")
    print(f"          {subject.folder}")
    print(f"digest:   {result.digest}")
    for item in result.files:
        print(f"{item.role + ':':<9} {item.name} {item.digest}")
    for row in grade(result.outcomes):
        print(f"  {row.verdict.value:<9} {row.part.value:<20} {row.words}")
    for outcome in result.outcomes:
        if outcome.verdict is Verdict.DEVIATES:
            print(f"  deviates: {outcome.part.value}, {outcome.name}: {outcome.words}")
        elif outcome.verdict is Verdict.NOT_RUN:
            print(f"  not run: {outcome.part.value}, {outcome.name}: {outcome.words}")
    print(f"report:   {page} ({result.seconds:.0f} s)")


def refusal(result: Result, page: Path) -> ConformanceError:
    """Give the error that names what failed and what to suspect."""
    failed = [outcome for outcome in result.outcomes if outcome.verdict is Verdict.FAILED]
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
