"""The session `verify`: hashes again everything that is pinned and present."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from recipes.build.advisories import findings, summary
from recipes.build.pipeline import provenance_path
from recipes.build.provenance import recorded_permissions
from recipes.build.verify import verify_all
from recipes.cli.job import open_job
from recipes.cli.options import Parser, Session, add_platform

if TYPE_CHECKING:
    import argparse


def add_options(parser: Parser) -> None:
    """Add the session's options."""
    add_platform(parser)
    parser.add_argument(
        "--all-origins",
        action="store_true",
        help="also download the source from each of its origins, and prove its tree, and its commit where one can",
    )


def run(options: argparse.Namespace) -> int:
    """Print a row for each pin; the exit code is that of the first failure."""
    job = open_job(options)
    rows = list(verify_all(job, all_origins=options.all_origins))
    width = max(len(row.what) for row in rows)
    for row in rows:
        print(f"{row.state:<8} {row.what:<{width}}  {row.digest}")
    permitted = recorded_permissions(provenance_path(job.store, job.plan()))
    for line in summary(findings(job.recipe, job.manifests.advisories()), permitted):
        print(f"known    {line}")
    first = next((row.error for row in rows if row.error is not None), None)
    if first is not None:
        print(first, file=sys.stderr)
        return first.exit_code
    return 0


SESSION = Session(
    "verify",
    "Hash again everything that is pinned and present, and print one row each.",
    add_options,
    run,
    example="--all-origins",
)
