"""A packed bundle: its name says what it is a part of; its checksum and the documents of the bundle lie beside it."""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING

from recipes.build.evidence_files import (
    ARCHIVE,
    PROVENANCE,
    checksum_of_archive,
    evidence_folder,
    evidence_of_archive,
)
from recipes.core.digest import hash_file
from recipes.core.errors import UsageError
from recipes.core.filesystem import (
    elsewhere_by,
    make_folders,
    open_to_write,
    read_no_link,
    remove_tree,
    storage_errors,
)
from recipes.fetch.archives.pack import pack

if TYPE_CHECKING:
    from pathlib import Path

    from recipes.build.context import Job
    from recipes.build.plan.plan import Plan
    from recipes.core.digest import Sha256
    from recipes.store.store import Entry

LONGEST_PART = 60  # letters of a name that say which part it is; the plan's digest tells the rest apart
PLAN_DIGITS = 12


def archive_name(job: Job, plan: Plan) -> str:
    """Return the name of a bundle's archive without its ending: recipe, platform, and what it is of them.

    The whole bundle of the manifest has no more; another compiler, fewer GPUs or some targets are named, with digits of
    the plan's digest.
    """
    name = f"llama.cpp-{job.recipe.name}-{job.platform_name}"
    manifest = job.manifests.recipe(job.recipe.name).platforms[job.platform_name]
    parts = [] if job.platform.toolchain == manifest.toolchain else [job.platform.toolchain]
    if job.platform.architectures != manifest.architectures:
        parts += job.platform.architectures
    if not plan.whole:
        parts += plan.compile[plan.compile.index("{build}") + 1 :]
    if not parts:
        return name
    return f"{name}-{'+'.join(parts)[:LONGEST_PART]}-{plan.digest.hex[:PLAN_DIGITS]}"


def write_archive(job: Job, plan: Plan, bundle: Entry, folder: Path) -> Path:
    """Write a bundle as a deterministic archive, with its checksum and documents beside it; return its path.

    Raises UsageError where another archive has its name, and StoreError where the disk refuses.
    """
    name = archive_name(job, plan)
    archive = folder / f"{name}{ARCHIVE}"
    unfinished = folder / f".{name}.{os.getpid()}"
    with elsewhere_by("give --archive"), storage_errors(folder):
        make_folders(folder)
        try:
            pack(bundle.path, unfinished, mtime=job.recipe.source.epoch, prefix=name)
            digest = hash_file(unfinished)
            if archive.exists() and hash_file(archive) != digest:
                raise UsageError(
                    where=str(archive),
                    expected=f"no other archive of that name than {digest}",
                    found=str(hash_file(archive)),
                    fix="move it away, or name another folder with --archive",
                )
            unfinished.rename(archive)
        finally:
            unfinished.unlink(missing_ok=True)
        _write(checksum_of_archive(archive), f"{digest.hex}  {archive.name}\n".encode())
        _copy_documents(evidence_folder(job.store, plan.bundle_key), archive, digest)
    return archive


def _copy_documents(documents: Path, archive: Path, digest: Sha256) -> None:
    """Copy the documents of a bundle beside its archive; its provenance is about both then."""
    into = evidence_of_archive(archive)
    remove_tree(into)  # of an earlier archive with the same bytes
    make_folders(into)
    for path in sorted(documents.iterdir() if documents.is_dir() else ()):
        data = read_no_link(path)
        if path.name == PROVENANCE:
            said = json.loads(data)
            said["subject"].append({"name": archive.name, "digest": {"sha256": digest.hex}})
            data = json.dumps(said, indent=2, sort_keys=True).encode() + b"\n"
        _write(into / path.name, data)


def _write(path: Path, data: bytes) -> None:
    with os.fdopen(open_to_write(path), "wb") as file:
        file.write(data)
