"""Publishes trees to a registry: every byte of them, then what refers to them, and their names last.

So a publication that ends early, by a fault or a kill, has published nothing: what arrived has no name yet, and the
same command goes on with it.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import msgspec

from recipes.core.errors import RegistryError
from recipes.core.invocation import this_command
from recipes.core.settings import PIP_CERT_VARIABLE
from recipes.fetch.http.network_errors import UNTRUSTED, OriginError
from recipes.registry.attached import push_documents
from recipes.registry.client import PUSH, Client, RegistryFaultError
from recipes.registry.documents import MANIFEST_TYPE, Descriptor, TargetPlatform
from recipes.registry.referrers import merge_into
from recipes.registry.tree import PLATFORM, TreeFacts, push_tree, read_tree

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from recipes.fetch.http.retry import Tempo
    from recipes.registry.reference import Reference, Repository
    from recipes.store.context import Context

FULL = frozenset({413, 507})
NOT_ALLOWED = frozenset({401, 403})


@dataclass(frozen=True)
class Publication:
    """One tree to publish: its folder, its name, and what is said of it.

    `mtime` is the time of its files; `index` the tag of an index that lists it too, under `target`. A tree that is
    `pinned` takes the place of another one of its name, since that one cannot be right.
    """

    folder: Path
    tag: str
    facts: TreeFacts
    annotations: Mapping[str, str]
    mtime: int
    pinned: bool
    documents: Mapping[str, bytes] = field(default_factory=dict)
    index: str = ""
    target: TargetPlatform | None = None


@dataclass(frozen=True)
class Published:
    """One tree that is in a registry, and whether its bytes were sent now."""

    publication: Publication
    reference: Reference
    manifest: Descriptor
    is_new: bool


def publish(
    context: Context,
    repository: Repository,
    publications: Sequence[Publication],
    others: tuple[str, ...] = (),
    tempo: Tempo | None = None,
) -> tuple[Published, ...]:
    """Store trees in a repository; `others` are repositories of the registry whose blobs may be used.

    1. Send each tree that is not there yet, and its documents; by digest, without a name.
    2. Give each its tag, and the index of its recipe an entry.
    3. Read every tag again: a registry may forget, and others may publish at the same time.

    Raises RegistryError where the registry does not take it, or has another tree of the same name.
    """
    try:
        with Client(repository, context, PUSH, others=others, tempo=tempo) as client:
            sent = tuple(_send(client, each) for each in publications)
            for each in sent:
                _name(client, each)
            indexed = {each.publication.index for each in sent} - {""}
            for tag in sorted(indexed):
                ours = tuple(_entry(each) for each in sent if each.publication.index == tag)
                merge_into(client, tag, ours, lambda entry: entry.annotations.get(PLATFORM, entry.digest))
            for each in sent:
                _check(client, each)
            return sent
    except OriginError as error:
        raise _refusal(repository, error) from error


def _send(client: Client, publication: Publication) -> Published:
    reference = client.repository.at(publication.tag)
    manifest = _find_same(client, reference, publication)
    is_new = manifest is None
    if manifest is None:
        manifest = push_tree(
            client,
            publication.folder,
            publication.facts,
            dict(publication.annotations),
            publication.mtime,
        )
    push_documents(client, manifest, publication.documents)
    return Published(publication, reference, manifest, is_new)


def _find_same(client: Client, reference: Reference, publication: Publication) -> Descriptor | None:
    """Return the manifest that is there already, where it is of the same tree and its layer is there."""
    found = client.find_manifest(reference)
    if found is None:
        return None
    facts = publication.facts
    try:
        there = read_tree(client, reference, found, facts.kind)
    except RegistryFaultError as error:
        if not publication.pinned:
            raise
        client.context.console.warn(f"{reference} is replaced: {error}")
        return None
    if there.facts.tree == facts.tree:
        return there.manifest if client.has_blob(there.layer.sha256, there.layer.size) else None
    if not publication.pinned:
        reason = f"{reference} is another tree of the same plan: {there.facts.tree}, here it is {facts.tree}"
        raise RegistryFaultError(f"{reason}: two builders disagree, and the plan does not decide the bytes")
    client.context.console.warn(
        f"{reference} is replaced: it is tree {there.facts.tree}, pinned is {facts.tree}"
    )
    return None


def _name(client: Client, published: Published) -> None:
    found = client.find_manifest(published.reference)
    if found is not None and found.digest == published.manifest.sha256:
        return
    by_digest = client.find_manifest(client.repository.at(published.manifest.sha256))
    if by_digest is None:
        raise RegistryFaultError(f"it has forgotten {published.manifest.digest}, which it took just now")
    client.put_manifest(published.reference, by_digest.data, MANIFEST_TYPE)


def _entry(published: Published) -> Descriptor:
    facts = published.publication.facts
    return msgspec.structs.replace(
        published.manifest,
        platform=published.publication.target,
        annotations={**published.publication.annotations, PLATFORM: facts.platform},
    )


def _check(client: Client, published: Published) -> None:
    """Demand that a tag is of the published tree, even if another publisher's manifest of it came last."""
    reference, facts = published.reference, published.publication.facts
    found = client.find_manifest(reference)
    if found is None:
        raise RegistryFaultError(f"{reference}: it has forgotten what it took just now")
    there = read_tree(client, reference, found, facts.kind)
    if there.facts.tree != facts.tree:
        raise RegistryFaultError(f"{reference} is tree {there.facts.tree} now, {facts.tree} was published")
    if not client.has_blob(there.layer.sha256, there.layer.size):
        raise RegistryFaultError(f"{reference}: it has forgotten the layer {there.layer.digest}")


def _refusal(repository: Repository, error: OriginError) -> RegistryError:
    """Return the error of a publication that did not come to its end, with the fix that helps."""
    again, status = this_command("publish"), getattr(error, "status", None)
    if status in NOT_ALLOWED or "asked with" in str(error) or "gives no token" in str(error):
        fix = f"docker login {repository.host}; then {again}"
    elif status in FULL:
        fix = f"make room in the registry, or raise its limit, then {again}"
    elif UNTRUSTED in str(error):
        fix = f"{PIP_CERT_VARIABLE}=/path/to/authority.pem {again}  # your network's own, if it has one"
    elif error.may_pass:
        fix = f"{again}  # it goes on with what has arrived"
    else:
        fix = f"correct the cause, then {again}"
    return RegistryError(
        where=str(repository),
        expected="a registry that takes it, by the OCI Distribution Specification",
        found=str(error),
        fix=fix,
    )
