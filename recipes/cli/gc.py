"""The session `gc`: removes from the store what no manifest needs."""

from __future__ import annotations

from typing import TYPE_CHECKING

from recipes.build.releases import find_pinned
from recipes.cli.job import open_context, open_manifests
from recipes.cli.options import Parser, Session, positive, refuse_beside, repository
from recipes.core.errors import RegistryError, UsageError
from recipes.core.invocation import this_command
from recipes.fetch.http.network_errors import OriginError
from recipes.registry.client import DELETE, PULL, Client
from recipes.registry.collect import choose, describe, remove
from recipes.registry.contents import read_contents
from recipes.registry.ended_claims import find_ended

if TYPE_CHECKING:
    import argparse

RELEASES = 3  # that a registry keeps


def add_options(parser: Parser) -> None:
    """Add the session's options."""
    parser.add_argument("--dry-run", action="store_true", help="only list what would be removed")
    parser.add_argument(
        "--damaged", action="store_true", help="hash every entry again and set damaged ones aside"
    )
    parser.add_argument(
        "--registry",
        type=repository,
        metavar="REGISTRY/REPO",
        help="list what this project wrote there and no release needs, ended claims too; --remove removes it",
    )
    parser.add_argument(
        "--releases",
        type=positive,
        default=RELEASES,
        metavar="N",
        help=f"of a registry: keep what the last N releases need (default: {RELEASES})",
    )
    parser.add_argument("--remove", action="store_true", help="of a registry: remove what the list names")
    parser.add_argument("--rejected", action="store_true", help="also remove what was kept for diagnosis")


def run(options: argparse.Namespace) -> int:
    """Remove what no manifest reaches, or set damaged entries aside."""
    if options.damaged:
        refuse_beside(options, "gc", "--damaged", ("dry_run", "rejected"), "it removes nothing")
    if options.registry:
        chosen = ("damaged", "dry_run", "rejected")
        refuse_beside(
            options, "gc", "--registry", chosen, "the others are of the store; a registry's is --remove"
        )
        return _of_registry(options)
    if options.remove:
        raise UsageError(
            where="gc: --remove",
            expected="--registry beside it",
            found="none: the store's garbage is removed without it",
            fix="leave out --remove, or name the registry",
        )
    context = open_context()
    if options.damaged:
        from recipes.store.fsck import report, set_damaged_aside

        print("\n".join(report(set_damaged_aside(context.store, context.console))))
        return 0
    from recipes.build.gc_roots import collect

    return collect(open_manifests(options), context, dry_run=options.dry_run, rejected=options.rejected)


def _of_registry(options: argparse.Namespace) -> int:
    """List what no release needs, and remove it where that is asked for."""
    context = open_context()
    pinned, names = find_pinned(context, open_manifests(options), options.releases)
    print(
        f"kept: what the manifests here need, and those of {', '.join(names) or 'no release: there is no tag v*'}"
    )
    try:
        with Client(options.registry, context, DELETE if options.remove else PULL) as client:
            ended = find_ended(client)  # before the rest is read: it can take minutes
            contents = read_contents(client)
            choices = choose(contents, pinned, ended)
            print("\n".join(describe(contents, choices)))
            if not options.remove:
                print("nothing was removed: that takes --remove")
                return 0
            print(
                f"removed {remove(client, contents, choices)} tags; the registry's own collection frees their bytes"
            )
    except OriginError as error:
        raise RegistryError(
            where=str(options.registry),
            expected="a registry that lists and removes manifests, by the OCI Distribution Specification",
            found=str(error),
            fix=f"allow removing there (docker-registry: storage.delete.enabled), then {this_command('gc')}",
        ) from error
    return 0


SESSION = Session(
    "gc", "Remove from the store what no manifest needs.", add_options, run, example="--dry-run"
)
