"""What container images are made on."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta, Struct

from recipes.core.digest import Sha256
from recipes.manifest.schema.words import Name, RelativePath, SizeBytes, Text


class ImagePackage(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A Debian package of which some files go into a container image."""

    package: Annotated[Name, Meta(description="the package's name")]
    version: Annotated[Text, Meta(description="its version")]
    pool: Annotated[RelativePath, Meta(description="where it is below the address of a Debian archive")]
    size_bytes: SizeBytes
    sha256: Annotated[Sha256, Meta(description="of the package's bytes")]
    licence: Annotated[
        Text | None,
        Meta(
            description="of the files that are taken, as SPDX writes it; none where they are texts of licences"
        ),
    ] = None
    take: Annotated[
        dict[RelativePath, RelativePath],
        Meta(min_length=1, description="a file of the package, and where it lies in the image"),
    ]


class ImageBase(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a container image has beside the bundle: what the bundle links, and what asks it whether it is healthy."""

    schema: Annotated[str, Meta(pattern="^image/1$", description="the format of this file")]
    name: Name
    summary: Text
    health: Annotated[
        tuple[Text, ...],
        Meta(description="the command of the image that succeeds where the server is healthy"),
    ] = ()
    machines: Annotated[
        dict[Name, tuple[ImagePackage, ...]],
        Meta(min_length=1, description="the packages of each machine, as system-arch"),
    ]
