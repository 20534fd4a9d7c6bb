"""What a repository holds: each tag that this project wrote, and what it names; the rest is somebody else's.

Ours is what has both a name as `recipes.registry.names` writes it and content of that kind.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from recipes.core.digest import Sha256
from recipes.registry.attached import TITLE, document_type
from recipes.registry.claims import decode_claim
from recipes.registry.client import RegistryFaultError
from recipes.registry.documents import Index, Manifest
from recipes.registry.names import Kind, Name, parse_tag, recipe_tag
from recipes.registry.tree import (
    BUNDLE,
    PAGE,
    PLATFORM,
    RECIPE,
    RUNTIME,
    SOURCE,
    TREE,
    artifact_type,
    read_tree,
)

if TYPE_CHECKING:
    from recipes.registry.client import Client, Found
    from recipes.registry.reference import Reference

TREES = {
    Kind.PLAN: BUNDLE,
    Kind.TREE: BUNDLE,
    Kind.SOURCE: SOURCE,
    Kind.PAGE: PAGE,
    Kind.RUNTIME: RUNTIME,
}


@dataclass(frozen=True)
class Held:
    """One tag that this project wrote.

    `tree` is the tree that it names, or that its image is made of; `output` of a bundle is RECIPE@PLATFORM. An index
    stands for others: `listed` are those manifests, of referrers their subject; `there` are those that still exist.
    """

    name: Name
    digest: Sha256
    blobs: Mapping[str, int]  # their sizes, by digest: what it takes of the registry
    tree: str = ""
    output: str = ""
    listed: frozenset[Sha256] = frozenset()
    there: frozenset[Sha256] = frozenset()

    @property
    def tag(self) -> str:
        """Its tag."""
        return str(self.name)


@dataclass(frozen=True)
class Contents:
    """All tags of a repository: ours, and those of others with the digests of what they name."""

    held: tuple[Held, ...] = ()
    others: Mapping[str, Mapping[str, int]] = field(default_factory=dict)

    @property
    def tags(self) -> frozenset[str]:
        """Every tag."""
        return frozenset({*self.others, *(each.tag for each in self.held)})


def read_contents(client: Client) -> Contents:
    """Read what each tag of a repository names. Raises OriginError where the registry does not say it of one."""
    held, others, ours = list[Held](), dict[str, Mapping[str, int]](), set[Sha256]()
    names = (parse_tag(tag) for tag in client.tags())
    for name in sorted(
        names, key=lambda each: each.kind is Kind.REFERRERS
    ):  # whose subjects are known by then
        tag = str(name)
        reference = client.repository.at(tag)
        try:
            found = client.find_manifest(reference)
        except RegistryFaultError as error:
            if (
                error.status is not None or error.may_pass
            ):  # what it names must be known, or it goes with ours
                raise
            client.context.console.warn(f"left alone: {error}")
            others[tag] = {}
            continue
        if found is None:  # removed meanwhile, or a registry lists it late
            continue
        each = _read(client, reference, found, name, ours)
        if each is None:
            others[tag] = _blobs(found)
        else:
            held.append(each)
            ours.add(each.digest)
    return Contents(tuple(held), others)


def _read(client: Client, reference: Reference, found: Found, name: Name, ours: set[Sha256]) -> Held | None:
    """Return what a tag of ours names; None where it is not ours. `ours` are manifests that are."""
    document, kind = found.document, name.kind
    if isinstance(document, Index):
        if kind is Kind.REFERRERS:
            return _read_referrers(client, document, found, name, ours)
        return _read_index(client, document, found, name)
    if kind in TREES:
        return _read_tree(client, reference, found, name)
    tree = document.annotations.get(TREE)
    if (kind is Kind.IMAGE and tree) or (kind is Kind.CLAIM and decode_claim(document, str(name))):
        return Held(name, found.digest, _blobs(found), tree or "")
    return None


def _read_tree(client: Client, reference: Reference, found: Found, name: Name) -> Held | None:
    kind = TREES[name.kind]
    if not isinstance(found.document, Manifest) or found.document.type_text != artifact_type(kind):
        return None
    try:
        facts = read_tree(client, reference, found, kind).facts
    except RegistryFaultError as error:
        client.context.console.warn(f"left alone: {error}")
        return None
    output = f"{facts.recipe}@{facts.platform}" if facts.platform else ""
    return Held(name, found.digest, _blobs(found), facts.tree, output)


def _read_index(client: Client, document: Index, found: Found, name: Name) -> Held | None:
    entries = document.manifests
    if name.kind is Kind.RECIPE:
        is_ours = {recipe_tag(each.annotations.get(RECIPE, "")) for each in entries} == {str(name)}
    else:
        is_ours = name.kind is Kind.IMAGE and all(PLATFORM in each.annotations for each in entries)
    if not is_ours:
        return None
    listed = frozenset(each.sha256 for each in entries)
    there = frozenset(each for each in listed if _has(client, each))
    return Held(name, found.digest, {str(found.digest): len(found.data)}, listed=listed, there=there)


def _read_referrers(
    client: Client, document: Index, found: Found, name: Name, ours: set[Sha256]
) -> Held | None:
    """Ours is what refers to a manifest of ours; and, as that may be gone, what lists nothing but our documents."""
    subject = Sha256(name.words[0])
    if subject not in ours and any(
        document_type(each.annotations.get(TITLE, "")) != each.artifact_type for each in document.manifests
    ):
        return None
    there = frozenset({subject} if subject in ours or _has(client, subject) else ())
    return Held(name, found.digest, _blobs(found), listed=frozenset({subject}), there=there)


def _has(client: Client, digest: Sha256) -> bool:
    return client.find_manifest(client.repository.at(digest)) is not None


def _blobs(found: Found) -> dict[str, int]:
    """Return the sizes of a manifest and of all that it names."""
    document = found.document
    named = (document.config, *document.layers) if isinstance(document, Manifest) else document.manifests
    return {str(found.digest): len(found.data), **{each.digest: each.size for each in named}}
