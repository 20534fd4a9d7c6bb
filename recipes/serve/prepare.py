"""Brings together what a server needs: a built llama.cpp, a verified model, enough memory."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from recipes.build.advisories import warn_known_issues
from recipes.build.pipeline import find_bundle
from recipes.core.cores import threads_to_ask_for
from recipes.core.errors import BundleMissingError
from recipes.core.filesystem import size_text
from recipes.serve.free_memory import free_memory
from recipes.serve.lifecycle import Service, start_seconds
from recipes.serve.llamacpp.installation import SERVER, Installation, find_installation
from recipes.serve.memory_fit import Wish, demand_memory
from recipes.serve.model_choice import ReadyModel, choose_model, needs_of_others, ready_model
from recipes.serve.server_arguments import Manner, server_arguments

if TYPE_CHECKING:
    import argparse
    from pathlib import Path

    from recipes.build.context import Job


@dataclass(frozen=True)
class PreparedServer:
    """What can be started.

    Parameters
    ----------
    ready
        The model.
    subject
        The llama.cpp.
    service
        What is run.
    """

    ready: ReadyModel
    subject: Installation
    service: Service


def prepare(  # noqa: PLR0913 - what the two sessions that call it differ in
    job: Job, options: argparse.Namespace, *, text_only: bool, host: str, port: int, api_key: str | None
) -> PreparedServer:
    """Do all that comes before the start, the quick checks first.

    Raises
    ------
    RecipeError
        Where something is missing.
    """
    subject = find_server(job, options.bundle)
    choice = choose_model(job.manifests, job.store, options.model)
    if choice.reason:
        job.console.say(choice.reason)
    ready = ready_model(
        choice.model,
        job.manifests,
        job.store,
        job.console,
        text_only=text_only,
        context=options.context,
    )
    spare_bytes = check_memory(job, ready, ignore=options.ignore_memory)
    manner = Manner(options.threads or threads_to_ask_for(), options.temperature, spare_bytes)
    size_bytes = sum(path.stat().st_size for path in (ready.path, ready.mmproj) if path is not None)
    service = Service(
        program=subject.programs / SERVER,
        arguments=server_arguments(ready, manner, subject.server_options),
        host=host,
        port=port,
        start_s=options.start_timeout or start_seconds(size_bytes),
        log=job.store.root / "logs" / f"serve-{port}.log",
        api_key=api_key,
    )
    job.console.say(f"loading {ready.name} ({size_text(size_bytes)})")
    return PreparedServer(ready, subject, service)


def find_server(job: Job, bundle: Path | None) -> Installation:
    """Give the llama.cpp that is named, or the recipe's bundle out of the store, every byte of it hashed.

    Raises
    ------
    BundleMissingError
        Where it is not built.
    RecipeError
        Where it is not the pinned one, or there is no server in what is named.
    """
    if bundle is not None:
        return find_installation(bundle)
    warn_known_issues(job, refuse="refuse-known-issues" in job.settings.policy)
    plan = job.plan()
    found = find_bundle(job, plan)
    if found is None:
        raise BundleMissingError(
            where=f"{plan.name}, in {job.store.root}",
            expected="the bundle of the recipe, whose llama-server is run",
            found="none was built here",
            fix=f"python3 noxfile.py -s build -- --recipe {plan.recipe} --platform {plan.platform}",
        )
    return find_installation(found.entry.path)


def check_memory(job: Job, ready: ReadyModel, *, ignore: bool) -> int | None:
    """Compare what is needed with what is left; give what remains, None where that cannot be said.

    Raises
    ------
    MemoryShortError
        Where it is too little, and that is not to be ignored.
    """
    memory, free = ready.inspection.memory, free_memory()
    if memory is None or free is None:
        job.console.warn(f"whether there is enough memory for {ready.name} cannot be said")
        return None
    wish = Wish(ready.name, ready.context, memory, has_pictures=ready.mmproj is not None)
    if wish.size_bytes > free.size_bytes:
        if not ignore:
            demand_memory(wish, free, needs_of_others(job.manifests, job.store, ready.name))
        job.console.warn(
            f"{ready.name} needs {size_text(wish.size_bytes)} of memory, and {size_text(free.size_bytes)} is left:"
            " it may be slow, or be killed"
        )
    return free.size_bytes - wish.size_bytes
