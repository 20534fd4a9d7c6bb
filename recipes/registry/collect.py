"""Garbage collection of a repository: what no release's manifests pin is removed, and what refers to it.

Deciding is apart from doing. What this project did not publish stays. The bytes are freed by the registry's own
collection.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from recipes.core.digest import Sha256
from recipes.core.filesystem import size_text
from recipes.registry.client import RegistryFaultError
from recipes.registry.documents import INDEX_TYPE, Index, Manifest, make_index
from recipes.registry.reference import tag_of
from recipes.registry.referrers import fallback_tag, find_referrers
from recipes.registry.tree import BUNDLE, PAGE, SOURCE, artifact_type, read_tree

if TYPE_CHECKING:
    from collections.abc import Iterable

    from recipes.registry.client import Client
    from recipes.registry.tree import TreeArtifact

KINDS = {artifact_type(kind): kind for kind in (BUNDLE, SOURCE, PAGE)}


@dataclass(frozen=True)
class Pinned:
    """What some releases pin: digests of trees, and platforms of recipes, as RECIPE@PLATFORM, without a digest."""

    trees: frozenset[str]
    unpinned: frozenset[str] = frozenset()


@dataclass(frozen=True)
class Held:
    """One tag of a repository, and the tree that it names."""

    tag: str
    artifact: TreeArtifact


@dataclass(frozen=True)
class Choice:
    """Whether a tag goes, and why."""

    held: Held
    goes: bool
    reason: str


def list_trees(client: Client) -> tuple[Held, ...]:
    """Return each tag that names a tree of this project; what else is there is left alone. Raises OriginError."""
    found = []
    for tag in client.tags():
        reference = client.repository.at(tag)
        try:
            manifest = client.find_manifest(reference)
            document = manifest.document if manifest else None
            if manifest and isinstance(document, Manifest) and (kind := KINDS.get(document.type_text)):
                found.append(Held(tag, read_tree(client, reference, manifest, kind)))
        except RegistryFaultError as error:
            client.context.console.warn(f"left alone: {error}")
    return tuple(found)


def choose(held: Iterable[Held], pinned: Pinned) -> tuple[Choice, ...]:
    """Decide what goes. Pure.

    | tree                                                                  | stays |
    |-----------------------------------------------------------------------|-------|
    | a release pins its digest                                             | yes   |
    | bundle, and a release has the recipe's platform without a digest      | yes   |
    | any other                                                             | no    |
    """

    def decide(each: Held) -> Choice:
        facts = each.artifact.facts
        if facts.tree in pinned.trees:
            return Choice(each, goes=False, reason="a release pins it")
        if facts.kind == BUNDLE and f"{facts.recipe}@{facts.platform}" in pinned.unpinned:
            return Choice(each, goes=False, reason="a release has this platform without a pin")
        return Choice(each, goes=True, reason="no release pins it")

    return tuple(decide(each) for each in held)


def describe(choices: Iterable[Choice]) -> tuple[str, ...]:
    """Return the lines of a dry run: what would go, and the sums."""
    lines, sums, counted = [], {True: 0, False: 0}, set[str]()
    for each in choices:
        facts, size_bytes = each.held.artifact.facts, each.held.artifact.layer.size
        digest = each.held.artifact.manifest.digest
        sums[each.goes] += 0 if digest in counted else size_bytes  # a tree can have two tags
        counted.add(digest)
        name = f"{facts.recipe}@{facts.platform}" if facts.platform else f"{facts.kind} of {facts.recipe}"
        if each.goes:
            lines.append(f"{size_text(size_bytes):>9}  {name}  {each.held.tag}: {each.reason}")
    return (*lines, f"{size_text(sums[True])} would go, {size_text(sums[False])} would stay")


def remove(client: Client, choices: Iterable[Choice]) -> int:
    """Remove what was decided, but no tag that another publisher moved since; return how many. Raises OriginError.

    1. Out of the recipe's index, so that nobody is sent to what is gone.
    2. The manifest itself, with its tag.
    3. What referred to it.
    """
    going = [each.held for each in choices if each.goes]
    digests = {str(each.artifact.manifest.sha256) for each in going}
    for tag in sorted(
        {tag_of(each.artifact.facts.recipe) for each in going if each.artifact.facts.kind == BUNDLE}
    ):
        _leave_out(client, tag, digests)
    removed = set[Sha256]()
    for each in going:
        digest = each.artifact.manifest.sha256
        if digest in removed:  # with all its tags
            continue
        now = client.find_manifest(client.repository.at(each.tag))
        if now is None or now.digest != digest:
            client.context.console.say(f"{each.tag} is another one now, and stays")
            continue
        attached = find_referrers(client, digest)
        client.delete(digest)
        for document in attached:
            client.delete(document.sha256)
        if index := client.find_manifest(client.repository.at(fallback_tag(digest))):
            client.delete(index.digest)
        removed.add(digest)
    return len(removed)


def _leave_out(client: Client, tag: str, digests: set[str]) -> None:
    reference = client.repository.at(tag)
    found = client.find_manifest(reference)
    if found is None or not isinstance(found.document, Index):
        return
    kept = tuple(each for each in found.document.manifests if each.digest not in digests)
    if not kept:
        client.delete(Sha256.of_bytes(found.data))
    elif len(kept) < len(found.document.manifests):
        client.put_manifest(reference, make_index(kept), INDEX_TYPE)
