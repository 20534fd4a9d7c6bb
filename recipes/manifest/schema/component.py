"""Whose work a file is, and where its licence is."""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import Meta, Struct

from recipes.core.digest import Sha256
from recipes.manifest.schema.words import Name, RelativePath, Text


class TextPart(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A file, or the lines of it from one with some words to the next one with others, both included."""

    file: Annotated[Text, Meta(description="of the source, or below {toolchain}/")]
    begins: Annotated[Text | None, Meta(description="words of its first line; none: the file's first")] = None
    ends: Annotated[Text | None, Meta(description="words of its last line; none: the file's last")] = None


class VersionIn(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Where a file says which version it is."""

    file: Annotated[Text, Meta(description="of the source, or below {toolchain}/")]
    pattern: Annotated[Text, Meta(description="a regular expression whose groups are its numbers")]


class PinnedTexts(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Texts that no file of the source has, kept in this project: sections `## NAME - VERSION (LICENCE)`."""

    file: Annotated[RelativePath, Meta(description="below manifests/components/")]
    sha256: Annotated[Sha256, Meta(description="of the file's bytes")]


class PagePackages(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The npm packages of a web page: those that its bundler listed, or those of the lock that its code imports."""

    listed: Annotated[
        RelativePath | None,
        Meta(description="the bundler's list: `## NAME - VERSION (LICENCE)`, and the text"),
    ] = None
    lock: Annotated[
        RelativePath | None,
        Meta(description="the folder of its package-lock.json, which has their digests and licences"),
    ] = None
    also: Annotated[tuple[Text, ...], Meta(description="packages that it holds, and that neither names")] = ()
    licences: Annotated[
        dict[Text, Text], Meta(description="of packages whose licence the lock does not name")
    ] = {}
    texts: Annotated[
        PinnedTexts | None, Meta(description="the licences of packages whose texts the source does not have")
    ] = None


class Component(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A work of somebody's own: which files are its, and where its licence is."""

    name: Annotated[Name, Meta(description="as its authors call it")]
    licence: Annotated[Text, Meta(description="an SPDX expression")]
    files: Annotated[
        tuple[Text, ...],
        Meta(
            description="patterns of paths, * is any text: of the source, or of {build}, {toolchain} or {sdk}"
        ),
    ] = ()
    within: Annotated[
        tuple[Text, ...], Meta(description="files of other components that hold a part of it")
    ] = ()
    linked: Annotated[
        tuple[Literal["linux", "macos", "windows"], ...],
        Meta(description="the systems on which the compiler links it into every file"),
    ] = ()
    text: Annotated[
        tuple[tuple[TextPart, ...], ...],
        Meta(description="where its licence's text is: the first whose files are all there"),
    ] = ()
    interface: Annotated[
        bool, Meta(description="only declarations of it are used, so that no text of it is shipped")
    ] = False
    notices: Annotated[
        tuple[Text, ...] | None,
        Meta(
            description="words of its own copyright notices: any other in its files is one of a component not listed"
        ),
    ] = None
    version: Annotated[
        tuple[VersionIn, ...] | None,
        Meta(description="where it says its version, the first that is there; none: that of what it is in"),
    ] = None
    purl: Annotated[Text | None, Meta(description="its package URL, without a version")] = None
    packages: Annotated[
        tuple[PagePackages, ...], Meta(description="of a web page: the first whose files are there")
    ] = ()


class Components(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The components of a source or a toolchain; the first whose patterns match a file has it."""

    schema: Annotated[str, Meta(pattern="^components/1$", description="the format of this file")]
    name: Annotated[Name, Meta(description="the file's name without its ending")]
    summary: Text
    components: Annotated[tuple[Component, ...], Meta(min_length=1, description="in the order of asking")]


# no pattern on the name: msgspec 0.22.0 frees the expression of a text in a union twice, which ends the process
Listed = Annotated[
    str | tuple[Component, ...],
    Meta(description="what files are of which component: a manifest in manifests/components/, or the list"),
]
