"""The command line behind the sessions: reads options, runs one command, turns errors into exit codes."""

from __future__ import annotations

import os
import signal
import sys
from typing import TYPE_CHECKING

from recipes.build.context import Job
from recipes.build.plan.host_override import on_host
from recipes.build.plan.plan import with_architectures
from recipes.build.toolchain.toolchain import default_platform
from recipes.cli import sessions as commands
from recipes.cli.parser import parser
from recipes.core.console import open_console
from recipes.core.cores import usable_cores
from recipes.core.errors import INTERRUPTED, RecipeError
from recipes.core.sandbox import Surroundings
from recipes.core.settings import read_settings
from recipes.manifest.incomplete import UnfinishedManifests
from recipes.manifest.load import Manifests
from recipes.store.store import Store

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable, Mapping, Sequence

SESSIONS: Mapping[str, Callable[[Job, argparse.Namespace], int]] = {
    "fetch": commands.fetch,
    "verify": commands.verify,
    "patch": commands.patch,
    "build": commands.build,
    "reproduce": commands.reproduce,
    "conformance": commands.conformance,
    "mac-check": commands.mac_check,
    "lock": commands.lock,
    "serve": commands.serve,
    "ask": commands.ask,
    "gc": commands.gc,
    "docs": commands.docs,
}


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; the exit code says how it went: 0, that of a RecipeError, or INTERRUPTED."""
    options = parser().parse_args(argv)
    try:
        if options.session == "models":
            code = _models(options)
        elif options.session == "payload":
            code = _payload(options)
        else:
            code = int(SESSIONS[options.session](open_job(options), options))
        sys.stdout.flush()
    except RecipeError as error:
        print(error, file=sys.stderr)
        return error.exit_code
    except BrokenPipeError:  # whoever reads the answer has enough of it, as `head` does
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # or Python complains at its end
        return 128 + signal.SIGPIPE
    except KeyboardInterrupt:
        print("interrupted: what was verified is kept; the same command goes on from there", file=sys.stderr)
        return INTERRUPTED
    return code


def _models(options: argparse.Namespace) -> int:
    from recipes.cli.models import ModelJob, run_models

    settings = read_settings()
    manifests = Manifests(options.project.absolute()) if options.project else Manifests()
    return run_models(ModelJob(manifests, Store.open(settings.store), open_console(), settings), options)


def _payload(options: argparse.Namespace) -> int:
    from recipes.cli.payload import run_payload

    return run_payload(options)


def open_job(options: argparse.Namespace) -> Job:
    """Give what the options name: a recipe for a platform, and where it is built.

    Raises
    ------
    RecipeError
        Where there is no such recipe or platform, or a setting cannot be meant so.
    """
    settings = read_settings()
    # what lacks a digest can be locked, and nothing else
    kind = UnfinishedManifests if options.session == "lock" else Manifests
    manifests = kind(options.project.absolute()) if options.project else kind()
    recipe = manifests.recipe(options.recipe or manifests.defaults().recipe)
    platform_name = options.platform or default_platform(manifests.defaults(), recipe)
    manifests.platform(recipe, platform_name)  # an unknown one is refused before anything is done
    if getattr(options, "toolchain", None):
        recipe = on_host(recipe, platform_name)
    chosen = tuple(getattr(options, "architecture", None) or ())
    return Job(
        manifests=manifests,
        recipe=with_architectures(recipe, platform_name, chosen),
        platform_name=platform_name,
        store=Store.open(settings.store),
        console=open_console(),
        settings=settings,
        surroundings=Surroundings(
            jobs=getattr(options, "jobs", None) or usable_cores(), preload=getattr(options, "preload", None)
        ),
    )
