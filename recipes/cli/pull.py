"""The session `pull`: a bundle out of a registry into the store, without a compiler."""

from __future__ import annotations

import argparse
from pathlib import Path

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
    parser.add_argument(
        "--policy",
        dest="accept_policy",
        type=Path,
        metavar="FILE",
        help="also take what nothing pins, where it is signed as this policy demands (default: of the settings)",
    )
    parser.add_argument(
        "--key",
        dest="accept_key",
        type=Path,
        action="append",
        metavar="FILE",
        help="with a policy: a public key that it counts too (repeat: any of them)",
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
