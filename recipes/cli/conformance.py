"""The session `conformance`: checks a llama.cpp, ours or another, with a model."""

from __future__ import annotations

import argparse
from pathlib import Path

from recipes.cli.job import open_job
from recipes.cli.options import Parser, Session, add_platform, positive, refuse_beside

OF_THE_BUNDLE = ("recipe", "platform", "architecture")  # what says which bundle of ours is meant


def add_options(parser: Parser) -> None:
    """Add the session's options."""
    add_platform(parser)
    add_bundle(parser)
    parser.add_argument(
        "--model", metavar="NAME", help="a manifest in manifests/models/ (default: the default model)"
    )
    parser.add_argument(
        "--without",
        choices=("web-page",),
        help="leave this part out: the report says that it was not run",
    )
    parser.add_argument(
        "--hostile",
        action=argparse.BooleanOptionalAction,
        default=True,
        help="attack the server too, as `hostile -- --quick` does (default: yes)",
    )
    parser.add_argument(
        "--gpu-layers",
        type=positive,
        metavar="N",
        help="layers to offload to a GPU, as llama-server's -ngl (default: the server's own)",
    )
    parser.add_argument(
        "--founding-failure",
        action="store_true",
        help="also show that a llama.cpp from before the model refuses it; always done for that one's own recipe",
    )
    parser.add_argument(
        "--kernels",
        type=Path,
        metavar="FOLDER",
        help="compare kernels with the test-backend-ops in this folder (default: for a GPU it is built)",
    )
    parser.add_argument(
        "--report",
        type=Path,
        metavar="FOLDER",
        help="where index.html, result.json and junit.xml go (default: out/conformance/NAME)",
    )


def add_bundle(parser: Parser) -> None:
    """Add the choice of a llama.cpp that is run."""
    parser.add_argument(
        "--bundle",
        type=Path,
        metavar="FOLDER",
        help="a folder with llama-server in it or in its bin/, ours or not (default: the recipe's bundle)",
    )


def run(options: argparse.Namespace) -> int:
    """Check, and write the report."""
    if options.bundle is not None:
        refuse_beside(options, "conformance", "--bundle", OF_THE_BUNDLE, "both say which llama.cpp is run")
    from recipes.conformance.command import conform

    return conform(
        open_job(options),
        bundle=options.bundle,
        model=options.model,
        gpu_layers=options.gpu_layers,
        with_page=options.without != "web-page",
        folder=options.report,
        founding_failure=options.founding_failure,
        kernels=options.kernels,
        with_hostile=options.hostile,
    )


SESSION = Session(
    "conformance",
    "Check a llama.cpp with a model: text, images, numerics, server and web page.",
    add_options,
    run,
    example="--bundle /opt/llama.cpp/build --without web-page",
)
