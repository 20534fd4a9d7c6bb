"""The session `pull`: a bundle out of a registry into the store, without a compiler."""

from __future__ import annotations

import argparse

from recipes.build.pull import pull_bundle
from recipes.cli.build import print_bundle
from recipes.cli.job import open_job
from recipes.cli.options import Parser, Session, add_platform
from recipes.registry.reference import Reference, Repository, parse_reference


def add_options(parser: Parser) -> None:
    """Add the session's options."""
    add_platform(parser, architecture=False)
    parser.add_argument(
        "--from",
        dest="source",
        type=reference,
        metavar="REF",
        help="REGISTRY/REPO, with :TAG or @DIGEST where another than the plan's own name is meant"
        " (default: the caches of the settings)",
    )


def run(options: argparse.Namespace) -> int:
    """Pull, and print the bundle."""
    job = open_job(options)
    bundle = pull_bundle(job, job.plan(), options.source)
    print_bundle(job, bundle)
    return 0


def reference(text: str) -> Reference | Repository:
    """Read a repository or a reference, or raise an ArgumentTypeError."""
    try:
        return parse_reference(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


SESSION = Session(
    "pull",
    "Take a bundle from a registry into the store, by its pinned digest.",
    add_options,
    run,
    example="--from registry.example.org/team/llama",
)
