"""The session `image`: a bundle as a container image, bit for bit the same from the same pins."""

from __future__ import annotations

import argparse
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from recipes.build.advisories import demand_no_known_issues
from recipes.build.pipeline import find_bundle, take_bundle
from recipes.cli.job import bundle_missing, open_job, pinned_platforms
from recipes.cli.options import Parser, Session, add_permit, add_platform, refuse_beside, repository
from recipes.core.errors import BundleMissingError
from recipes.registry.names import image_tag, platform_tag
from recipes.registry.reference import Reference, Repository, parse_reference
from recipes.serve.container.compose import compose_image, compose_model, pin_command
from recipes.serve.container.layout import platform_of, write_layout
from recipes.serve.container.push import push_images
from recipes.serve.model_choice import ready_model

if TYPE_CHECKING:
    from recipes.build.context import Job
    from recipes.build.pipeline import Bundle
    from recipes.serve.container.compose import Image, ModelLayer

LAYOUT = "oci:"


@dataclass(frozen=True)
class Target:
    """Where images go: a folder, or a repository and a tag in it."""

    folder: Path | None = None
    repository: Repository | None = None
    tag: str = ""


def add_options(parser: Parser) -> None:
    """Add the session's options."""
    add_platform(parser, architecture=False)
    parser.add_argument(
        "--all-platforms",
        action="store_true",
        help="every platform of Linux of the recipe whose compiler is pinned, and an index of them",
    )
    parser.add_argument(
        "--with-model",
        metavar="NAME",
        help="put a model of manifests/models/ into it, as a layer of its own (default: mounted on /models)",
    )
    parser.add_argument(
        "--to",
        type=target,
        required=True,
        metavar="oci:FOLDER|REGISTRY/REPO[:TAG]",
        help="an OCI image layout, or a repository of an OCI registry",
    )
    parser.add_argument(
        "--mount-from",
        action="append",
        default=[],
        metavar="REPO",
        help="another repository of that registry: layers that it has are not sent again (repeat for more)",
    )
    add_permit(parser)


def run(options: argparse.Namespace) -> int:
    """Make images, bring them to their place, and print their digests."""
    if options.all_platforms:
        refuse_beside(options, "image", "--all-platforms", ("platform",), "the first takes each platform")
    if options.to.repository is None:
        refuse_beside(
            options, "image", f"--to {LAYOUT}FOLDER", ("mount_from",), "registries alone have mounts"
        )
    job = open_job(options)
    permitted = demand_no_known_issues(job, permit=options.permit)
    job = replace(job, permitted=permitted)
    to = options.to
    host = to.repository.host if to.repository else ""
    others = tuple(repository(f"{host}/{each}").path for each in options.mount_from)
    with ExitStack() as stack:
        bundles = _bundles(job) if options.all_platforms else [(job, _bundle(job))]
        model = _model(job, stack, options.with_model) if options.with_model else None
        images = [_image(each, bundle, stack, model) for each, bundle in bundles]
        if to.folder is not None:
            name, index = write_layout(to.folder, images)
            place = f"{LAYOUT}{to.folder}"
            print(f"index:    {place}:{name} ({index.digest})")
        else:
            name = to.tag or image_tag(images[0].tag)
            place = str(to.repository)
            push_images(job, to.repository, images, name, others)
            print(f"index:    {place}:{name}")
        for image in images:
            state = "the pinned one" if image.pinned else f"not pinned: {_why_unpinned(job, image, model)}"
            print(f"image:    {place}:{platform_tag(name, platform_of(image))}")
            print(f"digest:   {image.sha256} ({state})")
    return 0


def _bundles(job: Job) -> list[tuple[Job, Bundle]]:
    """Return each bundle of Linux that is here or in a cache; raises BundleMissingError where there is none."""
    jobs = [replace(job, platform_name=name) for name in pinned_platforms(job)]
    found, first_error = [], None
    for each in jobs:
        if each.plan().system != "linux":
            job.console.say(f"{each.platform_name} is left out: containers are Linux's")
            continue
        try:
            found.append((each, _bundle(each)))
        except BundleMissingError as error:
            first_error = first_error or error
            job.console.warn(f"{each.plan().name} is left out: {error.found}")
    if first_error and not found:
        raise first_error
    return found


def _bundle(job: Job) -> Bundle:
    plan = job.plan()
    bundle = find_bundle(job, plan) or take_bundle(job, plan)
    if bundle is None:
        raise bundle_missing(job, "the bundle that is put into the image")
    return bundle


def _model(job: Job, stack: ExitStack, name: str) -> ModelLayer:
    ready = ready_model(job, job.manifests.model(name))
    work = stack.enter_context(job.store.scratch(f"image-model-{name}"))
    with job.console.task(f"layer of {name}", None):
        return compose_model(ready, work)


def _image(job: Job, bundle: Bundle, stack: ExitStack, model: ModelLayer | None) -> Image:
    plan = bundle.plan
    work = stack.enter_context(job.store.scratch(f"image-{plan.digest.hex[:32]}"))
    with job.console.task(f"image of {plan.name}", None):
        return compose_image(job, bundle, work, model)


def _why_unpinned(job: Job, image: Image, model: ModelLayer | None) -> str:
    if model is not None:
        return f"{model.name} is in it"
    job = replace(job, platform_name=platform_of(image))
    reason = job.platform.image_unpinned
    return f"{reason + '; ' if reason else ''}pin it with {pin_command(job)}"


def target(text: str) -> Target:
    """Read where images go, or raise an ArgumentTypeError."""
    if text.startswith(LAYOUT):
        folder = text.removeprefix(LAYOUT)
        if not folder:
            raise argparse.ArgumentTypeError(f"a folder is expected after {LAYOUT}")
        return Target(folder=Path(folder))
    try:
        found = parse_reference(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"{error}; or {LAYOUT}FOLDER") from None
    if isinstance(found, Repository):
        return Target(repository=found)
    return _named(found)


def _named(found: Reference) -> Target:
    if not isinstance(found.name, str):
        raise argparse.ArgumentTypeError("a digest cannot be chosen: it follows from the image")
    return Target(repository=found.repository, tag=found.name)


SESSION = Session(
    "image",
    "Make a container image of a bundle, into a folder or a registry.",
    add_options,
    run,
    example="--to oci:image",
)
