"""The files of a model, and what loads them."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta, Struct

from recipes.core.digest import Sha1, Sha256
from recipes.manifest.schema.words import CmakeValue, Name, RelativePath, Repository, SizeBytes, Text, Url


class ModelFile(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One file of a model: in this repository, or in the model's repository of the hub."""

    role: Annotated[
        str, Meta(pattern="^(model|mmproj)$", description="the language model, or the projector for images")
    ]
    path: Annotated[RelativePath | None, Meta(description="where it lies in this repository")] = None
    file: Annotated[RelativePath | None, Meta(description="its name in the repository of the hub")] = None
    size_bytes: Annotated[
        SizeBytes | None,
        Meta(description="absent only where the bytes were never seen: then max_bytes caps the download"),
    ] = None
    max_bytes: Annotated[
        SizeBytes | None, Meta(description="cap of the download where the size is not known")
    ] = None
    sha256: Annotated[Sha256 | None, Meta(description="of the file's bytes")] = None
    unlocked: Annotated[
        Text | None,
        Meta(description="why there is no sha256; such a file is refused until `lock` has pinned it"),
    ] = None
    quantisation: Annotated[Name, Meta(description="the type of its matrices")]


class Memory(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a model needs to run, as an estimate; `models -- inspect` computes it from the files."""

    size_bytes: Annotated[int, Meta(ge=1, le=1 << 40, description="with the projector, all files and caches")]
    context: Annotated[int, Meta(ge=1, description="the tokens of context that it is for")]


class Baseline(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A llama.cpp from before it knew the model's architecture: it must refuse the model in words."""

    recipe: Annotated[Name, Meta(description="a manifest in manifests/recipes/")]
    patches: Annotated[int, Meta(ge=0, description="how many of its patches are applied, from the first")]
    target: Annotated[
        Name, Meta(description="the one program that is built, which takes `-m` and a model's file")
    ]
    cmake: Annotated[
        dict[Name, CmakeValue],
        Meta(description="options with another value than the recipe's, so that less is compiled"),
    ] = {}
    says: Annotated[Text, Meta(description="what it must say")]


class Model(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A model: its files, and what a reference says of it."""

    schema: Annotated[str, Meta(pattern="^model/1$", description="the format of this file")]
    name: Annotated[Name, Meta(description="the file's name without its ending")]
    summary: Annotated[Text, Meta(description="what it is, in a line")]
    architecture: Annotated[Name, Meta(description="its name in GGUF")]
    projector: Annotated[Name, Meta(description="the projector's type in GGUF")]
    licence: Annotated[Text, Meta(description="its SPDX identifier")]
    memory: Memory | None = None
    hub: Annotated[Url | None, Meta(description="the model hub that has its repository")] = None
    repository: Annotated[Repository | None, Meta(description="its repository there, as OWNER/NAME")] = None
    revision: Annotated[Sha1 | None, Meta(description="the repository's commit")] = None
    revision_unlocked: Annotated[
        Text | None,
        Meta(description="why there is no revision: then the newest is asked, and the digests decide"),
    ] = None
    taken_from: Annotated[
        Text | None,
        Meta(description="of a user's own model that no hub has: the folder that its files were taken from"),
    ] = None
    golden: Annotated[
        RelativePath | None, Meta(description="the reference's values, which conformance compares with")
    ] = None
    baseline: Annotated[
        Baseline | None, Meta(description="what must refuse it; none where every llama.cpp knows it")
    ] = None
    files: Annotated[tuple[ModelFile, ...], Meta(min_length=2, description="one of each role")]
