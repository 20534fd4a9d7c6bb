"""The session `gc`: removes from the store what no manifest needs."""

from __future__ import annotations

from typing import TYPE_CHECKING

from recipes.cli.job import open_context, open_manifests
from recipes.cli.options import Parser, Session, refuse_beside

if TYPE_CHECKING:
    import argparse


def add_options(parser: Parser) -> None:
    """Add the session's options."""
    parser.add_argument("--dry-run", action="store_true", help="only list what would be removed")
    parser.add_argument(
        "--damaged", action="store_true", help="hash every entry again and set damaged ones aside"
    )
    parser.add_argument("--rejected", action="store_true", help="also remove what was kept for diagnosis")


def run(options: argparse.Namespace) -> int:
    """Remove what no manifest reaches, or set damaged entries aside."""
    if options.damaged:
        refuse_beside(options, "gc", "--damaged", ("dry_run", "rejected"), "it removes nothing")
    context = open_context()
    if options.damaged:
        from recipes.store.fsck import report, set_damaged_aside

        print("\n".join(report(set_damaged_aside(context.store, context.console))))
        return 0
    from recipes.build.gc_roots import collect

    return collect(open_manifests(options), context, dry_run=options.dry_run, rejected=options.rejected)


SESSION = Session(
    "gc", "Remove from the store what no manifest needs.", add_options, run, example="--dry-run"
)
