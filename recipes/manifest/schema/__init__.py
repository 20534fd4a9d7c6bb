"""The shape of a manifest, as types. The published JSON Schema and the reference page come from here.

Every scalar of a manifest is read as text (see `recipes.manifest.strict_yaml`) and converted by these types, so that
`1.10` stays a version and `0123456` stays a commit.

A module for each subject; who reads manifests imports this package.
"""

from recipes.manifest.schema.advisory import Advisory, AffectedRange, Standing
from recipes.manifest.schema.component import (
    Component,
    Components,
    Listed,
    PagePackages,
    PinnedTexts,
    TextPart,
    VersionIn,
)
from recipes.manifest.schema.conversion import AnyManifest, convert, json_schema
from recipes.manifest.schema.defaults import Defaults
from recipes.manifest.schema.image import ImageBase, ImagePackage
from recipes.manifest.schema.model import Baseline, Memory, Model, ModelFile
from recipes.manifest.schema.recipe import (
    BundleContents,
    CompileFlags,
    HostBuild,
    KernelTests,
    Page,
    Platform,
    Recipe,
)
from recipes.manifest.schema.source import ArchiveOrigin, GitOrigin, Origin, Patch, PypiOrigin, Source
from recipes.manifest.schema.toolchain import HostTool, Toolchain, Wheel
from recipes.manifest.schema.words import (
    CacheAddress,
    CmakeValue,
    Day,
    GitDirectory,
    Justification,
    Name,
    PackageUrl,
    PatchNumber,
    RelativePath,
    Repository,
    SizeBytes,
    Text,
    Url,
    Version,
)

__all__ = [
    "Advisory",
    "AffectedRange",
    "AnyManifest",
    "ArchiveOrigin",
    "Baseline",
    "BundleContents",
    "CacheAddress",
    "CmakeValue",
    "CompileFlags",
    "Component",
    "Components",
    "Day",
    "Defaults",
    "GitDirectory",
    "GitOrigin",
    "HostBuild",
    "HostTool",
    "ImageBase",
    "ImagePackage",
    "Justification",
    "KernelTests",
    "Listed",
    "Memory",
    "Model",
    "ModelFile",
    "Name",
    "Origin",
    "PackageUrl",
    "Page",
    "PagePackages",
    "Patch",
    "PatchNumber",
    "PinnedTexts",
    "Platform",
    "PypiOrigin",
    "Recipe",
    "RelativePath",
    "Repository",
    "SizeBytes",
    "Source",
    "Standing",
    "Text",
    "TextPart",
    "Toolchain",
    "Url",
    "Version",
    "VersionIn",
    "Wheel",
    "convert",
    "json_schema",
]
