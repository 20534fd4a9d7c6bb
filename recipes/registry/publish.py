"""Publishes trees to a registry: every byte of them, then what refers to them, and their names last.

So a publication that ends early, by a fault or a kill, has published nothing: what arrived has no name yet, and the
same command goes on with it.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import msgspec

from recipes.core.errors import DisagreementError, RegistryError
from recipes.core.invocation import command_line, this_command
from recipes.core.settings import PIP_CERT_VARIABLE
from recipes.fetch.http.network_errors import UNTRUSTED, OriginError
from recipes.registry.attached import push_documents
from recipes.registry.client import PUSH, Client, RegistryFaultError
from recipes.registry.documents import MANIFEST_TYPE, Descriptor, TargetPlatform
from recipes.registry.names import tree_tag
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
    2. Say which tree came out of each plan that pins none, and compare it with what others say.
    3. Give each its tag, and the index of its recipe an entry.
    4. Read every tag again: a registry may forget, and others may publish at the same time.

    Raises RegistryError where the registry does not take it, and DisagreementError where somebody else made another
    tree of a plan that pins none.
    """
    try:
        with Client(repository, context, PUSH, others=others, tempo=tempo) as client:
            sent = tuple(_send(client, each) for each in publications)
            for each in sent:
                if not each.publication.pinned:
                    _compare(client, each)
                _name(client, each.reference, each.manifest)
            indexed = {each.publication.index for each in sent} - {""}
            for tag in sorted(indexed):
                ours = tuple(_entry(each) for each in sent if each.publication.index == tag)
                merge_into(client, tag, ours, lambda entry: entry.annotations.get(PLATFORM, entry.digest))
            for each in sent:
                _check(client, each)
            return sent
    except OriginError as error:
        raise refusal(repository, error, "publish") from error


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
    """Return the manifest that is there already, where it is of the same tree and its layer is there.

    Raises DisagreementError where it is of another one, and nothing is pinned.
    """
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
        raise _disagreement(reference, there.facts.tree, publication)
    client.context.console.warn(
        f"{reference} is replaced: it is tree {there.facts.tree}, pinned is {facts.tree}"
    )
    return None


def _compare(client: Client, published: Published) -> None:
    """Demand that nobody publishes another tree of the same plan at the same time.

    Each says its own before it reads what the others say: of two, at least one sees the other.
    """
    tag, tree = published.publication.tag, published.publication.facts.tree
    _name(client, client.repository.at(tree_tag(tag, tree)), published.manifest)
    others = (each for each in client.tags() if each.startswith(tree_tag(tag, "")))
    for other in sorted(set(others) - {tree_tag(tag, tree)}):
        reference = client.repository.at(other)
        if (found := client.find_manifest(reference)) is not None:
            there = read_tree(client, reference, found, published.publication.facts.kind)
            raise _disagreement(reference, there.facts.tree, published.publication)
    _find_same(client, published.reference, published.publication)


def _disagreement(other: Reference, tree: str, publication: Publication) -> DisagreementError:
    facts = publication.facts
    return DisagreementError(
        where=str(other.repository),
        expected=f"one tree of the plan of {facts.recipe}@{facts.platform}, whoever builds it",
        found=f"{other} is tree {tree}, here it is {facts.tree}: two builders disagree",
        fix=(
            "use neither and sign neither before it is known why; whether this machine makes the same twice:\n"
            + command_line(("reproduce", "--recipe", facts.recipe, "--platform", facts.platform))
        ),
    )


def _name(client: Client, reference: Reference, manifest: Descriptor) -> None:
    found = client.find_manifest(reference)
    if found is not None and found.digest == manifest.sha256:
        return
    by_digest = client.find_manifest(client.repository.at(manifest.sha256))
    if by_digest is None:
        raise RegistryFaultError(f"it has forgotten {manifest.digest}, which it took just now")
    client.put_manifest(reference, by_digest.data, MANIFEST_TYPE)


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


def refusal(repository: Repository, error: OriginError, session: str) -> RegistryError:
    """Return the error of a publication that did not come to its end, with the fix that helps."""
    again, status = this_command(session), getattr(error, "status", None)
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
