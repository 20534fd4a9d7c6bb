"""The session `fetch`: brings everything that a build reads into the store."""

from __future__ import annotations

from typing import TYPE_CHECKING

from recipes.build.source_tree import fetch_all
from recipes.cli.job import open_job
from recipes.cli.options import Parser, Session, add_platform

if TYPE_CHECKING:
    import argparse


def add_options(parser: Parser) -> None:
    """Add the session's options."""
    add_platform(parser, architecture=False)


def run(options: argparse.Namespace) -> int:
    """Fetch, and print where everything is."""
    job = open_job(options)
    fetch_all(job)
    print(f"all inputs of {job.recipe.name} for {job.platform_name} are in {job.store.root}, verified")
    return 0


SESSION = Session(
    "fetch", "Download the pinned source and toolchain into the store, checking every byte.", add_options, run
)
