"""Verifies a model's files. A file that did not change since it was last hashed is not read again."""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from dataclasses import dataclass
from typing import TYPE_CHECKING

from recipes.core.cores import usable_cores
from recipes.core.errors import RecipeError, StoreError, VerifyError
from recipes.core.filesystem import make_folders, open_to_write, read_no_link, storage_errors
from recipes.store.chunk_digests import (
    Chunks,
    encode_chunks,
    first_difference,
    hash_with_chunks,
    parse_chunks,
)
from recipes.store.stat_cache import Sight, is_unchanged, note_sight

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from recipes.models.files import PinnedFile
    from recipes.store.context import Context
    from recipes.store.store import Store


@dataclass(frozen=True)
class Verified:
    """The result for one file, with the refusal if it is bad."""

    file: PinnedFile
    state: str  # "unchanged" (not read), "ok", "absent" or "BAD"
    error: RecipeError | None = None


def verify_files(
    files: Iterable[PinnedFile], context: Context, *, full: bool = False
) -> tuple[Verified, ...]:
    """Verify files of one or several models, on all usable cores.

    Files that did not change since they were last hashed are read only if `full`. A StoreError is raised if the store
    cannot be read.
    """

    def verify(file: PinnedFile) -> Verified:
        if not file.path.exists():
            return Verified(file, "absent")
        if not full and is_unchanged(file.path, file.sha256, context.store):
            return Verified(file, "unchanged")
        try:
            verify_pinned(file, context, cores)
        except (VerifyError, StoreError) as error:
            return Verified(file, "BAD", error)
        return Verified(file, "ok")

    listed = tuple(files)
    with ThreadPoolExecutor(usable_cores()) as cores, ThreadPoolExecutor(len(listed) or 1) as pool:
        return tuple(pool.map(verify, listed))


def verify_pinned(file: PinnedFile, context: Context, pool: ThreadPoolExecutor | None = None) -> None:
    """Hash a file, demand the pinned digest, and remember its size and times.

    If the digests of its chunks are known, all cores compare them. Otherwise the whole file is hashed, and the
    digests of its chunks are written down. The threads of the pool hash (default: a pool just for this file).

    If the file differs from its pin, or cannot be read, a VerifyError is raised for one of this repository, a
    StoreError for one of the store.
    """
    path = file.path
    with storage_errors(path):
        try:
            before = Sight.of(path.stat())
            is_led_away = path.is_symlink() and not file.is_local
            found = "a link" if is_led_away else _difference(file, before, context, pool)
        except FileNotFoundError:
            found = "no such file"
    if found is None:
        note_sight(path, file.sha256, context.store, before)
    elif file.is_local:
        fix = f"git checkout -- {file.name}"
        raise VerifyError(where=file.where, expected=f"{file.name} with {file.sha256}", found=found, fix=fix)
    else:
        fix = f"python3 noxfile.py -s gc -- --damaged, then\npython3 noxfile.py -s models -- fetch {file.model.name}"
        raise StoreError(where=str(path), expected=str(file.sha256), found=found, fix=fix)


def _difference(
    file: PinnedFile, before: Sight, context: Context, pool: ThreadPoolExecutor | None
) -> str | None:
    store = context.store
    noted = _read_chunks(file, store)
    with context.console.task(f"hash {file.name}", before.size_bytes) as task:
        if noted is not None:
            with nullcontext(pool) if pool else ThreadPoolExecutor(usable_cores()) as threads:
                return first_difference(file.path, noted, threads, task.advance)
        found = hash_with_chunks(file.path, max(1, usable_cores() - 1), task.position)
    if found.whole != file.sha256:
        return str(found.whole)
    if os.access(store.root, os.W_OK) and Sight.of(file.path.stat()) == before:
        target = chunks_path(file, store)
        make_folders(target.parent)
        fresh = target.with_name(f".{target.name}.{os.getpid()}")
        with os.fdopen(open_to_write(fresh), "wb") as writing:
            writing.write(encode_chunks(found).encode())
        fresh.replace(target)
    return None


def _read_chunks(file: PinnedFile, store: Store) -> Chunks | None:
    try:
        chunks = parse_chunks(read_no_link(chunks_path(file, store)).decode("utf-8", "replace"))
    except FileNotFoundError:
        return None
    return chunks if chunks is not None and chunks.whole == file.sha256 else None


def chunks_path(file: PinnedFile, store: Store) -> Path:
    """Return the path of the digests of a file's chunks."""
    return store.sightings / f"{file.sha256.hex}.chunks"
