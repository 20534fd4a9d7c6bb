"""Manifests, indexes and descriptors of the OCI Image Specification 1.1: written canonically, read strictly. Pure.

What the specification lets others add is ignored; what this project relies on is checked.
"""

from __future__ import annotations

from typing import Annotated, Any

import msgspec
from msgspec import Meta, Struct, field

from recipes.core.digest import Sha256
from recipes.registry.untrusted import brief, decode

MANIFEST_TYPE = "application/vnd.oci.image.manifest.v1+json"
INDEX_TYPE = "application/vnd.oci.image.index.v1+json"
EMPTY_TYPE = "application/vnd.oci.empty.v1+json"
EMPTY = b"{}"  # the content of an empty descriptor
MOST_MANIFEST_BYTES = 4 << 20  # what the Distribution Specification asks of registries at least


class TargetPlatform(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What a manifest of an index runs on, in Go's names."""

    architecture: str
    os: str
    variant: str | None = None


class Descriptor(Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """What a document says of another one: type, digest and size."""

    media_type: str
    digest: str
    size: Annotated[int, Meta(ge=0, lt=1 << 60)]
    artifact_type: str | None = None
    platform: TargetPlatform | None = None
    annotations: dict[str, str] = field(default_factory=dict)

    @property
    def sha256(self) -> Sha256:
        """The digest; one of another algorithm was refused when the document was read."""
        return parse_digest(self.digest)


class Manifest(Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """An image manifest, as artifacts use it."""

    schema_version: int
    media_type: str
    config: Descriptor
    layers: tuple[Descriptor, ...]
    artifact_type: str | None = None
    subject: Descriptor | None = None
    annotations: dict[str, str] = field(default_factory=dict)

    @property
    def type_text(self) -> str:
        """What kind of artifact it is: registries without `artifactType` go by the configuration's type."""
        return self.artifact_type or self.config.media_type


class Index(Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """An index of manifests."""

    schema_version: int
    media_type: str
    manifests: tuple[Descriptor, ...]
    annotations: dict[str, str] = field(default_factory=dict)


def describe(data: bytes, media_type: str, **more: object) -> Descriptor:
    """Return the descriptor of a document."""
    return msgspec.structs.replace(
        Descriptor(media_type=media_type, digest=str(Sha256.of_bytes(data)), size=len(data)), **more
    )


def encode(document: Manifest | Index) -> bytes:
    """Write a document: equal ones give equal bytes."""
    return msgspec.json.encode(document, order="deterministic")


def make_manifest(
    config: Descriptor,
    layers: tuple[Descriptor, ...],
    artifact_type: str,
    annotations: dict[str, str],
    subject: Descriptor | None = None,
) -> bytes:
    """Return an artifact's manifest."""
    return encode(
        Manifest(
            schema_version=2,
            media_type=MANIFEST_TYPE,
            artifact_type=artifact_type,
            config=config,
            layers=layers,
            subject=subject,
            annotations=annotations,
        )
    )


def make_index(manifests: tuple[Descriptor, ...], annotations: dict[str, str] | None = None) -> bytes:
    """Return an index."""
    return encode(
        Index(schema_version=2, media_type=INDEX_TYPE, manifests=manifests, annotations=annotations or {})
    )


def parse_digest(text: str) -> Sha256:
    """Read sha256:DIGITS; raises ValueError."""
    algorithm, _, digits = text.partition(":")
    if algorithm != Sha256.algorithm:
        raise ValueError(f"a digest as sha256:... is expected, not {brief(text)}")
    return Sha256(digits)


def parse_document(data: bytes) -> Manifest | Index:
    """Read a manifest or an index; raises ValueError, which says what it is instead."""
    head = decode(data, dict[str, Any])
    if head.get("schemaVersion") != 2:  # noqa: PLR2004 - the one that there is
        raise ValueError(f"schemaVersion {brief(head.get('schemaVersion'))}, not 2")
    # an index may leave its type out
    media_type = head.get("mediaType") or (INDEX_TYPE if "manifests" in head else MANIFEST_TYPE)
    kinds = {MANIFEST_TYPE: Manifest, INDEX_TYPE: Index}
    kind = kinds.get(media_type) if isinstance(media_type, str) else None
    if kind is None:
        raise ValueError(f"a document of type {brief(media_type)}")
    document: Manifest | Index = msgspec.convert({**head, "mediaType": media_type}, kind)
    named = document.manifests if isinstance(document, Index) else (document.config, *document.layers)
    for descriptor in named:
        parse_digest(descriptor.digest)
    return document
