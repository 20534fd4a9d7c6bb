"""Writes images into a folder as an OCI image layout, beside what is there: every blob first, and their names last."""

from __future__ import annotations

import os
import shutil
from typing import TYPE_CHECKING

import msgspec

from recipes.core.errors import UsageError
from recipes.core.filesystem import make_folders, storage_errors
from recipes.registry.documents import (
    INDEX_TYPE,
    Descriptor,
    Index,
    describe,
    encode,
    make_index,
    parse_document,
)
from recipes.registry.names import platform_tag

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from recipes.core.digest import Sha256
    from recipes.serve.container.compose import Image

REFERENCE = "org.opencontainers.image.ref.name"
MARK, VERSION = "oci-layout", b'{"imageLayoutVersion":"1.0.0"}'


def write_layout(folder: Path, images: Sequence[Image]) -> tuple[str, Descriptor]:
    """Add images and the index of them to a layout; return the name of the index, and what it is.

    Each image is named by the index's name and its platform. Raises UsageError where the folder is something else, and
    StoreError where the disk refuses: then no name has changed.
    """
    before = _read(folder)
    index = image_index(images)
    own = describe(index, INDEX_TYPE)
    with storage_errors(folder):
        blobs = folder / "blobs" / "sha256"
        make_folders(blobs)
        for image in images:
            for layer in image.layers:
                _put(blobs, layer.sha256, layer.path)
            _put(blobs, describe(image.config, "").sha256, image.config)
            _put(blobs, image.sha256, image.manifest)
        _put(blobs, own.sha256, index)
        tag = images[0].tag
        named = {tag: own, **{platform_tag(tag, platform_of(image)): image.descriptor for image in images}}
        kept = [each for each in before if each.annotations.get(REFERENCE) not in named]
        new = [
            msgspec.structs.replace(each, annotations={**each.annotations, REFERENCE: name})
            for name, each in named.items()
        ]
        _replace(folder / MARK, VERSION)
        whole = Index(schema_version=2, media_type=INDEX_TYPE, manifests=tuple(kept + new))
        _replace(folder / "index.json", encode(whole))
    return tag, own


def image_index(images: Sequence[Image]) -> bytes:
    """Return the index of some images, one for each platform."""
    return make_index(tuple(sorted((image.descriptor for image in images), key=lambda each: each.digest)))


def platform_of(image: Image) -> str:
    """Return the platform of an image, as the recipe names it."""
    return image.name.partition("@")[2]


def _read(folder: Path) -> tuple[Descriptor, ...]:
    with storage_errors(folder):
        if not folder.exists() or (folder.is_dir() and not any(folder.iterdir())):
            return ()
        try:
            (folder / MARK).read_bytes()
            document = parse_document((folder / "index.json").read_bytes())
        except (ValueError, FileNotFoundError, NotADirectoryError) as error:
            raise UsageError(
                where=f"--to oci:{folder}",
                expected="an empty folder, or an OCI image layout to add to",
                found=f"{folder}: {error}" if isinstance(error, ValueError) else "a folder of something else",
                fix="name another folder",
            ) from error
    return document.manifests if isinstance(document, Index) else ()


def _put(blobs: Path, sha256: Sha256, content: bytes | Path) -> None:
    path = blobs / sha256.hex
    if path.exists():
        return
    partial = path.with_name(f".{sha256.hex}.{os.getpid()}.partial")
    try:
        if isinstance(content, bytes):
            partial.write_bytes(content)
        else:
            _link_or_copy(content, partial)
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)


def _link_or_copy(source: Path, target: Path) -> None:
    """Give a layer's file, which nobody else has, a second name: models are large."""
    try:
        target.hardlink_to(source)
    except OSError:  # another file system, or one without links
        shutil.copyfile(source, target)


def _replace(path: Path, data: bytes) -> None:
    partial = path.with_name(f".{path.name}.{os.getpid()}.partial")
    partial.write_bytes(data)
    partial.replace(path)
