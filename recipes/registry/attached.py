"""Documents that are attached to a manifest: each an artifact of its own that refers to it, such as a signed statement.

Whoever may write to the repository can attach anything: what comes is a claim until somebody has verified it.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from recipes.registry.client import RegistryFaultError
from recipes.registry.documents import EMPTY, EMPTY_TYPE, Manifest, describe, make_manifest
from recipes.registry.referrers import attach, find_referrers
from recipes.registry.upload import Blob, push_blob

if TYPE_CHECKING:
    from collections.abc import Mapping

    from recipes.core.digest import Sha256
    from recipes.registry.client import Client
    from recipes.registry.documents import Descriptor

TITLE = "org.opencontainers.image.title"
MOST_DOCUMENTS = 64
MOST_DOCUMENT_BYTES = 16 << 20
SIGNED = ".dsse.json"
# by how the name ends, the longest first
TYPES = {
    SIGNED: "application/vnd.dsse.envelope.v1+json",
    ".cdx.json": "application/vnd.cyclonedx+json",
    ".openvex.json": "application/openvex+json",
    "provenance.json": "application/vnd.in-toto+json",
    ".json": "application/json",
}
_NAME = re.compile(r"[a-z0-9][a-z0-9.-]{0,63}\.json")


def document_type(name: str) -> str | None:
    """Return the media type of a document by its name; None where it is no name of one.

    >>> document_type("provenance.dsse.json"), document_type("../x.json")
    ('application/vnd.dsse.envelope.v1+json', None)
    """
    if not _NAME.fullmatch(name):
        return None
    return next(media_type for ending, media_type in TYPES.items() if name.endswith(ending))


def push_documents(client: Client, subject: Descriptor, documents: Mapping[str, bytes]) -> None:
    """Attach documents, by their names, to a manifest, in the place of those of the same name.

    A document and its signed form are one: where the registry has a signed form and none comes with ours, both stay as
    they are. Raises OriginError.
    """
    named = {name: data for name, data in sorted(documents.items()) if document_type(name)}
    if not named:
        return
    there = find_referrers(client, subject.sha256)
    signed = {stem_of(title) for each in there if is_signed(title := each.annotations.get(TITLE, ""))}
    kept = signed - {stem_of(name) for name in named if is_signed(name)}
    kept &= {stem_of(name) for name in named}
    if kept:
        client.context.console.say(f"{client.repository} keeps its own signed {', '.join(sorted(kept))}")
    push_blob(client, Blob.of_bytes(EMPTY))
    for name, data in named.items():
        if stem_of(name) not in kept:
            push_blob(client, Blob.of_bytes(data))
            before = [each for each in there if each.annotations.get(TITLE) == name]
            attach(client, _manifest_of(name, data, subject), TITLE, before)


def _manifest_of(name: str, data: bytes, subject: Descriptor) -> bytes:
    media_type = document_type(name) or ""
    layer = describe(data, media_type, annotations={TITLE: name})
    bare = describe_subject(subject)
    return make_manifest(describe(EMPTY, EMPTY_TYPE), (layer,), media_type, {TITLE: name}, bare)


def is_signed(name: str) -> bool:
    """Return whether a document's name is that of a signed form."""
    return name.endswith(SIGNED)


def stem_of(name: str) -> str:
    """Return what a document and its signed form have in common.

    >>> stem_of("sbom.cdx.json"), stem_of("sbom.cdx.dsse.json")
    ('sbom.cdx', 'sbom.cdx')
    """
    return name.removesuffix(SIGNED).removesuffix(".json")


def fetch_documents(client: Client, subject: Sha256) -> dict[str, bytes]:
    """Return the documents that are attached to a manifest, by name; a second one of a name has its digest in it.

    What is no document of this project is left out. Raises OriginError.
    """
    found: dict[str, bytes] = {}
    for each in find_referrers(client, subject)[:MOST_DOCUMENTS]:
        reference = client.repository.at(each.sha256)
        if document_type(each.annotations.get(TITLE, "")) != each.artifact_type:
            continue
        answer = client.find_manifest(reference)
        document = answer.document if answer else None
        if not isinstance(document, Manifest) or len(document.layers) != 1:
            raise RegistryFaultError(f"{reference} is attached, and is no document")
        if document.subject is None or document.subject.digest != str(subject):
            raise RegistryFaultError(f"{reference} is attached to something else")
        layer = document.layers[0]
        if layer.size > MOST_DOCUMENT_BYTES:
            raise RegistryFaultError(
                f"{reference} announces {layer.size} bytes, the most is {MOST_DOCUMENT_BYTES}"
            )
        data = client.read_blob(layer.sha256, MOST_DOCUMENT_BYTES)
        name = each.annotations[TITLE]
        stem, dot, ending = name.partition(".")
        found[name if name not in found else f"{stem}-{each.sha256.hex[:12]}{dot}{ending}"] = data
    return found


def describe_subject(subject: Descriptor) -> Descriptor:
    """Return a manifest's descriptor without what is said of it beside its digest."""
    return type(subject)(media_type=subject.media_type, digest=subject.digest, size=subject.size)
