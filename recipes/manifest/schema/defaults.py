"""What a command without options means."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta, Struct

from recipes.manifest.schema.words import CacheAddress, Name, RelativePath


class Defaults(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a command without options means, and what it may do."""

    schema: Annotated[str, Meta(pattern="^defaults/1$", description="the format of this file")]
    recipe: Name
    model: Annotated[
        Name | None,
        Meta(description="the model that conformance asks, and that needs no download"),
    ] = None
    served: Annotated[
        tuple[Name, ...],
        Meta(description="the models of `serve` and `ask`, the best first: the first that fits into memory"),
    ] = ()
    platforms: Annotated[
        dict[Name, Name], Meta(description="the default platform of each machine, as system-arch")
    ]
    caches: Annotated[
        tuple[CacheAddress, ...],
        Meta(description="repositories of registries that `build` asks first, in order, for what is pinned"),
    ] = ()
    image: Annotated[
        Name | None, Meta(description="what container images are made on: a manifest in manifests/images/")
    ] = None
    cache_policy: Annotated[
        RelativePath | None,
        Meta(description="the policy, below manifests/, by whose signatures they may also give what is not"),
    ] = None
