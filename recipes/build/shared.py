"""What builds share through registries of a bundle: its name there, its pin, and the documents beside it."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from recipes.build.evidence_files import evidence_folder
from recipes.core.filesystem import make_folders, open_to_write, storage_errors
from recipes.registry.caches import Wanted
from recipes.registry.tree import BUNDLE

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from recipes.build.context import Job
    from recipes.build.plan.plan import Plan
    from recipes.core.digest import Sha256
    from recipes.registry.caches import Accept
    from recipes.store.store import Store


def bundle_tag(plan: Plan) -> str:
    """Return the tag that names a plan's bundle in every registry."""
    return f"plan-{plan.digest.hex}"


def wanted_bundle(
    job: Job, plan: Plan, accept: Accept | None = None, name: str | Sha256 | None = None
) -> Wanted:
    """Return what a registry is asked for a plan's bundle; under `name`, or else under the plan's own tag.

    Where nothing pins the bundle, `accept` says whether the signatures that came with it are enough.
    """
    pinned = job.platform.output if plan.whole else None
    return Wanted(BUNDLE, name or bundle_tag(plan), pinned, plan.name, plan.platform, accept)


def keep_documents(store: Store, key: str, documents: Mapping[str, bytes]) -> None:
    """Lay the documents that came with a bundle beside it; what is there already stays. Raises StoreError."""
    folder = evidence_folder(store, key)
    with storage_errors(folder):
        for name, data in documents.items():
            path = folder / name
            if not path.exists():
                make_folders(folder)
                with os.fdopen(open_to_write(path), "wb") as file:
                    file.write(data)


def read_documents(folder: Path) -> dict[str, bytes]:
    """Return the documents that lie in a folder, by name; none where there is no folder. Raises StoreError."""
    with storage_errors(folder):
        if not folder.is_dir():
            return {}
        return {path.name: path.read_bytes() for path in sorted(folder.iterdir()) if path.suffix == ".json"}
