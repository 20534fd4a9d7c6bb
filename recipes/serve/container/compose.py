"""Composes the image of a bundle: what it links, the bundle, and a model where one is asked for."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from recipes.build.audit.elf.facts import inspect, is_elf
from recipes.build.publications import target_platform
from recipes.build.sharing.stages import DESCRIPTION, LICENCES, annotations_of
from recipes.core.errors import ManifestError, PinMissingError, UsageError, VerifyError
from recipes.core.invocation import command_line
from recipes.fetch.debian_archives import archives, candidates
from recipes.fetch.fetcher import Fetcher
from recipes.fetch.http.response_rules import BlobPin
from recipes.registry.documents import MANIFEST_TYPE, Descriptor, describe
from recipes.registry.tree import PLATFORM, TREE
from recipes.serve.container.debian import read_package
from recipes.serve.container.document import (
    FOLDER,
    GROUPS,
    HOME,
    MODELS,
    MOUNTED,
    PROGRAM,
    USERS,
    image_config,
    image_manifest,
    image_title,
    licences_of,
    model_arguments,
)
from recipes.serve.container.layers import Layer, Member, members_of, write_layer
from recipes.serve.model_choice import CONTEXT_TOKENS

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from recipes.build.context import Job
    from recipes.build.pipeline import Bundle
    from recipes.core.digest import Sha256
    from recipes.manifest.schema import ImageBase, ImagePackage
    from recipes.serve.model_choice import ReadyModel

# of layers that no recipe has a part in: a new recipe's images share them with the old one's
FIXED_TIME_S = 0


@dataclass(frozen=True)
class ModelLayer:
    """A model as a layer, the same for every recipe and platform."""

    name: str
    layer: Layer
    arguments: tuple[str, ...]


@dataclass(frozen=True)
class Image:
    """An image: its manifest and configuration, and the files of its layers.

    `pinned` is the digest that the recipe pins for it; None where it pins none, or a model is in it.
    """

    name: str
    tag: str
    manifest: bytes
    config: bytes
    layers: tuple[Layer, ...]
    descriptor: Descriptor
    pinned: Sha256 | None

    @property
    def sha256(self) -> Sha256:
        """The digest that names it."""
        return self.descriptor.sha256


def compose_model(model: ReadyModel, work: Path) -> ModelLayer:
    """Return a verified model as a layer, written into a folder."""
    files = {"model.gguf": model.path, "mmproj.gguf": model.mmproj}
    members = [Member(f"{MODELS}/{name}", path) for name, path in files.items() if path is not None]
    arguments = model_arguments(model.context, images=model.mmproj is not None, alias=model.name)
    return ModelLayer(model.name, write_layer(work / "model.tar", members, FIXED_TIME_S), arguments)


def compose_image(job: Job, bundle: Bundle, work: Path, model: ModelLayer | None = None) -> Image:
    """Return the image of a bundle, its layers written into a folder.

    1. Read what the image is made on, and the packages of it.
    2. Look whether each library that the bundle needs is in them.
    3. Write the layers: what is linked, and the bundle; the model's is there.
    4. Compare with the pinned digest.

    Raises UsageError where the platform cannot be in an image, VerifyError where the image is not the pinned one or
    would lack a library, and what fetching raises.
    """
    base, plan, recipe = image_base(job), bundle.plan, job.recipe
    packages = base.machines.get(f"{plan.system}-{plan.machine}")
    if packages is None:
        raise UsageError(
            where=f"image: {plan.name}",
            expected=f"a platform of {', '.join(base.machines)}",
            found=f"{plan.system}-{plan.machine}",
            fix="choose another --platform: containers are Linux's",
        )
    linked = list(_base_members(job, base, packages))
    check_linked(bundle.entry.path, linked, plan.name)
    layers = (
        write_layer(work / "base.tar", linked, FIXED_TIME_S),
        write_layer(work / "bundle.tar", members_of(bundle.entry.path, FOLDER), recipe.source.epoch),
        *((model.layer,) if model else ()),
    )
    labels = annotations_of(recipe, image_title(plan.recipe, plan.platform, model.name if model else None))
    del labels[DESCRIPTION]  # it may be worded anew, and the image stay the same
    labels |= {LICENCES: licences_of(labels[LICENCES], packages), TREE: bundle.entry.tree.hex}
    arguments = model.arguments if model else model_arguments(CONTEXT_TOKENS)
    config = image_config(
        target_platform(plan), layers, labels, base, environment=job.platform.environment, arguments=arguments
    )
    manifest = image_manifest(config, layers, labels)
    descriptor = describe(
        manifest, MANIFEST_TYPE, platform=target_platform(plan), annotations={PLATFORM: plan.platform}
    )
    pinned = job.platform.image if bundle.pinned and model is None else None
    if pinned not in {None, descriptor.sha256}:
        raise VerifyError(
            where=f"{job.where}: platforms.{job.platform_name}.image",
            expected=str(pinned),
            found=str(descriptor.sha256),
            fix=(
                "take back what was changed of manifests/images or of the code that lays images out;\n"
                f"or pin the new one: {pin_command(job)}"
            ),
        )
    tag = f"{plan.recipe}-{model.name}" if model else plan.recipe
    return Image(plan.name, tag, manifest, config, layers, descriptor, pinned)


def image_base(job: Job) -> ImageBase:
    """Return what images are made on; raises PinMissingError where the defaults name nothing."""
    name = job.manifests.defaults().image
    if name is None:
        raise PinMissingError(
            where="manifests/defaults.yaml: image",
            expected="what images are made on: a manifest of manifests/images/",
            found="nothing is named",
            fix="write `image: NAME` there",
        )
    return job.manifests.image_base(name)


def pin_command(job: Job) -> str:
    """Return the command that pins an image."""
    chosen = ("--recipe", job.recipe.name, "--platform", job.platform_name)
    return command_line(("lock", *chosen, "--image", "--write"))


def _base_members(job: Job, base: ImageBase, packages: Sequence[ImagePackage]) -> Iterator[Member]:
    yield Member("etc/passwd", USERS)
    yield Member("etc/group", GROUPS)
    yield Member(HOME.strip("/"), is_shared=True)
    yield from (Member(place) for place in MOUNTED)
    fetcher, bases = Fetcher.of(job), archives(job.settings)
    for package in packages:
        where = f"manifests/images/{base.name}.yaml: {package.package}"
        pin = BlobPin(package.sha256, package.size_bytes)
        path = fetcher.fetch_blob(pin, candidates(package.pool, bases), where)
        try:
            found = read_package(path, package.take.keys())
        except ValueError as error:
            raise ManifestError(
                where=where,
                expected=f"a Debian package with {', '.join(package.take)}",
                found=str(error),
                fix="correct `take:`, or the pin of the package",
            ) from error
        for source, target in package.take.items():
            content, is_program = found[source]
            yield Member(target, content, is_program)


def check_linked(bundle: Path, linked: Sequence[Member], name: str) -> None:
    """Demand a server in a bundle, and all that its files need in the image; raises VerifyError."""
    there = {member.name.rpartition("/")[2] for member in linked}
    places = {f"/{member.name}" for member in linked}
    files = {path.relative_to(bundle).as_posix(): path for path in bundle.rglob("*") if path.is_file()}
    own = {file.rpartition("/")[2] for file in files}
    if PROGRAM not in files:
        raise VerifyError(
            where=f"image: {name}",
            expected=f"{PROGRAM} in the bundle, which the image starts",
            found="a bundle without it",
            fix="choose a recipe that builds it",
        )
    for file, path in sorted(files.items()):
        if not is_elf(path):
            continue
        facts = inspect(path, file)
        absent = sorted(set(facts.needed) - there - own)
        if facts.interpreter and facts.interpreter not in places:
            absent.append(facts.interpreter)
        if absent:
            raise VerifyError(
                where=f"image: {name}: {file}",
                expected="all that it links in the bundle or in what the image is made on",
                found=f"not there: {', '.join(absent)}",
                fix="run this platform outside of a container, or add a package with it to manifests/images",
            )
