"""Reads the bundle that is verified: its files, its record and its table of components."""

from __future__ import annotations

import stat
from typing import TYPE_CHECKING

from recipes.build.bundle.layout import LICENCES, RECORD
from recipes.build.components.licences import TABLE
from recipes.core.digest import Sha256, blob_entries, tree_of_entries
from recipes.core.filesystem import read_no_link
from recipes.evidence.json_document import MOST_BYTES
from recipes.evidence.material import Subject

if TYPE_CHECKING:
    from pathlib import Path


def read_subject(folder: Path, where: str, archive: tuple[str, Sha256] | None = None) -> Subject:
    """Return what a bundle's folder is, as `where` names it; raises ValueError where it holds a device or the like."""
    files = blob_entries(folder, Sha256)
    record, components = (
        read_document(folder / name) if files.get(name) else None for name in (RECORD, f"{LICENCES}/{TABLE}")
    )
    return Subject(where, tree_of_entries(files, Sha256), files, record, archive, components)


def read_document(path: Path) -> bytes:
    """Return the bytes of a regular file of a document's size; none of anything else."""
    status = path.lstat()
    is_small = stat.S_ISREG(status.st_mode) and status.st_size <= MOST_BYTES
    return read_no_link(path, MOST_BYTES + 1) if is_small else b""
