"""The bill of materials of a bundle, as CycloneDX: whose works it is made of, by what, and patched how. Pure.

It is derived from what was compiled and linked; equal bundles have equal bytes: it has no time but the source's own.
"""

from __future__ import annotations

from base64 import b64decode
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING
from uuid import NAMESPACE_URL, uuid5

from recipes.manifest.affected import LLAMA_CPP, package_urls

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from cyclonedx.model import HashType, Property
    from cyclonedx.model.component import Component as Part
    from cyclonedx.model.component import Pedigree
    from cyclonedx.model.license import License

    from recipes.build.components.attribution import Used
    from recipes.build.components.page_packages import Package
    from recipes.build.plan.plan import Plan
    from recipes.core.digest import Sha256
    from recipes.manifest.schema import Model, Recipe, Wheel

PROPERTY = "pinned-llama:"
# what the references of works and of a page's packages begin with
WORK, PACKAGE = "component:", "npm:"
SHA512 = "sha512-"


@dataclass(frozen=True)
class Materials:
    """What a bundle is made of.

    `versions` are those that components say of themselves, by name; `tools` the wheels that built it; `models` what
    this project pins for it to load, which is in no bundle.
    """

    plan: Plan
    recipe: Recipe
    tree: Sha256
    used: Sequence[Used]
    versions: Mapping[str, str]
    packages: Sequence[Package]
    tools: Sequence[Wheel]
    models: Sequence[Model]


def sbom(materials: Materials) -> bytes:
    """Return the bill of materials as CycloneDX 1.6, in JSON."""
    # some 100 ms to import, and only who builds needs it
    from cyclonedx.model.bom import Bom, BomMetaData
    from cyclonedx.output.json import JsonV1Dot6

    plan = materials.plan
    root = _bundle(materials)
    parts = list(_works(materials))
    packages = [_package(each) for each in materials.packages]
    tools = [_tool(wheel) for wheel in materials.tools]
    models = [_model(model) for model in materials.models]
    bom = Bom(
        serial_number=uuid5(NAMESPACE_URL, f"{plan.digest.hex} {materials.tree.hex}"),
        metadata=BomMetaData(
            timestamp=datetime.fromtimestamp(materials.recipe.source.epoch, UTC), component=root
        ),
        components=[*parts, *packages, *tools, *models],
    )
    bom.register_dependency(root, parts)
    pages = [part for part in parts if part.name in _pages(materials)]
    for part in parts:
        bom.register_dependency(part, packages if part in pages else ())
    return JsonV1Dot6(bom).output_as_string(indent=1).encode() + b"\n"


def _pages(materials: Materials) -> set[str]:
    return {each.component.name for each in materials.used if each.component.packages}


def _bundle(materials: Materials) -> Part:
    from cyclonedx.model.component import Component, ComponentType

    plan = materials.plan
    return Component(
        name=plan.name,
        type=ComponentType.APPLICATION,
        version=plan.version,
        bom_ref=plan.name,
        hashes=[_hash("SHA-256", materials.tree.hex)],
        properties=[_property("plan", plan.digest.hex)],
    )


def _works(materials: Materials) -> Iterator[Part]:
    """Return each work that is in the bundle, llama.cpp itself with its commit and patches."""
    from cyclonedx.model.component import Component
    from packageurl import PackageURL

    for each in materials.used:
        component = each.component
        version = materials.versions.get(component.name, "")
        url = component.purl and (f"{component.purl}@{version}" if version else component.purl)
        # a recipe without a table of components is one, with the recipe's name
        is_own = component.name in {LLAMA_CPP, materials.recipe.name}
        if component.name == LLAMA_CPP:
            url = package_urls(materials.recipe)[LLAMA_CPP]
            version = f"b{materials.recipe.source.build_number}"
        yield Component(
            name=component.name,
            version=version or None,
            bom_ref=f"{WORK}{component.name}",
            purl=PackageURL.from_string(url) if url else None,
            licenses=_licences(component.licence),
            pedigree=_pedigree(materials) if is_own else None,
            properties=[
                *(_property("in", name) for name in each.shipped),
                _property("files", str(len(each.files))),
                *([_property("declarations", "only")] if component.interface else []),
                *(_tree_properties(materials) if is_own else ()),
            ],
        )


def _tree_properties(materials: Materials) -> Iterator[Property]:
    inputs = materials.plan.inputs
    yield _property("tree", inputs.source_tree.hex)
    yield _property("tree-sha256", inputs.source_tree_sha256.hex)
    yield _property("patched-tree-sha256", inputs.patched_tree_sha256.hex)


def _pedigree(materials: Materials) -> Pedigree:
    from cyclonedx.model import AttachedText, XsUri
    from cyclonedx.model.component import Commit, Diff, Patch, PatchClassification, Pedigree

    source = materials.recipe.source
    url = f"{source.repository}/commit/{source.commit.hex}"
    patches = [
        Patch(
            type=PatchClassification.UNOFFICIAL,
            diff=Diff(
                text=AttachedText(content=f"patches/{patch.file} sha256:{patch.sha256.hex}"),
                url=XsUri(patch.upstream),
            ),
        )
        for patch in materials.recipe.patches
    ]
    return Pedigree(commits=[Commit(uid=source.commit.hex, url=XsUri(url))], patches=patches)


def _package(package: Package) -> Part:
    from cyclonedx.model.component import Component
    from packageurl import PackageURL

    group, _, name = package.name.rpartition("/")
    is_pinned = package.integrity.startswith(SHA512)
    digest = b64decode(package.integrity.removeprefix(SHA512)).hex() if is_pinned else ""
    return Component(
        name=name,
        group=group or None,
        version=package.version,
        bom_ref=f"{PACKAGE}{package.name}@{package.version}",
        purl=PackageURL("npm", group or None, name, package.version),
        licenses=_licences(package.licence),
        hashes=[_hash("SHA-512", digest)] if digest else [],
    )


def _tool(wheel: Wheel) -> Part:
    from cyclonedx.model.component import Component, ComponentScope, ComponentType
    from packageurl import PackageURL

    return Component(
        name=wheel.project,
        type=ComponentType.APPLICATION,
        version=wheel.version,
        scope=ComponentScope.EXCLUDED,  # it built the bundle, and is not in it
        bom_ref=f"pypi:{wheel.file}",
        purl=PackageURL("pypi", None, wheel.project, wheel.version, {"file_name": wheel.file}),
        hashes=[_hash("SHA-256", wheel.sha256.hex)],
    )


def _model(model: Model) -> Part:
    from cyclonedx.model.component import Component, ComponentScope, ComponentType

    files = [
        Component(
            name=file.file or file.path or file.role,
            type=ComponentType.FILE,
            bom_ref=f"model:{model.name}:{file.role}",
            hashes=[_hash("SHA-256", file.sha256.hex)] if file.sha256 else [],
            properties=[_property("quantisation", file.quantisation), _property("role", file.role)],
        )
        for file in model.files
    ]
    return Component(
        name=model.name,
        type=ComponentType.MACHINE_LEARNING_MODEL,
        version=model.revision.hex if model.revision else None,
        scope=ComponentScope.OPTIONAL,  # what the bundle can load, and has not in it
        bom_ref=f"model:{model.name}",
        licenses=_licences(model.licence),
        components=files,
        properties=[_property("architecture", model.architecture)],
    )


def _licences(expression: str) -> list[License]:
    from cyclonedx.contrib.license.factories import LicenseFactory

    known = expression not in {"", "NOASSERTION"}
    return [LicenseFactory().make_from_string(expression)] if known else []


def _hash(algorithm: str, digest: str) -> HashType:
    from cyclonedx.model import HashAlgorithm, HashType

    return HashType(alg=HashAlgorithm(algorithm), content=digest)


def _property(name: str, value: str) -> Property:
    from cyclonedx.model import Property

    return Property(name=f"{PROPERTY}{name}", value=value)
