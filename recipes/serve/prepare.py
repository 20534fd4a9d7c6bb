"""Prepares a server: an installed llama.cpp, a verified model, enough memory."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from recipes.build.advisories import demand_no_known_issues
from recipes.build.pipeline import find_bundle, take_bundle
from recipes.core.cores import threads_to_ask_for
from recipes.core.errors import BundleMissingError, UsageError
from recipes.core.filesystem import size_text
from recipes.core.invocation import command_line, typed_options
from recipes.serve.door.options import MOST_BODY, DoorOptions
from recipes.serve.door.treatment import BodyRules
from recipes.serve.free_memory import free_memory
from recipes.serve.lifecycle import Service, start_seconds
from recipes.serve.llamacpp.installation import SERVER, Installation, find_installation
from recipes.serve.memory_fit import MemoryDemand, demand_memory
from recipes.serve.model_choice import ReadyModel, choose_model, needs_of_others, ready_model
from recipes.serve.server_arguments import ServerOptions, server_arguments

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterable
    from pathlib import Path

    from recipes.build.context import Job
    from recipes.serve.door.admission import Admission


@dataclass(frozen=True)
class PreparedServer:
    """A server that can be started: the model, the llama.cpp, and the program with its arguments."""

    ready: ReadyModel
    installation: Installation
    service: Service


def prepare(  # noqa: PLR0913 - what the two sessions that call it differ in
    job: Job,
    options: argparse.Namespace,
    admission: Admission,
    *,
    text_only: bool,
    url_images: bool = False,
    most_body: int = MOST_BODY,
) -> PreparedServer:
    """Do everything that comes before the start, the quick checks first; a RecipeError says what is missing."""
    installation = find_server(job, options.bundle, permit=options.permit)
    demand_option(installation, "--image-max-tokens", options.image_max_tokens)
    choice = choose_model(job, options.model)
    if choice.reason:
        job.console.say(choice.reason)
    ready = ready_model(
        job,
        choice.model,
        text_only=text_only,
        context=options.context,
        architectures=options.allow_architecture or (),
    )
    spare_bytes = check_memory(job, ready, ignore=options.ignore_memory)
    chosen = ServerOptions(
        threads=options.threads or threads_to_ask_for(),
        temperature=options.temperature,
        image_max_tokens=options.image_max_tokens,
        spare_bytes=spare_bytes,
    )
    size_bytes = sum(path.stat().st_size for path in (ready.path, ready.mmproj) if path is not None)
    service = Service(
        program=installation.programs / SERVER,
        arguments=server_arguments(ready, chosen, installation.server_options),
        door=DoorOptions(admission, BodyRules(detail=options.detail, url_images=url_images), most_body),
        start_s=options.start_timeout or start_seconds(size_bytes),
        log=job.store.root / "logs" / f"serve-{admission.port}.log",
        takes_sockets=installation.takes_sockets,
        environment={} if options.bundle else job.platform.environment,
    )
    job.console.say(f"loading {ready.name} ({size_text(size_bytes)})")
    return PreparedServer(ready, installation, service)


def demand_option(installation: Installation, option: str, value: object) -> None:
    """Raise a UsageError where a value is given for an option that the server does not have."""
    if value is not None and option not in installation.server_options:
        raise UsageError(
            where=option,
            expected=f"a {SERVER} that has this option",
            found=installation.title,
            fix=f"leave {option} out; --detail limits images in front of every server",
        )


def find_server(job: Job, bundle: Path | None, *, permit: Iterable[str] = ()) -> Installation:
    """Return the llama.cpp in the named folder, or the recipe's bundle from the store or a cache, every byte hashed.

    A BundleMissingError is raised if the bundle is not built and no cache has it, another RecipeError if it differs
    from its pin, the folder has no server, or a grave finding affects the recipe and is not in `permit`.
    """
    if bundle is not None:
        return find_installation(bundle)
    demand_no_known_issues(job, permit=permit)
    plan = job.plan()
    found = find_bundle(job, plan) or take_bundle(job, plan)
    if found is None:
        same = ("--recipe", plan.recipe, "--platform", plan.platform)
        raise BundleMissingError(
            where=f"{plan.name}, in {job.store.root}",
            expected="the recipe's bundle, whose llama-server is run",
            found="it was not built here",
            fix=command_line(("build", *same, *typed_options("--project", "--architecture"))),
        )
    return find_installation(found.entry.path)


def check_memory(job: Job, ready: ReadyModel, *, ignore: bool) -> int | None:
    """Compare the needed memory with what is available; return the bytes that remain, None if unknown.

    If there is too little, a MemoryShortError is raised, unless `ignore`.
    """
    memory, free = ready.inspection.memory, free_memory()
    if memory is None or free is None:
        job.console.warn(f"it is unknown whether there is enough memory for {ready.name}")
        return None
    demand = MemoryDemand(ready.name, ready.context, memory, images=ready.mmproj is not None)
    if demand.size_bytes > free.size_bytes:
        if not ignore:
            demand_memory(demand, free, needs_of_others(job, ready.name))
        job.console.warn(
            f"{ready.name} needs {size_text(demand.size_bytes)} of memory, and {size_text(free.size_bytes)} is"
            " available: it may be slow, or be killed"
        )
    return free.size_bytes - demand.size_bytes
