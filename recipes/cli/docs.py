"""The session `docs`: generates the reference pages of docs/ and the JSON Schemas."""

from __future__ import annotations

from typing import TYPE_CHECKING

from recipes.cli.job import open_manifests
from recipes.cli.options import Parser, Session

if TYPE_CHECKING:
    import argparse


def add_options(_: Parser) -> None:
    """Add nothing."""


def run(options: argparse.Namespace) -> int:
    """Write the pages, and print their paths."""
    from recipes.cli.reference_docs import write_reference

    for path in write_reference(open_manifests(options).project, options.commands):
        print(path)
    return 0


SESSION = Session("docs", "Generate the reference pages of docs/ and the JSON Schemas.", add_options, run)
