"""Asks the user's caches, in order, for a tree whose digest is known: what comes is that tree, or nothing.

A cache can cost time and never correctness. One that fails is named in one line, and left alone until the command ends.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Protocol

from recipes.core.digest import Sha256
from recipes.core.errors import UsageError
from recipes.core.log import LOGGER
from recipes.core.settings import CACHES_VARIABLE
from recipes.fetch.http.network_errors import OriginError
from recipes.fetch.http.retry import Patience, Tempo
from recipes.registry.attached import fetch_documents
from recipes.registry.client import Client
from recipes.registry.documents import Index
from recipes.registry.names import stage_tag
from recipes.registry.reference import Repository, parse_repository
from recipes.registry.tree import ADVICE, BUNDLE, PLATFORM, RUNTIME, empty, fetch_tree, read_tree
from recipes.registry.untrusted import brief

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from recipes.registry.reference import Reference
    from recipes.registry.tree import TreeArtifact
    from recipes.store.context import Context

# Building takes minutes: a cache is asked again once, and must bring 256 KiB in each span of silence that is allowed.
PATIENCE = Patience(tries=2, all_tries=20, longest_asked_wait_s=10.0, timeout_s=10.0, least_bytes=1 << 18)
NOBODY = "nothing pins it, and no policy accepts its signatures"
_left_alone: set[str] = set()  # a process runs one command


class NotAcceptedError(OriginError):
    """A registry has what was asked for, and nobody whose word counts has signed it: it may be good for all else."""


class Accept(Protocol):
    """Judges a tree that nothing pins by the documents that came with it: None where it may be used, else why not."""

    def refuse_documents(self, tree: Sha256, documents: Mapping[str, bytes]) -> str | None:
        """Judge what is said, before the tree is downloaded."""

    def refuse_tree(self, folder: Path, documents: Mapping[str, bytes]) -> str | None:
        """Judge the tree itself, unpacked, and with it all that is said of it."""


@dataclass(frozen=True)
class Wanted:
    """A tree that a registry may have.

    `name` is its tag or digest there, `platform` chooses where an index has that name. `tree` is the digest that it
    must have; where nothing pins one, `accept` decides of the one that comes, and without it nothing is taken.
    """

    kind: str
    name: str | Sha256
    tree: Sha256 | None
    what: str  # for people
    platform: str = ""
    accept: Accept | None = None


def wanted_stage(kind: str, recipe: str, tree: Sha256) -> Wanted:
    """Return what a cache is asked for a stage of a recipe."""
    return Wanted(kind, stage_tag(kind, tree), tree, f"{kind} of {recipe}")


@dataclass(frozen=True)
class Taken:
    """Where a tree was taken from, and the documents that came with it, which nobody has verified yet."""

    reference: Reference
    tree: Sha256
    documents: Mapping[str, bytes] = field(default_factory=dict)


def take_tree(context: Context, wanted: Wanted, into: Path) -> Taken | None:
    """Fill an empty folder from the first cache that has a tree; None, and an empty folder, where none has.

    Raises UsageError where a cache's address cannot be read, and StoreError where the disk refuses.
    """
    if context.settings.offline or (wanted.tree is None and wanted.accept is None):
        return None
    tempo = Tempo(replace(PATIENCE, timeout_s=min(PATIENCE.timeout_s, context.settings.timeout_s)))
    for address in context.settings.caches or ():
        repository = parse_cache(address)
        if address in _left_alone:
            continue
        try:
            taken = take_from(context, repository, wanted, into, tempo)
        except (OriginError, UsageError) as error:
            reason = str(error) if isinstance(error, OriginError) else f"{error.where}: {error.found}"
            if not isinstance(error, NotAcceptedError):
                _left_alone.add(address)
            context.console.warn(f"cache skipped: {repository}: {reason.splitlines()[0]}")
            continue
        if taken:
            context.console.say(f"{wanted.what}: taken from the cache {repository}")
            return taken
        LOGGER.info("cache %s has no %s", repository, wanted.name)
    return None


def take_from(
    context: Context, repository: Repository, wanted: Wanted, into: Path, tempo: Tempo | None = None
) -> Taken | None:
    """Fill an empty folder from one registry; None where it has nothing of that name.

    Raises OriginError, whose line says why, and UsageError and StoreError as `take_tree`.
    """
    with Client(repository, context, tempo=tempo) as client:
        reference = repository.at(wanted.name)
        found = client.find_manifest(reference)
        if found is not None and isinstance(found.document, Index):
            reference = repository.at(chosen_platform(reference, found.document, wanted.platform))
            found = client.find_manifest(reference)
        if found is None:
            return None
        artifact = read_tree(client, reference, found, wanted.kind)
        said = Sha256(artifact.facts.tree)
        documents = _documents(client, artifact, is_needed=wanted.tree is None)
        if wanted.tree not in {None, said}:
            raise OriginError(f"{reference} is said to be tree {said}, not {wanted.tree}", advice=ADVICE)
        accept = wanted.accept if wanted.tree is None else None
        if wanted.tree is None and (
            refusal := accept.refuse_documents(said, documents) if accept else NOBODY
        ):
            raise NotAcceptedError(f"{reference}, tree {said}: {refusal}", advice=ADVICE)
        fetch_tree(client, artifact, said, into)
        if accept and (refusal := accept.refuse_tree(into, documents)):
            empty(into)
            raise NotAcceptedError(f"{reference}, tree {said}: {refusal}", advice=ADVICE)
        return Taken(repository.at(artifact.manifest.sha256), said, documents)


def _documents(client: Client, artifact: TreeArtifact, *, is_needed: bool) -> dict[str, bytes]:
    """Return what is attached to a tree of a kind that is said something of; where it is pinned, it is good without."""
    if artifact.facts.kind not in {BUNDLE, RUNTIME}:
        return {}
    try:
        return fetch_documents(client, artifact.manifest.sha256)
    except OriginError as error:
        if is_needed:
            raise
        client.context.console.warn(f"no evidence came with {artifact.reference}: {error}")
        return {}


def chosen_platform(reference: Reference, index: Index, platform: str) -> Sha256:
    """Return what an index has for a platform; raises OriginError, naming those that it has."""
    for each in index.manifests:
        if each.annotations.get(PLATFORM) == platform:
            return each.sha256
    names = sorted(each.annotations[PLATFORM] for each in index.manifests if PLATFORM in each.annotations)
    there = brief(", ".join(names)) or "no platform of this project"
    raise OriginError(f"{reference} has nothing for {platform}; it has {there}")


def parse_cache(address: str) -> Repository:
    """Read a cache's address; raises UsageError."""
    try:
        return parse_repository(address)
    except ValueError as error:
        raise UsageError(
            where=f"the variable {CACHES_VARIABLE}, or `caches` of manifests/defaults.yaml",
            expected="repositories of registries, as HOST[:PORT]/REPOSITORY, with spaces between them",
            found=str(error),
            fix="correct the address, or leave the caches out with --no-cache",
        ) from error
