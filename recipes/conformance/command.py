"""The conformance command: finds what is judged, judges it, writes the report and says how it went."""

from __future__ import annotations

import re
import shlex
import sys
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from recipes.conformance import baseline
from recipes.conformance.context import Context
from recipes.conformance.golden import read_golden, verify_golden
from recipes.conformance.outcome import Verdict, grade, has_failed
from recipes.conformance.report import write_report
from recipes.conformance.subject import find_subject
from recipes.conformance.suite import judge
from recipes.digest import hash_file
from recipes.errors import ConformanceError, PinMissingError, VerifyError
from recipes.pipeline import ensure_bundle
from recipes.pocket.prompts import compared, digest, everything
from recipes.storage import storage_errors

if TYPE_CHECKING:
    import argparse

    from recipes.conformance.golden import Golden
    from recipes.conformance.result import Result
    from recipes.conformance.subject import Subject
    from recipes.manifest import Manifests
    from recipes.pipeline import Job
    from recipes.schema import Model

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
    files, golden = verified_reference(job.manifests, model)
    subject = find_subject(options.bundle or ensure_bundle(job, job.plan()).entry.path)
    name = options.bundle.absolute().name if options.bundle else f"{job.recipe.name}-{job.platform_name}"
    folder = options.report or Path("out") / "conformance" / re.sub(r"[^A-Za-z0-9._-]", "-", name)
    command = shlex.join(("nox", "-s", "conformance", "--", *sys.argv[2:])).removesuffix(" --")
    with tempfile.TemporaryDirectory(prefix="conformance-") as work:
        context = Context(subject, files["model"], files["mmproj"], golden, compared(), Path(work))
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


def verified_reference(manifests: Manifests, model: Model) -> tuple[dict[str, Path], Golden]:
    """Give a model's files by role and what the reference says of them, each compared with its pin.

    Raises
    ------
    PinMissingError
        Where no reference has said anything.
    VerifyError
        Where a file is another, or the reference was asked something else.
    """
    if model.golden is None:
        raise PinMissingError(
            where=f"manifests/models/{model.name}.yaml",
            expected="`golden:`, the reference's values, which conformance compares with",
            found="none: no reference has said what this model answers",
            fix="choose a model that has them with --model",
        )
    files = verified_files(manifests, model)
    golden = read_golden(manifests.project / model.golden)
    verify_golden(golden, files["model"], files["mmproj"], digest(everything()))
    return files, golden


def chosen_model(manifests: Manifests, name: str | None) -> Model:
    """Give the model of a name, or the default one.

    Raises
    ------
    PinMissingError
        Where no name is given and there is no default.
    """
    chosen = name or manifests.defaults().model
    if chosen is None:
        raise PinMissingError(
            where="manifests/defaults.yaml: model",
            expected="the model that conformance asks",
            found="none",
            fix="name one with --model",
        )
    return manifests.model(chosen)


def verified_files(manifests: Manifests, model: Model) -> dict[str, Path]:
    """Give a model's files by role, each hashed and compared with its pin.

    Raises
    ------
    VerifyError
        Naming the first that is another.
    """
    paths = {file.role: manifests.project / str(file.path) for file in model.files}
    for index, file in enumerate(model.files):
        path = paths[file.role]
        with storage_errors(path):
            found = hash_file(path)
        if found != file.sha256:
            raise VerifyError(
                where=f"manifests/models/{model.name}.yaml: files[{index}]",
                expected=f"{file.path} with {file.sha256}",
                found=str(found),
                fix=f"git checkout -- {file.path}",
            )
    return paths


def print_result(subject: Subject, result: Result, page: Path) -> None:
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
