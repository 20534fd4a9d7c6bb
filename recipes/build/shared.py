"""What builds share through registries of a bundle: its name there, its pin, and the documents beside it."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from recipes.build.evidence_files import PROVENANCE, evidence_folder
from recipes.build.provenance import (
    PROVENANCE_INPUT,
    TAKEN_INPUT,
    output_of,
    provenance_path,
    recorded_output,
)
from recipes.core.digest import Sha256
from recipes.core.filesystem import make_folders, open_to_write, read_no_link, remove_tree, storage_errors
from recipes.registry.caches import Wanted
from recipes.registry.names import plan_tag
from recipes.registry.tree import BUNDLE

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from recipes.build.context import Job
    from recipes.build.plan.plan import Plan
    from recipes.registry.caches import Taken


def bundle_tag(plan: Plan) -> str:
    """Return the tag that names a plan's bundle in every registry."""
    return plan_tag(plan.digest)


def wanted_bundle(job: Job, plan: Plan, name: str | Sha256 | None = None) -> Wanted:
    """Return what a registry is asked for a plan's bundle; under `name`, or else under the plan's own tag.

    Where nothing pins the bundle, what judges it is the job's own policy.
    """
    pinned = job.platform.output if plan.whole else None
    accept = job.accept(plan) if job.accept and pinned is None else None
    return Wanted(BUNDLE, name or bundle_tag(plan), pinned, plan.name, plan.platform, accept)


def keep_taken(job: Job, plan: Plan, taken: Taken, inputs: dict[str, str]) -> None:
    """Lay the documents that came with a bundle beside it, and bind it to them by its inputs. Raises StoreError.

    What was here already of the same bundle stays; nobody has judged what came.
    """
    path, documents = provenance_path(job.store, plan), taken.documents
    if PROVENANCE in documents and output_of(documents[PROVENANCE]) != taken.tree.hex:
        job.console.warn(f"the evidence of {taken.reference} is left out: it is said of another bundle")
        documents = {}
    with storage_errors(job.store.root):
        if recorded_output(path) not in {"", taken.tree.hex}:
            remove_tree(path.parent)
        keep_documents(evidence_folder(job.store, plan.bundle_key), documents)
        if path.exists():
            inputs[PROVENANCE_INPUT] = str(Sha256.of_bytes(read_no_link(path)))
    inputs[TAKEN_INPUT] = str(taken.reference)


def keep_documents(folder: Path, documents: Mapping[str, bytes]) -> None:
    """Write documents into a folder; what is there already stays. Raises OSError."""
    for name, data in documents.items():
        path = folder / name
        if not path.exists():
            make_folders(folder)
            with os.fdopen(open_to_write(path), "wb") as file:
                file.write(data)
