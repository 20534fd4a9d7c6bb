"""The session `image`: a bundle as a container image, bit for bit the same from the same pins."""

from __future__ import annotations

import argparse
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from recipes.build.advisories import demand_no_known_issues
from recipes.build.pipeline import find_bundle, take_bundle
from recipes.cli.build import pinned_platforms
from recipes.cli.job import open_job
from recipes.cli.options import Parser, Session, add_permit, add_platform, refuse_beside
from recipes.core.errors import BundleMissingError
from recipes.core.invocation import command_line, typed_options
from recipes.registry.reference import Reference, Repository, parse_reference
from recipes.serve.container.compose import compose_image, pin_command
from recipes.serve.container.layout import platform_of, write_layout
from recipes.serve.container.push import push_images
from recipes.serve.model_choice import ready_model

if TYPE_CHECKING:
    from collections.abc import Iterator

    from recipes.build.context import Job
    from recipes.serve.container.compose import Image
    from recipes.serve.model_choice import ReadyModel

LAYOUT = "oci:"
TAG = "image-"  # what the tags of images begin with, where bundles lie in the same repository


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
    add_permit(parser)


def run(options: argparse.Namespace) -> int:
    """Make images, bring them to their place, and print their digests."""
    if options.all_platforms:
        refuse_beside(options, "image", "--all-platforms", ("platform",), "the first takes each platform")
    job = open_job(options)
    permitted = demand_no_known_issues(job, permit=options.permit)
    job = replace(job, permitted=permitted)
    model = ready_model(job, job.manifests.model(options.with_model)) if options.with_model else None
    with ExitStack() as stack:
        images = [_image(each, stack, model) for each in _jobs(job, is_all=options.all_platforms)]
        to = options.to
        if to.folder is not None:
            name, index = write_layout(to.folder, images)
            places = f"{LAYOUT}{to.folder}:{name}"
            print(f"index:    {places} ({index.digest})")
        else:
            name = to.tag or f"{TAG}{images[0].tag}"
            places = f"{to.repository}:{name}"
            push_images(job, to.repository, images, name)
            print(f"index:    {places}")
        for image in images:
            state = "the pinned one" if image.pinned else f"not pinned: {_why_unpinned(job, image, model)}"
            print(f"image:    {places}-{platform_of(image)}")
            print(f"digest:   {image.sha256} ({state})")
    return 0


def _jobs(job: Job, *, is_all: bool) -> Iterator[Job]:
    if not is_all:
        yield job
        return
    for name in pinned_platforms(job):
        each = replace(job, platform_name=name)
        if each.plan().system == "linux":
            yield each
        else:
            job.console.say(f"{name} is left out: containers are Linux's")


def _image(job: Job, stack: ExitStack, model: ReadyModel | None) -> Image:
    plan = job.plan()
    bundle = find_bundle(job, plan) or take_bundle(job, plan)
    if bundle is None:
        same = ("--recipe", plan.recipe, "--platform", plan.platform)
        raise BundleMissingError(
            where=f"{plan.name}, in {job.store.root}",
            expected="the bundle that is put into the image",
            found="it was not built here",
            fix=command_line(("build", *same, *typed_options("--project"))),
        )
    work = stack.enter_context(job.store.scratch(f"image-{plan.digest.hex[:32]}"))
    with job.console.task(f"image of {plan.name}", None):
        return compose_image(job, bundle, work, model)


def _why_unpinned(job: Job, image: Image, model: ReadyModel | None) -> str:
    if model is not None:
        return f"{model.name} is in it"
    return f"pin it with {pin_command(replace(job, platform_name=platform_of(image)))}"


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
