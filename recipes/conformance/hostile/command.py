"""The command of the session `hostile`: finds a llama.cpp, attacks it, writes the record and prints the table."""

from __future__ import annotations

import re
import tempfile
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from recipes.build.advisories import affecting, findings
from recipes.build.pipeline import ensure_bundle
from recipes.conformance.hostile.campaign import attack
from recipes.conformance.hostile.extent import Extent
from recipes.conformance.hostile.report import failures, outcomes, table, to_json
from recipes.conformance.hostile.sanitized_build import sanitized_build
from recipes.conformance.hostile.service import served
from recipes.conformance.results.inputs import load_reference_model
from recipes.core.errors import ConformanceError, UsageError
from recipes.core.filesystem import storage_errors
from recipes.serve.llamacpp.installation import find_installation

if TYPE_CHECKING:
    from recipes.build.context import Job
    from recipes.conformance.hostile.report import HostileResult
    from recipes.conformance.results.inputs import CheckInputs
    from recipes.conformance.results.outcome import Outcome
    from recipes.manifest.schema import Advisory
    from recipes.serve.llamacpp.installation import Installation

RECORD = "hostile.json"
SANITIZED_MEMORY = 3.0  # what AddressSanitizer takes beside what a program takes
SHOWN = 6  # failures that the error names


def run_hostile(  # noqa: PLR0913 - the session's options
    job: Job,
    *,
    bundle: Path | None,
    extent: Extent,
    folder: Path | None,
    through_serve: bool = False,
    with_sanitizers: bool = False,
) -> int:
    """Attack the llama.cpp in the folder `bundle`, by default the recipe's; the record goes to `folder`.

    With `serve` in front of it, or built with sanitizers, where that is asked for.

    A ConformanceError is raised where an attack did what it must not and no advisory of the recipe names it.
    """
    reference = load_reference_model(job.manifests)
    if with_sanitizers:
        bundle = sanitized_build(job, (Path("out") / "sanitizers").absolute())
        extent = replace(extent, memory=SANITIZED_MEMORY)
    subject = find_installation(bundle or ensure_bundle(job, job.plan()).entry.path)
    name = bundle.absolute().name if bundle else f"{job.recipe.name}-{job.platform_name}"
    folder = folder or Path("out") / "hostile" / re.sub(r"[^A-Za-z0-9._-]", "-", name)
    with tempfile.TemporaryDirectory(prefix="hostile-") as work:
        inputs = reference.inputs(subject, Path(work))
        launch = partial(served, inputs, job.store.root) if through_serve else None
        result = attack(inputs, extent, job.console, launch=launch, known=known_issues(job, subject))
    record = folder / RECORD
    with storage_errors(folder):
        folder.mkdir(parents=True, exist_ok=True)
        record.write_text(to_json(result), encoding="utf-8")
    print_result(result, record)
    if result.unknown:
        raise refusal(result, record)
    return 0


def check_hostile(job: Job, inputs: CheckInputs) -> tuple[Outcome, ...]:
    """Make the quick attacks, as a part of conformance."""
    known = known_issues(job, inputs.subject)
    return outcomes(attack(inputs, Extent(is_quick=True), job.console, known=known))


def known_issues(job: Job, subject: Installation) -> tuple[Advisory, ...]:
    """Return the advisories of the recipe that a bundle was built of; none for another llama.cpp."""
    if not subject.is_bundle:
        return ()
    try:
        recipe = job.manifests.recipe(subject.title.partition("@")[0])
        return tuple(one.advisory for one in affecting(findings(recipe, job.manifests.advisories())))
    except UsageError:  # a recipe of another project
        return ()


def print_result(result: HostileResult, record: Path) -> None:
    """Print what was attacked, the table, and each attack that was not held."""
    print(f"attacked: {result.title}")
    print(f"digest:   {result.digest}")
    print("\n".join(table(result.trials)))
    for line in failures(result):
        print(f"  {line}")
    print(f"record:   {record} ({result.seconds:.0f} s, started {result.starts} times)")


def refusal(result: HostileResult, record: Path) -> ConformanceError:
    """Return the error that names what was not held."""
    lines = list(failures(result))
    more = [f"and {len(lines) - SHOWN} more"] if len(lines) > SHOWN else []
    return ConformanceError(
        where=f"{result.title}, {result.digest}",
        expected="each attack held, or named by an advisory of the recipe (manifests/advisories, hostile)",
        found="\n".join(lines[:SHOWN] + more),
        fix=f"read {record}; do not let others reach this server",
    )
