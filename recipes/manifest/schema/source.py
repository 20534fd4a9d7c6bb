"""Where a source is from, and the patches on it."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta, Struct

from recipes.core.digest import Sha1, Sha256
from recipes.manifest.schema.words import GitDirectory, Name, RelativePath, SizeBytes, Text, Url


class PypiOrigin(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="kind", tag="pypi"):
    """A file of the Python package index that carries the source in a subdirectory."""

    project: Annotated[Name, Meta(description="the package's name")]
    version: Annotated[Name, Meta(description="its version")]
    file: Annotated[Name, Meta(description="the file's name in the index")]
    size_bytes: SizeBytes
    sha256: Annotated[Sha256, Meta(description="of the file's bytes")]
    subdirectory: Annotated[RelativePath, Meta(description="where the source lies in the archive")]
    drop: Annotated[
        tuple[RelativePath, ...],
        Meta(description="files in it that are not part of the commit, such as a stray .git"),
    ] = ()
    git_directory: GitDirectory = None


class ArchiveOrigin(
    Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="kind", tag="archive"
):
    """A plain archive at an address."""

    url: Url
    sha256: Annotated[Sha256, Meta(description="of the file's bytes")]
    size_bytes: Annotated[
        SizeBytes | None,
        Meta(description="absent only where the bytes were never seen: then max_bytes caps the download"),
    ] = None
    max_bytes: Annotated[
        SizeBytes | None, Meta(description="cap of the download where the size is not known")
    ] = None
    subdirectory: Annotated[RelativePath, Meta(description="where the source lies in the archive")]
    drop: Annotated[
        tuple[RelativePath, ...], Meta(description="files in it that are not part of the commit")
    ] = ()
    git_directory: GitDirectory = None


class GitOrigin(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="kind", tag="git"):
    """A git repository, fetched by the source's full commit id: it verifies itself, and the tree is checked too."""

    url: Annotated[str, Meta(pattern=r"^(https?|file)://[^\s]+$", description="the repository's address")]


Origin = PypiOrigin | ArchiveOrigin | GitOrigin


class Source(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One upstream commit, and the places it can come from."""

    repository: Annotated[Url, Meta(description="where upstream lives, for people")]
    commit: Annotated[Sha1, Meta(description="the upstream commit")]
    build_number: Annotated[int, Meta(ge=0, description="what `--version` prints as the build")]
    tree: Annotated[Sha1, Meta(description="git's tree id of the source, as upstream's commit names it")]
    tree_sha256: Annotated[Sha256, Meta(description="the same tree in git's SHA-256 object format")]
    epoch: Annotated[
        int, Meta(ge=0, description="seconds since 1970 given to the build as SOURCE_DATE_EPOCH")
    ]
    licence: Annotated[Text, Meta(description="its SPDX identifier")]
    origins: Annotated[
        tuple[Origin, ...], Meta(min_length=1, description="tried in order; all give the same tree")
    ]


class Patch(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One patch of the series, in order."""

    file: Annotated[RelativePath, Meta(description="below patches/")]
    sha256: Annotated[Sha256, Meta(description="of the file's bytes")]
    reason: Annotated[Text, Meta(description="why the source needs it")]
    upstream: Annotated[Url, Meta(description="where upstream discusses or fixed it, or the code it fixes")]
    tree: Annotated[Sha1, Meta(description="git's tree id once this patch is applied")]
    tree_sha256: Annotated[Sha256, Meta(description="the same in git's SHA-256 object format")]
