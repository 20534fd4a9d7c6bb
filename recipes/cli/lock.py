"""The session `lock`: proposes new pins as a diff."""

from __future__ import annotations

from typing import TYPE_CHECKING

from recipes.cli.job import open_job
from recipes.cli.options import Parser, Session, add_platform, add_source_facts, refuse_beside
from recipes.core.errors import UsageError
from recipes.manifest.incomplete import UnfinishedManifests

if TYPE_CHECKING:
    import argparse

OF_SOURCE_OR_OUTPUT = ("source", "subdirectory", "commit", "build_number", "output")
OF_A_RECIPE = ("recipe", "platform", *OF_SOURCE_OR_OUTPUT, "image", "page", "loader")


def add_options(parser: Parser) -> None:
    """Add the session's options."""
    add_platform(parser, architecture=False)
    parser.add_argument(
        "--source", metavar="PROJECT==VERSION|TAG|URL", help="where the new source comes from"
    )
    add_source_facts(parser, "--source")
    parser.add_argument(
        "--output",
        action="store_true",
        help="pin the digest of the bundle that this machine built for --platform",
    )
    parser.add_argument(
        "--image",
        action="store_true",
        help="pin the digest of the container image that the pinned bundle of --platform gives",
    )
    parser.add_argument(
        "--page",
        action="store_true",
        help="pin the digest of the recipe's web page, which is built for that where the store does not have it",
    )
    parser.add_argument(
        "--model",
        metavar="NAME",
        help="pin the files of a manifest in manifests/models/, as the hub has them; no recipe is read",
    )
    parser.add_argument(
        "--loader",
        action="store_true",
        help="derive what the recipe's llama.cpp reads of a model, from its patched source: manifests/loaders/",
    )
    parser.add_argument(
        "--toolchain",
        metavar="NAME",
        help="pin the trees that the wheels of a manifest in manifests/toolchains/ unpack to, for every machine",
    )
    parser.add_argument("--write", action="store_true", help="write the proposal to the manifest")


def run(options: argparse.Namespace) -> int:
    """Propose, and write where asked."""
    if options.model:
        refuse_beside(
            options,
            "lock",
            "--model",
            (*OF_A_RECIPE, "toolchain"),
            "a model's pins, or a recipe's or toolchain's",
        )
    elif options.toolchain:
        refuse_beside(options, "lock", "--toolchain", OF_A_RECIPE, "a toolchain's pins, or a recipe's")
    elif options.platform and not (options.output or options.image):
        raise UsageError(
            where="lock: --platform",
            expected="--output or --image with it: a source and its patches are the same for every platform",
            found="neither",
            fix="leave --platform out, or add --output or --image",
        )
    if not (options.output or options.image):
        del options.platform  # so that the recipe need not have this machine's
    toolchain, options.toolchain = options.toolchain, None  # it is no compiler to build with
    job = open_job(options, UnfinishedManifests)  # what lacks a digest can be locked, and nothing else
    options.toolchain = toolchain
    if options.model:
        from recipes.lock.model import propose_model_pins

        return propose_model_pins(job, options)
    if options.image:
        others = (*OF_SOURCE_OR_OUTPUT, "page", "loader")
        refuse_beside(options, "lock", "--image", others, "the image follows from the pinned bundle")
        from recipes.lock.image import propose_image_pin

        return propose_image_pin(job, options)
    if options.page:
        what = "the page follows the source; write that first"
        refuse_beside(options, "lock", "--page", (*OF_SOURCE_OR_OUTPUT, "loader"), what)
        from recipes.lock.page import propose_page_pin

        return propose_page_pin(job, options)
    if options.loader:
        what = "the table follows the pins; write those first"
        refuse_beside(options, "lock", "--loader", OF_SOURCE_OR_OUTPUT, what)
        from recipes.lock.loader import propose_loader_table

        return propose_loader_table(job, options)
    if toolchain:
        from recipes.lock.toolchain import propose_trees

        return propose_trees(job, options)
    from recipes.lock.recipe import propose

    return propose(job, options)


SESSION = Session(
    "lock",
    "Propose new pins as a diff; nothing is written without --write.",
    add_options,
    run,
    example="--source b7827",
)
