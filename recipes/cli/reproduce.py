"""The session `reproduce`: builds a second time in a deliberately different environment, and compares."""

from __future__ import annotations

from typing import TYPE_CHECKING

from recipes.cli.build import chosen_plan
from recipes.cli.job import open_job
from recipes.cli.options import Parser, Session, add_compile, add_platform

if TYPE_CHECKING:
    import argparse


def add_options(parser: Parser) -> None:
    """Add the session's options."""
    add_platform(parser, architecture=False)
    add_compile(parser)


def run(options: argparse.Namespace) -> int:
    """Build again and compare."""
    from recipes.build.reproduce import reproduce

    job = open_job(options)
    return reproduce(job, chosen_plan(job, options.target), tuple(options.target or ()))


SESSION = Session(
    "reproduce",
    "Rebuild in a deliberately different environment, and compare byte by byte.",
    add_options,
    run,
    example="--target ggml-base",
)
