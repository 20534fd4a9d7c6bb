"""What a session works on, made from its options: the manifests, the store, and a recipe for a platform."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from recipes.build.context import Job
from recipes.build.plan.host_override import on_host
from recipes.build.plan.plan import with_architectures
from recipes.cli.acceptance import find_acceptance
from recipes.cli.private_keys import find_signer
from recipes.core import log
from recipes.core.console import open_console
from recipes.core.cores import usable_cores
from recipes.core.errors import BundleMissingError, UsageError
from recipes.core.invocation import command_line, typed_options
from recipes.core.sandbox import Surroundings
from recipes.core.settings import read_settings
from recipes.manifest.load import Manifests
from recipes.store.context import Context
from recipes.store.store import Store

if TYPE_CHECKING:
    import argparse
    from collections.abc import Sequence
    from pathlib import Path

    from recipes.core.settings import Settings
    from recipes.manifest.schema import Recipe


def open_manifests(options: argparse.Namespace, kind: type[Manifests] = Manifests) -> Manifests:
    """Return the manifests of the project that the options name; raise a UsageError where that is none."""
    own = own_models_folder()
    if options.project is None:
        return kind(own_models=own)
    if not (options.project / "manifests").is_dir():
        raise UsageError(
            where=f"--project {options.project}",
            expected="a folder with manifests/ in it",
            found="none" if options.project.is_dir() else "no such folder",
            fix="name the folder that holds manifests/ and patches/, or leave --project out",
        )
    return kind(options.project.absolute(), own)


def own_models_folder() -> Path:
    """Return where the manifests of the models lie that the user has added; it need not exist."""
    import platformdirs

    return platformdirs.user_config_path("pinned-llama", appauthor=False) / "models"


def open_context() -> Context:
    """Return store, console and settings; from now on log to the store. Raises a RecipeError if one is not valid."""
    settings = read_settings()
    log.hide(settings.hub_token)
    store = Store.open(settings.store)
    log.write_to(store.logs)
    return Context(store, log.LoggedConsole(open_console()), settings)


def open_job(options: argparse.Namespace, kind: type[Manifests] = Manifests) -> Job:
    """Return the recipe and the platform that the options name, with what they are built with.

    Without an option for it, the platform is any of the recipe's. `kind` is how manifests are read. A RecipeError is
    raised where there is no such recipe or platform, or a setting is not valid.
    """
    return open_jobs(options, [options.recipe], kind)[0]


def open_jobs(
    options: argparse.Namespace, recipes: Sequence[str | None], kind: type[Manifests] = Manifests
) -> list[Job]:
    """Return what `open_job` does, for each of some recipes; None is the default one."""
    context = open_context()
    manifests = open_manifests(options, kind)
    context = replace(context, settings=with_caches(options, context.settings, manifests))
    return [_job(options, context, manifests, name or manifests.defaults().recipe) for name in recipes]


def _job(options: argparse.Namespace, context: Context, manifests: Manifests, recipe_name: str) -> Job:
    recipe = manifests.recipe(recipe_name)
    platform_name = _platform_name(options, manifests, recipe)
    if getattr(options, "toolchain", None):
        recipe = on_host(recipe, platform_name)
    recipe = with_architectures(recipe, platform_name, tuple(getattr(options, "architecture", None) or ()))
    accept, accept_stage = find_acceptance(options, context.settings, manifests)
    log.LOGGER.info("recipe %s, platform %s, store %s", recipe.name, platform_name, context.store.root)
    return Job(
        manifests=manifests,
        recipe=recipe,
        platform_name=platform_name,
        store=context.store,
        console=context.console,
        settings=context.settings,
        surroundings=Surroundings(
            jobs=getattr(options, "jobs", None) or usable_cores(), preload=getattr(options, "preload", None)
        ),
        accept=accept,
        accept_stage=accept_stage,
        sign_stage=find_signer(getattr(options, "sign_key", None)),
    )


def bundle_missing(job: Job, expected: str) -> BundleMissingError:
    """Return the error of a job whose bundle is not in the store, which says how it is built."""
    plan = job.plan()
    same = ("--recipe", plan.recipe, "--platform", plan.platform)
    return BundleMissingError(
        where=f"{plan.name}, in {job.store.root}",
        expected=expected,
        found="it was not built here",
        fix=command_line(("build", *same, *typed_options("--project"))),
    )


def pinned_platforms(job: Job) -> list[str]:
    """Return each platform of the recipe whose compiler is pinned, in the manifest's order."""
    platforms = job.recipe.platforms.items()
    pinned = [name for name, each in platforms if job.manifests.toolchain(each.toolchain).kind != "host"]
    for name in (name for name, _ in platforms if name not in pinned):
        job.console.say(
            f"{name} is left out: its compiler is a machine's own; build it with --platform {name}"
        )
    return pinned


def with_caches(options: argparse.Namespace, settings: Settings, manifests: Manifests) -> Settings:
    """Return settings with the caches to ask: none with --no-cache, else the user's, else those of the defaults."""
    if getattr(options, "no_cache", False):
        return replace(settings, caches=())
    if settings.caches is None:
        return replace(settings, caches=manifests.defaults().caches)
    from recipes.registry.caches import parse_cache  # and all that fetches

    for address in settings.caches:
        parse_cache(address)  # a wrong one is said before anything is done
    return settings


def _platform_name(options: argparse.Namespace, manifests: Manifests, recipe: Recipe) -> str:
    if not hasattr(options, "platform"):
        return next(iter(recipe.platforms))  # what it does is the same for each
    # fetches toolchains too, with all that this needs; who judges a bundle does not
    from recipes.build.toolchain.toolchain import default_platform

    name: str = options.platform or default_platform(manifests.defaults(), recipe)
    manifests.platform(recipe, name)  # an unknown one is refused before anything is done
    return name
