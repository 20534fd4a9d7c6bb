"""Writes what is known against a recipe beside a bundle, in the place of what was known before."""

from __future__ import annotations

from typing import TYPE_CHECKING

from recipes.build.advisories import findings
from recipes.build.evidence_files import VEX_CYCLONEDX, VEX_OPENVEX
from recipes.core.filesystem import make_folders, storage_errors, write_durably
from recipes.evidence.vex import vex_documents

if TYPE_CHECKING:
    from pathlib import Path

    from recipes.manifest.load import Manifests
    from recipes.manifest.schema import Recipe


def write_vex(recipe: Recipe, manifests: Manifests, folder: Path) -> tuple[Path, ...]:
    """Write both documents into a folder and return their paths; where nothing is known any more, none is left there.

    Raises StoreError if the disk refuses.
    """
    documents = vex_documents(recipe, findings(recipe, manifests.advisories()))
    with storage_errors(folder):
        make_folders(folder)
        for name in {VEX_CYCLONEDX, VEX_OPENVEX} - documents.keys():
            (folder / name).unlink(missing_ok=True)
        for name, content in documents.items():
            write_durably(folder / name, content)
    return tuple(folder / name for name in documents)
