"""The command line: the table of sessions, and the parser of them all, or of the one that is asked for."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

from recipes.cli.options import Parser, add_common

if TYPE_CHECKING:
    from recipes.cli.options import Session

# in the order of `--help`; each is SESSION of the module of recipes/cli of that name
NAMES = (
    "fetch",
    "verify",
    "patch",
    "build",
    "reproduce",
    "conformance",
    "hostile",
    "kernels",
    "mac-check",
    "payload",
    "advisories",
    "attest",
    "why",
    "publish",
    "pull",
    "image",
    "lock",
    "bump",
    "models",
    "serve",
    "ask",
    "gc",
    "docs",
)
ALL = "docs"  # the session that describes all of them


def session(name: str) -> Session:
    """Return one session of the table."""
    found: Session = import_module(f"recipes.cli.{name.replace('-', '_')}").SESSION
    return found


def parser(asked: str = ALL) -> Parser:
    """Return the command line: one command for each session, each with the options that have an effect there.

    Where the first word of it is the name of a session, that one is enough: to import all takes longer than to judge a
    bundle.
    """
    top = Parser(summary="Pinned, verifiable llama.cpp bundles.", prog="python3 noxfile.py -s")
    commands = top.add_subparsers(dest="session", required=True, metavar="SESSION")
    names = (asked,) if asked in NAMES and asked != ALL else NAMES
    for each in map(session, names):
        command = commands.add_parser(
            each.name,
            help=each.summary,
            title=each.name,
            summary=each.summary,
            example=f"{each.name} -- {each.example}" if each.example else "",
        )
        each.add_options(command)
        add_common(command, reads_manifests=each.reads_manifests)
        command.set_defaults(run=each.run, commands=top)
    return top
