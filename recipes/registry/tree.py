"""Trees as artifacts of a registry: what this project writes there and reads back.

A tree (a bundle, a patched source, a page) is one manifest: its configuration says what it is, its one layer is a
deterministic .tar.zst. What is believed of all this is the tree's own digest, computed of what was unpacked.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import msgspec
from msgspec import Struct

from recipes.core.digest import Sha256, hash_tree
from recipes.core.errors import ArchiveError
from recipes.core.filesystem import free_bytes, remove_tree, size_text, storage_errors
from recipes.fetch.archives.pack import pack
from recipes.fetch.archives.unpack import unpack
from recipes.fetch.fetcher import Candidate, Fetcher
from recipes.fetch.http.network_errors import OriginError
from recipes.fetch.http.response_rules import BlobPin
from recipes.registry.client import RegistryFaultError
from recipes.registry.documents import (
    MANIFEST_TYPE,
    Descriptor,
    Manifest,
    describe,
    make_manifest,
    parse_digest,
)
from recipes.registry.untrusted import brief, decode
from recipes.registry.upload import Blob, push_blob

if TYPE_CHECKING:
    from pathlib import Path

    from recipes.fetch.download.downloader import Downloader
    from recipes.fetch.http.redirects import Route
    from recipes.registry.client import Client, Found
    from recipes.registry.reference import Reference

CONFIG_TYPE = "application/vnd.pinned-llama.tree.config.v1+json"
LAYER_TYPE = "application/vnd.pinned-llama.tree.v1.tar+zstd"
SCHEMA = "tree/1"
BUNDLE, SOURCE, PAGE, RUNTIME = "bundle", "source", "page", "runtime"  # kinds of trees
# annotations: the platform of an index's entry, the recipe of a bundle, the tree of a bundle and of its image
PLATFORM, RECIPE, TREE = "pinned-llama.platform", "pinned-llama.recipe", "pinned-llama.tree"
MOST_CONFIG_BYTES = 1 << 16
MOST_LAYER_BYTES = 4 << 30
# a tree of programs and sources shrinks to a quarter or a tenth; what would swell more is made to fill a disk
ADVICE = "take it from another registry, or build it"
MOST_SWELLING = 64
LEAST_UNPACKED_BYTES = 1 << 20


class TreeFacts(Struct, frozen=True, kw_only=True, omit_defaults=True, forbid_unknown_fields=True):
    """What a tree is said to be: its kind, and of a bundle the recipe, the platform and the plan's digest."""

    schema: str
    kind: str
    tree: str
    recipe: str = ""
    platform: str = ""
    plan: str = ""


@dataclass(frozen=True)
class TreeArtifact:
    """A tree that a registry says it has; nothing of it is believed yet."""

    reference: Reference
    manifest: Descriptor
    facts: TreeFacts
    layer: Descriptor


def artifact_type(kind: str) -> str:
    """Return the type of a tree's manifest."""
    return f"application/vnd.pinned-llama.{kind}.v1"


def push_tree(
    client: Client, folder: Path, facts: TreeFacts, annotations: dict[str, str], mtime: int
) -> Descriptor:
    """Store a tree in a repository, and return its manifest's descriptor: under its digest, without a tag.

    `mtime` is the time of each file, in seconds since 1970. Raises OriginError, and StoreError where the disk refuses.
    """
    with client.context.store.scratch(f"publish-{facts.tree[:32]}") as scratch:
        archive = scratch / "layer.tar.zst"
        with client.context.console.task(f"pack {facts.kind} {facts.tree[:12]}", None):
            pack(folder, archive, mtime=mtime)
            layer = Blob.of_file(archive)
        push_blob(client, layer)
    config = msgspec.json.encode(facts, order="deterministic")
    push_blob(client, Blob.of_bytes(config))
    data = make_manifest(
        describe(config, CONFIG_TYPE),
        (Descriptor(media_type=LAYER_TYPE, digest=str(layer.sha256), size=layer.size_bytes),),
        artifact_type(facts.kind),
        annotations,
    )
    own = describe(data, MANIFEST_TYPE, artifact_type=artifact_type(facts.kind))
    client.put_manifest(client.repository.at(own.sha256), data, MANIFEST_TYPE)
    return own


def read_tree(client: Client, reference: Reference, found: Found, kind: str) -> TreeArtifact:
    """Read what a manifest says of a tree; raises RegistryFaultError where it is none of that kind."""
    document, wanted = found.document, artifact_type(kind)
    if not isinstance(document, Manifest):
        raise RegistryFaultError(f"{reference} is an index, not {wanted}")
    if document.type_text != wanted or document.config.media_type != CONFIG_TYPE:
        raise RegistryFaultError(f"{reference} is {brief(document.type_text)!r}, not {wanted!r}")
    if len(document.layers) != 1 or document.layers[0].media_type != LAYER_TYPE:
        raise RegistryFaultError(
            f"{reference} has {len(document.layers)} layers, not one of type {LAYER_TYPE!r}"
        )
    layer = document.layers[0]
    if not 0 < layer.size <= MOST_LAYER_BYTES:
        raise RegistryFaultError(
            f"{reference} announces {size_text(layer.size)}, the most is {size_text(MOST_LAYER_BYTES)}"
        )
    data = client.read_blob(parse_digest(document.config.digest), MOST_CONFIG_BYTES)
    try:
        facts = decode(data, TreeFacts)
        Sha256(facts.tree)
    except ValueError as error:
        raise RegistryFaultError(f"{reference}: its configuration: {brief(error)}") from error
    if (facts.schema, facts.kind) != (SCHEMA, kind):
        raise RegistryFaultError(
            f"{reference} is said to be {brief(facts.kind)!r} in {brief(facts.schema)!r}, not {kind!r} in {SCHEMA!r}"
        )
    manifest = describe(found.data, MANIFEST_TYPE, artifact_type=wanted)
    return TreeArtifact(reference, manifest, facts, layer)


def fetch_tree(client: Client, artifact: TreeArtifact, tree: Sha256, into: Path) -> None:
    """Download a tree's layer and unpack it into an empty folder: exactly that tree, or nothing.

    What has arrived survives a broken connection and a killed process. Raises OriginError where the registry does not
    deliver (`advice` where it delivered other bytes, which are kept), and StoreError where the disk refuses.
    """
    store, layer = client.context.store, artifact.layer
    pin = BlobPin(layer.sha256, layer.size)
    free = free_bytes(into)
    if free < layer.size * 2:
        raise RegistryFaultError(
            f"{artifact.reference} announces {size_text(layer.size)}, and {size_text(free)} are free"
        )

    def receive(downloader: Downloader, route: Route | None) -> Path:
        fetched = downloader.fetch(route)
        fault = None if fetched.digest == pin.sha256 else f"other bytes ({fetched.digest})"
        fault = fault or _unpack(fetched.path, artifact, tree, into)
        if fault:
            kept = store.reject(fetched.path, f"{fault}\nfrom {downloader.label}\nwanted {tree}")
            downloader.forget()
            raise OriginError(f"{fault}, kept in {kept}", advice=ADVICE)
        downloader.forget()
        return into

    candidate = Candidate(
        str(artifact.reference), client.repository.url("blobs", str(layer.sha256)), client.login
    )
    fetcher = Fetcher(store, client.context.console, client.context.settings, tempo=client.tempo)
    with store.lock(layer.sha256.hex, client.context.console):
        delivery = fetcher.deliver(pin, (candidate,), str(artifact.reference), receive)
    if delivery.blob is None:
        last = delivery.failures[-1]
        raise OriginError(last.reason, may_pass=last.may_pass, advice=last.advice)


def _unpack(archive: Path, artifact: TreeArtifact, tree: Sha256, into: Path) -> str | None:
    """Unpack a layer; return what is wrong with it, and leave the folder empty then."""
    most_bytes = artifact.layer.size * MOST_SWELLING + LEAST_UNPACKED_BYTES
    try:
        unpack(archive, into, subdirectory=".", drop=(), where=str(artifact.reference), most_bytes=most_bytes)
    except ArchiveError as error:
        return error.found
    found = hash_tree(into, Sha256)
    if found == tree:
        return None
    empty(into)
    return f"another tree ({found}, not {tree})"


def empty(folder: Path) -> None:
    """Remove all that is in a folder. Raises StoreError."""
    with storage_errors(folder):
        for path in folder.iterdir():
            remove_tree(path)
