"""The session `advisories`: what is known against a recipe, as a table."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from recipes.build.advisories import findings
from recipes.cli.build import write_vex
from recipes.cli.job import open_job
from recipes.cli.options import Parser, Session, add_recipe

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterable

    from recipes.build.advisories import Finding


def add_options(parser: Parser) -> None:
    """Add the session's options."""
    add_recipe(parser)
    parser.add_argument(
        "--vex",
        type=Path,
        metavar="FOLDER",
        help="write the same as CycloneDX VEX and as OpenVEX into this folder",
    )


def run(options: argparse.Namespace) -> int:
    """Print a row for each finding, the grave ones first."""
    job = open_job(options)
    print_table(findings(job.recipe, job.manifests.advisories()))
    if options.vex:
        for path in write_vex(job, options.vex):
            print(f"written: {path}")
    return 0


def print_table(found: Iterable[Finding]) -> None:
    """Print how a recipe stands to each finding, what affects it first, with what shows it."""
    order = ("affected", "under_investigation", "fixed", "not_affected")
    rows = sorted(found, key=lambda one: (not one.is_grave, order.index(one.status), one.advisory.id))
    width = max((len(one.advisory.id) for one in rows), default=0)
    for one in rows:
        advisory, standing = one.advisory, one.standing
        state = (
            one.status if standing is None or standing.patch is None else f"fixed by patch {standing.patch}"
        )
        mark = "GRAVE" if one.is_grave else ""
        head = f"{mark:<6}{advisory.id:<{width}}  {state:<19}  {advisory.severity:<8}  {advisory.reach:<9}"
        print(f"{head}  {advisory.summary}")
        print(f"{'':<6}{'':<{width}}  {one.evidence}")
    affected, grave = sum(one.status == "affected" for one in rows), sum(one.is_grave for one in rows)
    print(f"{len(rows)} findings: {affected} affect it, {grave} of them grave and within reach")


SESSION = Session(
    "advisories",
    "List what is known against a recipe: each finding, its status, and what shows it.",
    add_options,
    run,
    example="--recipe b6751",
)
