"""The wheels that a compiler and its tools are in."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta, Struct

from recipes.core.digest import Sha256
from recipes.manifest.schema.component import Listed
from recipes.manifest.schema.words import Name, SizeBytes, Text


class Wheel(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One file of the Python package index that carries a tool."""

    project: Annotated[Name, Meta(description="the package's name")]
    version: Annotated[Name, Meta(description="its version")]
    file: Annotated[Name, Meta(description="the file's name in the index")]
    size_bytes: SizeBytes
    sha256: Annotated[Sha256, Meta(description="of the file's bytes")]


class HostTool(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A program of the building machine; what it says of itself is recorded with each build."""

    ask: Annotated[
        tuple[Text, ...],
        Meta(min_length=1, description="the program by its full path, and what makes it speak"),
    ]
    what: Annotated[Text, Meta(description="what it is, for the error where it is missing")]
    install: Annotated[
        Text | None, Meta(description="how to install it; without it a build does without the tool")
    ] = None


class Toolchain(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Compiler, CMake and ninja, pinned per host, or taken from the host and recorded; or what builds a page."""

    schema: Annotated[str, Meta(pattern="^toolchain/1$", description="the format of this file")]
    name: Name
    kind: Annotated[
        str,
        Meta(
            pattern="^(zig|host|node)$",
            description="zig: hermetic, from wheels; host: found on the machine; node: builds web pages",
        ),
    ]
    summary: Text
    compiler: Annotated[Text, Meta(description="what the compiler says of itself, for people")]
    cxx_flags: Annotated[
        tuple[Text, ...],
        Meta(description="added to every C++ compilation, that of zig's own runtime libraries included"),
    ] = ()
    components: Annotated[
        Listed | None, Meta(description="of its headers and runtime libraries; none: none of it is shipped")
    ] = None
    tools: Annotated[
        tuple[HostTool, ...], Meta(description="of kind `host`: what is used of the machine, in this order")
    ] = ()
    hosts: Annotated[
        dict[Name, tuple[Wheel, ...]],
        Meta(description="the wheels of each machine that can build, as system-arch"),
    ]
    # no part of a plan: it says of the same bytes as the wheels' digests what they are once they are unpacked
    trees: Annotated[
        dict[Name, Sha256],
        Meta(description="the tree digest of what each machine's wheels unpack to; `lock` computes it"),
    ] = {}
