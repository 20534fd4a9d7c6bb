"""The session `kernels`: compares a backend's kernels with ggml's plain code, at the shapes of Qwen3-VL-MoE."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

from recipes.build.pipeline import ensure_bundle
from recipes.cli.job import open_job
from recipes.cli.options import Parser, Session, add_platform, refuse_beside
from recipes.conformance.checks.kernels import built_program, check, find_program, program_plan
from recipes.conformance.results.outcome import CheckVerdict, has_failed
from recipes.core.errors import ConformanceError

if TYPE_CHECKING:
    import argparse
    from collections.abc import Sequence

    from recipes.conformance.results.outcome import Outcome

OF_THE_SOURCE = ("recipe", "platform", "architecture")  # what says which program of ours is built
COLUMNS = ("device", "op", "cases", "right", "wrong", "not supported", "worst error")


def add_options(parser: Parser) -> None:
    """Add the session's options."""
    add_platform(parser)
    parser.add_argument(
        "--backend",
        action="append",
        metavar="NAME",
        help="a device as the program lists it, as CPU or CUDA0 (repeat for more; default: each GPU, else the CPU)",
    )
    parser.add_argument(
        "--program",
        type=Path,
        metavar="FOLDER",
        help="a folder with a test-backend-ops that was built elsewhere (default: it is built of the recipe's source)",
    )


def run(options: argparse.Namespace) -> int:
    """Run the cases with the program in a folder, by default with one that is built, and print what they gave.

    A ConformanceError is raised where a case is wrong, the program dies, or nothing could be run; another RecipeError
    where there is no program to run.
    """
    if options.program is not None:
        refuse_beside(options, "kernels", "--program", OF_THE_SOURCE, "both say which program is run")
    job = open_job(options)
    with ExitStack() as stack:
        if options.program is not None:
            title, program = str(options.program), find_program(options.program)
        else:
            title = program_plan(
                job
            ).name  # a recipe that names no program is refused before anything is built
            bundle = ensure_bundle(job, job.plan()).entry.path
            program = stack.enter_context(built_program(job, bundle))
        outcomes = check(program, options.backend or (), job.console)
    print(f"checked:  {title}")
    print_outcomes(outcomes)
    if has_failed(outcomes):
        failed = [o for o in outcomes if o.verdict is CheckVerdict.FAILED]
        raise ConformanceError(
            where=title,
            expected="every case right, as ggml's plain code computes it",
            found="\n".join(f"{o.name}: {o.words}" for o in failed) or "nothing could be run",
            fix="do not run Qwen3-VL-MoE on this backend; test-backend-ops -o takes a case by the name above",
        )
    return 0


def print_outcomes(outcomes: Sequence[Outcome]) -> None:
    """Print a line for each operation on each device, what each outcome says, and every case that is wrong."""
    rows = {
        outcome.name.partition(",")[0]: outcome.figures for outcome in outcomes if "op" in outcome.figures
    }
    lines = [COLUMNS, *(tuple(_text(row.get(name)) for name in COLUMNS) for row in rows.values())]
    widths = [max(len(line[index]) for line in lines) for index in range(len(COLUMNS))]
    for line in lines:
        print("  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip())
    for outcome in outcomes:
        print(f"{outcome.verdict.value + ':':<9} {outcome.name}: {outcome.words}")
    for figures in rows.values():
        for name in filter(None, str(figures.get("failing", "")).split("; ")):
            print(f"wrong:    {name}")


def _text(value: float | str | None) -> str:
    return "" if value is None else f"{value:.3g}" if isinstance(value, float) else str(value)


SESSION = Session(
    "kernels",
    "Compare a backend's kernels with ggml's plain code, at the shapes of Qwen3-VL-MoE.",
    add_options,
    run,
    example="--backend CUDA0",
)
