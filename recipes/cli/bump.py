"""The session `bump`: newer pins for one recipe, or for all recipes and models, as one change."""

from __future__ import annotations

from typing import TYPE_CHECKING

from recipes.cli.job import open_job
from recipes.cli.options import Parser, Session, add_recipe, add_source_facts, positive, refuse_beside
from recipes.core.errors import UsageError

if TYPE_CHECKING:
    import argparse


def add_options(parser: Parser) -> None:
    """Add the session's options."""
    add_recipe(parser)
    parser.add_argument("--all", action="store_true", help="every recipe, and every model of a hub")
    parser.add_argument(
        "--to",
        metavar="TAG|COMMIT|PROJECT==VERSION|URL",
        help="the new source (default: upstream's newest build)",
    )
    add_source_facts(parser, "--to")
    parser.add_argument(
        "--leave-out",
        action="append",
        type=positive,
        default=[],
        metavar="N",
        help="bump without this patch, counted from 1 (repeat for more)",
    )
    parser.add_argument("--write", action="store_true", help="write all files, or none")
    parser.add_argument(
        "--build",
        action="store_true",
        help="with --write: first build the page and each platform whose output was pinned, and pin what comes out",
    )


def run(options: argparse.Namespace) -> int:
    """Print what a bump would change, and write it where asked."""
    if options.all:
        alone = ("recipe", "subdirectory", "commit", "build_number", "leave_out")
        refuse_beside(options, "bump", "--all", alone, "all recipes, or one and what is known of its source")
    for name in ("subdirectory", "commit", "build_number"):
        if getattr(options, name) is not None and options.to is None:
            option = f"--{name.replace('_', '-')}"
            raise UsageError(
                where=f"bump: {option}",
                expected="--to with it: it says something about a new source",
                found="no --to",
                fix=f"name the source with --to, or leave {option} out",
            )
    if options.build and not options.write:
        raise UsageError(
            where="bump: --build",
            expected="--write with it: what is built is pinned",
            found="no --write",
            fix="add --write, or leave --build out",
        )
    job = open_job(options)
    from recipes.lock.bump import bump

    return bump(job, options)


SESSION = Session(
    "bump",
    "Say what a newer llama.cpp would change, patches, options and findings too; write all of it, or nothing.",
    add_options,
    run,
    example="--recipe b6751 --to b6900",
)
