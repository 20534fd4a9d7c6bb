"""The session `hostile`: attacks a llama-server with requests, images and model files made by code."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from recipes.cli.conformance import OF_THE_BUNDLE, add_bundle
from recipes.cli.job import open_job
from recipes.cli.options import Parser, Session, add_platform, not_negative, refuse_beside, seconds

if TYPE_CHECKING:
    import argparse

DRAWN, MINUTES = 50_000, 10.0


def add_options(parser: Parser) -> None:
    """Add the session's options."""
    add_platform(parser)
    add_bundle(parser)
    parser.add_argument(
        "--through-serve",
        action="store_true",
        help="attack `serve` with the pocket model, and the llama.cpp behind it",
    )
    parser.add_argument(
        "--sanitizers",
        action="store_true",
        help="build the source with the machine's compiler, AddressSanitizer and UBSan, and attack that (hours)",
    )
    parser.add_argument(
        "--quick", action="store_true", help="only the attacks that conformance makes, in about a minute"
    )
    parser.add_argument(
        "--only",
        default="",
        metavar="TEXT",
        help="only attacks whose kind/name has this text; then nothing is drawn unless asked for",
    )
    parser.add_argument(
        "--drawn",
        type=not_negative,
        metavar="N",
        help=f"requests drawn from a grammar of requests (default: {DRAWN}; with --quick or --only: none)",
    )
    parser.add_argument(
        "--minutes",
        type=not_negative,
        metavar="M",
        help=f"how long 8 clients ask at once, a tenth of it hostile (default: {MINUTES:g}; as --drawn)",
    )
    parser.add_argument(
        "--patience",
        type=seconds,
        default=1.0,
        metavar="N",
        help="times every limit of time, for a busy machine or a slow build (default: 1)",
    )
    parser.add_argument(
        "--seed",
        type=not_negative,
        default=0,
        metavar="N",
        help="another one draws other requests (default: 0)",
    )
    parser.add_argument(
        "--report",
        type=Path,
        metavar="FOLDER",
        help="where hostile.json goes (default: out/hostile/NAME)",
    )


def run(options: argparse.Namespace) -> int:
    """Attack, and write the record."""
    if options.bundle is not None:
        refuse_beside(options, "hostile", "--bundle", OF_THE_BUNDLE, "both say which llama.cpp is attacked")
        refuse_beside(options, "hostile", "--bundle", ("sanitizers",), "that one is built already")
    from recipes.conformance.hostile.command import run_hostile
    from recipes.conformance.hostile.extent import Extent

    is_part = options.quick or bool(options.only)
    drawn, minutes = (0, 0.0) if is_part else (DRAWN, MINUTES)
    extent = Extent(
        is_quick=options.quick,
        drawn=int(drawn if options.drawn is None else options.drawn),
        minutes=minutes if options.minutes is None else options.minutes,
        only=options.only,
        patience=options.patience,
        seed=int(options.seed),
    )
    return run_hostile(
        open_job(options),
        bundle=options.bundle,
        extent=extent,
        folder=options.report,
        through_serve=options.through_serve,
        with_sanitizers=options.sanitizers,
    )


SESSION = Session(
    "hostile",
    "Attack a llama-server with requests, images and model files made by code: it must live and answer others.",
    add_options,
    run,
    example="--quick",
)
