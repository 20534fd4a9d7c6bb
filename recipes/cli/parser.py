"""The command line: the table of sessions, and the parser of them all."""

from __future__ import annotations

from recipes.cli import (
    advisories,
    ask,
    attest,
    build,
    conformance,
    docs,
    fetch,
    gc,
    hostile,
    kernels,
    lock,
    mac_check,
    models,
    patch,
    payload,
    publish,
    pull,
    reproduce,
    serve,
    verify,
    why,
)
from recipes.cli.options import Parser, add_common

SESSIONS = (
    fetch.SESSION,
    verify.SESSION,
    patch.SESSION,
    build.SESSION,
    reproduce.SESSION,
    conformance.SESSION,
    hostile.SESSION,
    kernels.SESSION,
    mac_check.SESSION,
    payload.SESSION,
    advisories.SESSION,
    attest.SESSION,
    why.SESSION,
    publish.SESSION,
    pull.SESSION,
    lock.SESSION,
    models.SESSION,
    serve.SESSION,
    ask.SESSION,
    gc.SESSION,
    docs.SESSION,
)


def parser() -> Parser:
    """Return the command line: one command for each session, each with the options that have an effect there."""
    top = Parser(summary="Pinned, verifiable llama.cpp bundles.", prog="python3 noxfile.py -s")
    commands = top.add_subparsers(dest="session", required=True, metavar="SESSION")
    for session in SESSIONS:
        command = commands.add_parser(
            session.name,
            help=session.summary,
            title=session.name,
            summary=session.summary,
            example=f"{session.name} -- {session.example}" if session.example else "",
        )
        session.add_options(command)
        add_common(command, reads_manifests=session.reads_manifests)
        command.set_defaults(run=session.run, commands=top)
    return top
