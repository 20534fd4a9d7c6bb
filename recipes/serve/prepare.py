"""Prepares a server: an installed llama.cpp, a verified model, enough memory."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING

from recipes.build.advisories import demand_no_known_issues
from recipes.core.cores import threads_to_ask_for
from recipes.core.errors import UsageError
from recipes.core.filesystem import size_text
from recipes.serve.consent import Consent
from recipes.serve.door.options import MOST_BODY, DoorOptions
from recipes.serve.door.treatment import BodyRules
from recipes.serve.free_memory import free_memory
from recipes.serve.lifecycle import Service, start_seconds
from recipes.serve.llamacpp.installation import SERVER, Installation, find_installation
from recipes.serve.memory_fit import MemoryDemand, demand_memory, fitting_context
from recipes.serve.model_choice import ReadyModel, choose_model, needs_of_others, ready_model
from recipes.serve.obtain import obtain_bundle, obtain_model
from recipes.serve.server_arguments import ServerOptions, server_arguments

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterable
    from pathlib import Path

    from recipes.build.context import Job
    from recipes.serve.door.admission import Admission
    from recipes.serve.door.image_decode import Detail
    from recipes.serve.free_memory import FreeMemory


TOKEN_PIXELS = 1024
LIMITED = "leave --image-max-tokens out; --detail limits images in front of every server"


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
    consent = Consent(is_given=options.yes)
    installation = find_server(job, options.bundle, consent, permit=options.permit)
    demand_option(installation, "--image-max-tokens", options.image_max_tokens, LIMITED)
    unload_s = getattr(options, "unload_after", None)  # an option of `serve` alone
    demand_option(installation, "--sleep-idle-seconds", unload_s, "leave --unload-after out")
    free = free_memory()
    choice = choose_model(job, options.model, free, consent)
    if choice.reason:
        job.console.say(choice.reason)
    obtain_model(job, choice.model, consent, text_only=text_only)
    readied = partial(
        ready_model,
        job,
        choice.model,
        text_only=text_only,
        architectures=options.allow_architecture or (),
        image_pixels=largest_image(options.detail, options.image_max_tokens),
    )
    ready = readied(context=options.context)
    shorter = options.context is None and shorter_context(ready, free)
    if shorter:
        ready = readied(context=shorter)
        job.console.say(f"context: {shorter} tokens, which is what the available memory is enough for")
    spare_bytes = check_memory(job, ready, free, ignore=options.ignore_memory)
    rules = BodyRules(context=ready.context, detail=options.detail, url_images=url_images)
    chosen = ServerOptions(
        threads=options.threads or threads_to_ask_for(),
        temperature=options.temperature,
        image_max_tokens=options.image_max_tokens,
        spare_bytes=spare_bytes,
        unload_s=unload_s,
    )
    size_bytes = sum(path.stat().st_size for path in (ready.path, ready.mmproj) if path is not None)
    service = Service(
        program=installation.programs / SERVER,
        arguments=server_arguments(ready, chosen, installation.server_options),
        door=DoorOptions(admission, rules, most_body),
        start_s=options.start_timeout or start_seconds(size_bytes),
        log=job.store.root / "logs" / f"serve-{admission.port}.log",
        takes_sockets=installation.takes_sockets,
        environment={} if options.bundle else job.platform.environment,
    )
    job.console.say(f"loading {ready.name} ({size_text(size_bytes)})")
    return PreparedServer(ready, installation, service)


def largest_image(detail: Detail, most_tokens: int | None) -> int:
    """Return the most pixels of an image that a model gets; a token is 1,024 pixels with Qwen's models. Pure.

    >>> from recipes.serve.door.image_decode import Detail
    >>> largest_image(Detail.LOW, None), largest_image(Detail.HIGH, 100)
    (262144, 102400)
    """
    return min(detail.pixels, (most_tokens or detail.pixels) * TOKEN_PIXELS)


def demand_option(installation: Installation, option: str, value: object, fix: str) -> None:
    """Raise a UsageError where a value is given for an option that the server does not have."""
    if value is not None and option not in installation.server_options:
        raise UsageError(
            where=option,
            expected=f"a {SERVER} that has this option",
            found=installation.title,
            fix=fix,
        )


def find_server(
    job: Job, bundle: Path | None, consent: Consent, *, permit: Iterable[str] = ()
) -> Installation:
    """Return the llama.cpp in the named folder, or the recipe's bundle, with every byte hashed; built if it may be.

    A BundleMissingError is raised if the bundle is not built and no cache has it, another RecipeError if it differs
    from its pin, the folder has no server, or a grave finding affects the recipe and is not in `permit`.
    """
    if bundle is not None:
        return find_installation(bundle)
    job = replace(job, permitted=demand_no_known_issues(job, permit=permit))
    return find_installation(obtain_bundle(job, consent).entry.path)


def shorter_context(ready: ReadyModel, free: FreeMemory | None) -> int:
    """Return a context for which there is memory where there is too little for the default one; else 0. Pure."""
    memory = ready.inspection.memory
    if memory is None or free is None:
        return 0
    images = ready.mmproj is not None
    return fitting_context(
        MemoryDemand(ready.name, ready.context, memory, images=images), free.size_bytes, images=images
    )


def check_memory(job: Job, ready: ReadyModel, free: FreeMemory | None, *, ignore: bool) -> int | None:
    """Compare the needed memory with what is available; return the bytes that remain, None if unknown.

    If there is too little, a MemoryShortError is raised, unless `ignore`.
    """
    memory = ready.inspection.memory
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
