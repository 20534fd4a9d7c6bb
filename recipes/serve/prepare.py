"""Prepares what is served: an installed llama.cpp, verified models, enough memory."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING

from recipes.build.advisories import demand_no_known_issues
from recipes.core.cores import threads_to_ask_for
from recipes.core.errors import UsageError
from recipes.core.filesystem import size_text
from recipes.models.gguf.kinds import is_covered
from recipes.models.gguf.reader import escaped
from recipes.serve.consent import Consent
from recipes.serve.door.options import MOST_BODY, DoorOptions
from recipes.serve.door.treatment import BodyRules, ModelLimits
from recipes.serve.free_memory import free_memory
from recipes.serve.lifecycle import start_seconds
from recipes.serve.llamacpp.installation import SERVER, Installation, find_installation
from recipes.serve.memory_fit import MemoryDemand, demand_memory, fitting_context, share
from recipes.serve.model_choice import (
    ReadyModel,
    choose_model,
    demand_loadable,
    needs_of_others,
    ready_model,
)
from recipes.serve.obtain import obtain_bundle, obtain_model
from recipes.serve.server_arguments import ServerOptions, server_arguments
from recipes.serve.server_process import Service

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterable, Sequence
    from pathlib import Path

    from recipes.build.context import Job
    from recipes.serve.door.admission import Admission
    from recipes.serve.door.image_decode import Detail
    from recipes.serve.free_memory import FreeMemory


TOKEN_PIXELS = 1024
LIMITED = "leave --image-max-tokens out; --detail limits images in front of every server"


@dataclass(frozen=True)
class PreparedServer:
    """What can be served: the models, the default one first, the llama.cpp, its program for each, and the door."""

    ready: tuple[ReadyModel, ...]
    installation: Installation
    services: tuple[Service, ...]
    door: DoorOptions


def prepare(  # noqa: PLR0913 - what the two sessions that call it differ in
    job: Job,
    options: argparse.Namespace,
    names: Sequence[str],
    admission: Admission,
    *,
    text_only: bool,
    url_images: bool = False,
    most_body: int = MOST_BODY,
) -> PreparedServer:
    """Do everything that comes before the start, the quick checks first; a RecipeError says what is missing.

    Without a name the best of the defaults is served.
    """
    consent = Consent(is_given=options.yes)
    installation = find_server(job, options.bundle, consent, permit=options.permit)
    demand_option(installation, "--image-max-tokens", options.image_max_tokens, LIMITED)
    unload_s = getattr(options, "unload_after", None)  # an option of `serve` alone
    demand_option(installation, "--sleep-idle-seconds", unload_s, "leave --unload-after out")
    free = free_memory()
    ready = tuple(
        prepare_model(job, options, name, free, consent, text_only=text_only)
        for name in tuple(dict.fromkeys(names)) or (None,)
    )
    for model in ready:
        check_memory(job, model, free, ignore=options.ignore_memory)
    sharing = share([needed_bytes(model) for model in ready], free)
    if sharing.words:
        job.console.say(sharing.words)
    logs = job.store.root / "logs"
    services: list[Service] = []
    for model, spare_bytes in zip(ready, sharing.spare_bytes, strict=True):
        chosen = ServerOptions(
            threads=options.threads or threads_to_ask_for(),
            temperature=options.temperature,
            image_max_tokens=options.image_max_tokens,
            spare_bytes=spare_bytes,
            unload_s=unload_s,
        )
        service = Service(
            model=model.name,
            program=installation.programs / SERVER,
            arguments=server_arguments(model, chosen, installation.server_options),
            start_s=options.start_timeout or start_seconds(model.size_bytes),
            log=logs / f"serve-{admission.port}{f'-{model.name}' if services else ''}.log",
            takes_sockets=installation.takes_sockets,
            environment={} if options.bundle else job.platform.environment,
        )
        services.append(service)
    limits = tuple(ModelLimits(model.name, context=model.context) for model in ready)
    rules = BodyRules(limits, options.detail, url_images)
    door = DoorOptions(admission, rules, most_body, one_at_a_time=sharing.one_at_a_time)
    job.console.say(f"loading {ready[0].name} ({size_text(ready[0].size_bytes)})")
    return PreparedServer(ready, installation, tuple(services), door)


def prepare_model(  # noqa: PLR0913 - as `prepare`
    job: Job,
    options: argparse.Namespace,
    name: str | None,
    free: FreeMemory | None,
    consent: Consent,
    *,
    text_only: bool,
) -> ReadyModel:
    """Return a model, verified, with the context that it is served with; a RecipeError says what is missing."""
    choice = choose_model(job, name, free, consent)
    if choice.reason:
        job.console.say(choice.reason)
    demand_loadable(job, choice.model, options.allow_architecture or ())
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
    if not is_covered(ready.inspection.architecture):
        job.console.warn(
            f"conformance does not cover {escaped(ready.inspection.architecture)}, the architecture of {ready.name}:"
            " whether its answers are those of its authors' code was not measured"
        )
    shorter = options.context is None and shorter_context(ready, free)
    if shorter:
        ready = readied(context=shorter)
        job.console.say(f"context: {shorter} tokens, which is what the available memory is enough for")
    return ready


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


def needed_bytes(ready: ReadyModel) -> int | None:
    """Return the memory that a model needs with its context; None if unknown. Pure."""
    memory = ready.inspection.memory
    return None if memory is None else memory.needed(images=ready.mmproj is not None)


def check_memory(job: Job, ready: ReadyModel, free: FreeMemory | None, *, ignore: bool) -> None:
    """Compare the memory that a model needs with what is available, and warn where it is short or unknown.

    If there is too little, a MemoryShortError is raised, unless `ignore`.
    """
    memory = ready.inspection.memory
    if memory is None or free is None:
        job.console.warn(f"it is unknown whether there is enough memory for {ready.name}")
        return
    demand = MemoryDemand(ready.name, ready.context, memory, images=ready.mmproj is not None)
    if demand.size_bytes > free.size_bytes:
        if not ignore:
            demand_memory(demand, free, needs_of_others(job, ready.name))
        job.console.warn(
            f"{ready.name} needs {size_text(demand.size_bytes)} of memory, and {size_text(free.size_bytes)} is"
            " available: it may be slow, or be killed"
        )
