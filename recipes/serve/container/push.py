"""Sends images to a registry: every byte of them first, and their names last."""

from __future__ import annotations

from typing import TYPE_CHECKING

from recipes.fetch.http.network_errors import OriginError
from recipes.registry.client import PUSH, Client
from recipes.registry.documents import MANIFEST_TYPE
from recipes.registry.names import platform_tag
from recipes.registry.publish import refusal
from recipes.registry.referrers import merge_into
from recipes.registry.tree import PLATFORM
from recipes.registry.upload import Blob, push_blob
from recipes.serve.container.layout import platform_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from recipes.registry.reference import Repository
    from recipes.serve.container.compose import Image
    from recipes.store.context import Context


def push_images(
    context: Context,
    repository: Repository,
    images: Sequence[Image],
    tag: str,
    others: tuple[str, ...] = (),
) -> None:
    """Store images: `tag` is the index of all platforms that were ever sent, TAG-PLATFORM each image.

    `others` are repositories of the registry whose layers may be used.

    Raises RegistryError where the registry does not take them.
    """
    try:
        with Client(repository, context, PUSH, others=others) as client:
            for image in images:
                for layer in image.layers:
                    push_blob(client, Blob(layer.sha256, layer.size_bytes, layer.path))
                push_blob(client, Blob.of_bytes(image.config))
                client.put_manifest(repository.at(image.sha256), image.manifest, MANIFEST_TYPE)
            for image in images:
                name = repository.at(platform_tag(tag, platform_of(image)))
                client.put_manifest(name, image.manifest, MANIFEST_TYPE)
            ours = tuple(image.descriptor for image in images)
            merge_into(client, tag, ours, lambda entry: entry.annotations.get(PLATFORM, entry.digest))
    except OriginError as error:
        raise refusal(repository, error, "image") from error
