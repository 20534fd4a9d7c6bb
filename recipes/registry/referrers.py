"""What refers to a manifest, such as its evidence: by the referrers API, or by a tag where a registry has no such API.

OCI Distribution Specification 1.1, "Listing referrers" and "Referrers tag schema".
"""

from __future__ import annotations

from http import HTTPStatus
from typing import TYPE_CHECKING

from recipes.registry.client import MOST_PAGES, RegistryFaultError, next_page
from recipes.registry.documents import (
    INDEX_TYPE,
    MANIFEST_TYPE,
    MOST_MANIFEST_BYTES,
    Descriptor,
    Index,
    Manifest,
    describe,
    make_index,
    parse_document,
)
from recipes.registry.names import fallback_tag
from recipes.registry.untrusted import brief

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from recipes.core.digest import Sha256
    from recipes.registry.client import Client

MOST_ROUNDS = 5  # of adding to a tag that others change at the same time
_NO_API = frozenset({400, 404, 405, 406})


def find_referrers(client: Client, subject: Sha256) -> tuple[Descriptor, ...]:
    """Return what refers to a manifest. Raises OriginError."""
    url = client.repository.url("referrers", str(subject))
    found: list[Descriptor] = []
    for _ in range(MOST_PAGES):
        reply = client.ask("GET", url, {"Accept": INDEX_TYPE}, most_bytes=MOST_MANIFEST_BYTES)
        if reply.status in _NO_API and not found:
            return _by_tag(client, subject)
        client.demand(reply, HTTPStatus.OK)
        try:
            document = parse_document(reply.body)
        except ValueError as error:
            raise RegistryFaultError(f"the referrers of {subject}: it sent {brief(error)}") from error
        if not isinstance(document, Index):
            raise RegistryFaultError(
                f"the referrers of {subject}: it sent a document of type {document.media_type}"
            )
        found += document.manifests
        following = next_page(reply)
        if following is None:
            return tuple(found)
        url = following
    raise RegistryFaultError(f"the referrers of {subject} do not end")


def attach(client: Client, data: bytes, name: str, outdated: Iterable[Descriptor] = ()) -> Descriptor:
    """Store a manifest with a subject, and make it one of the subject's referrers; return its descriptor.

    `name` is the annotation that tells referrers apart: one with the same value is replaced. `outdated` are those that
    it takes the place of, where the registry itself lists them; a registry that lets nobody remove them keeps them.
    """
    manifest = parse_document(data)
    assert isinstance(manifest, Manifest)  # noqa: S101 - the caller made it
    assert manifest.subject is not None  # noqa: S101 - as above
    own = describe(
        data, MANIFEST_TYPE, artifact_type=manifest.type_text, annotations=dict(manifest.annotations)
    )
    reply = client.put_manifest(client.repository.at(own.sha256), data, MANIFEST_TYPE)
    if "oci-subject" not in reply.headers:
        tag = fallback_tag(manifest.subject.sha256)
        merge_into(client, tag, (own,), lambda each: each.annotations.get(name, each.digest))
    else:
        for each in outdated:
            if each.digest != own.digest:
                _remove(client, each)
    return own


def _remove(client: Client, referrer: Descriptor) -> None:
    try:
        client.delete(referrer.sha256)
    except RegistryFaultError as error:
        client.context.console.warn(
            f"{client.repository}: an older document stays beside its successor: {error}"
        )


def merge_into(
    client: Client, tag: str, ours: tuple[Descriptor, ...], key: Callable[[Descriptor], str]
) -> None:
    """Add descriptors to the index of a tag; one with the same key is replaced, and what others add meanwhile stays.

    A registry changes a tag without asking what was there, so it is read again afterwards, and what got lost is added
    once more. Raises OriginError where others win each time, or the tag is no index.
    """
    reference = client.repository.at(tag)
    wanted = {key(each): each for each in ours}
    for _ in range(MOST_ROUNDS):
        found = client.find_manifest(reference)
        document = found.document if found else Index(schema_version=2, media_type=INDEX_TYPE, manifests=())
        if not isinstance(document, Index):
            raise RegistryFaultError(f"{reference} is no index, and is left as it is")
        present = {key(each): each for each in document.manifests}
        if wanted.items() <= present.items():
            return
        merged = tuple(sorted((present | wanted).values(), key=lambda each: (key(each), each.digest)))
        client.put_manifest(reference, make_index(merged), INDEX_TYPE)
    raise RegistryFaultError(f"{reference} is changed by others all the time", may_pass=True)


def _by_tag(client: Client, subject: Sha256) -> tuple[Descriptor, ...]:
    found = client.find_manifest(client.repository.at(fallback_tag(subject)))
    if found is None:
        return ()
    return found.document.manifests if isinstance(found.document, Index) else ()
