"""Composes the image of a bundle: what it links, the bundle, and a model where one is asked for."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from recipes.build.audit.elf.facts import inspect, is_elf
from recipes.build.publications import annotations_of, target_platform
from recipes.core.errors import ManifestError, PinMissingError, UsageError, VerifyError
from recipes.fetch.fetcher import Candidate, Fetcher
from recipes.fetch.http.network_errors import shown_url
from recipes.fetch.http.response_rules import BlobPin
from recipes.registry.documents import MANIFEST_TYPE, Descriptor, describe
from recipes.registry.tree import PLATFORM
from recipes.serve.container.debian import read_package
from recipes.serve.container.document import (
    FOLDER,
    GROUPS,
    MODELS,
    USERS,
    image_config,
    image_manifest,
)
from recipes.serve.container.layers import Layer, Member, members_of, write_layer

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from recipes.build.context import Job
    from recipes.build.pipeline import Bundle
    from recipes.core.digest import Sha256
    from recipes.manifest.schema import ImageBase, ImagePackage
    from recipes.serve.model_choice import ReadyModel


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


def compose_image(job: Job, bundle: Bundle, work: Path, model: ReadyModel | None = None) -> Image:
    """Return the image of a bundle, its layers written into a folder.

    1. Read what the image is made on, and the packages of it.
    2. Write the layers: what is linked, the bundle, and the model where there is one.
    3. Look whether each library that the bundle needs is in them.
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
    contents = {
        "base": linked,
        "bundle": list(members_of(bundle.entry.path, FOLDER)),
        **({"model": list(_model_members(model))} if model else {}),
    }
    check_linked(bundle.entry.path, linked, plan.name)
    layers = tuple(
        write_layer(work / f"{name}.tar", members, recipe.source.epoch) for name, members in contents.items()
    )
    labels = {
        **annotations_of(recipe, f"llama-server {plan.recipe} for {plan.platform}"),
        "pinned-llama.tree": bundle.entry.tree.hex,
        **({"pinned-llama.model": model.name} if model else {}),
    }
    config = image_config(target_platform(plan), layers, labels, base, job.platform.environment)
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
    chosen = f"--recipe {job.recipe.name} --platform {job.platform_name}"
    return f"python3 noxfile.py -s lock -- {chosen} --image --write"


def _base_members(job: Job, base: ImageBase, packages: Sequence[ImagePackage]) -> Iterator[Member]:
    yield Member("etc/passwd", USERS)
    yield Member("etc/group", GROUPS)
    yield Member("tmp", None)
    fetcher = Fetcher.of(job)
    for package in packages:
        where = f"manifests/images/{base.name}.yaml: {package.package}"
        candidates = [Candidate(shown_url(origin), origin) for origin in package.origins]
        path = fetcher.fetch_blob(BlobPin(package.sha256, package.size_bytes), candidates, where)
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


def _model_members(model: ReadyModel) -> Iterator[Member]:
    yield Member(f"{MODELS}/model.gguf", model.path)
    if model.mmproj is not None:
        yield Member(f"{MODELS}/mmproj.gguf", model.mmproj)


def check_linked(bundle: Path, linked: Sequence[Member], name: str) -> None:
    """Demand that all that a bundle's files need is in the image; raises VerifyError."""
    there = {member.name.rpartition("/")[2] for member in linked}
    places = {f"/{member.name}" for member in linked}
    files = {path.relative_to(bundle).as_posix(): path for path in bundle.rglob("*") if path.is_file()}
    own = {file.rpartition("/")[2] for file in files}
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
