"""The session `mac-check`: checks a bundle on a Mac, with the GPU and without it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from recipes.cli.job import open_job
from recipes.cli.options import Parser, Session, add_platform, refuse_beside

if TYPE_CHECKING:
    import argparse


def add_options(parser: Parser) -> None:
    """Add the session's options."""
    add_platform(parser, architecture=False)
    parser.add_argument(
        "--bundle",
        type=Path,
        metavar="PATH",
        help="an unpacked bundle, or a .tar.zst of one (default: the recipe's bundle, built where it is missing)",
    )
    parser.add_argument(
        "--result", type=Path, metavar="FILE", help="where the JSON goes (default: out/mac-check.json)"
    )
    parser.add_argument(
        "--compare",
        nargs=2,
        type=Path,
        metavar="FILE",
        help="run nothing; compare two such results, as of a cross build and of a native one",
    )


def run(options: argparse.Namespace) -> int:
    """Check a bundle, or compare two results."""
    if options.compare:
        names = ("recipe", "platform", "bundle", "result")
        refuse_beside(options, "mac-check", "--compare", names, "it runs nothing")
    from recipes.conformance.mac_check import compare_files, run_mac_check

    if options.compare:
        return compare_files(*options.compare)
    return run_mac_check(open_job(options), options.bundle, options.result or Path("out") / "mac-check.json")


SESSION = Session(
    "mac-check",
    "On a Mac: check a bundle with the GPU and without it, and write one JSON file of the results.",
    add_options,
    run,
    example="--bundle llama.cpp.tar.zst --result out/cross.json",
)
