"""Removes a model from this machine: its files in the store, and its manifest where the user added it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from recipes.core.errors import UsageError
from recipes.core.filesystem import storage_errors
from recipes.store import gc

if TYPE_CHECKING:
    from recipes.manifest.load import Manifests
    from recipes.manifest.schema import Model
    from recipes.store.context import Context


def remove_model(manifests: Manifests, context: Context, model: Model) -> int:
    """Remove a model's files that no other model has, and return the freed bytes; what runs is left in place.

    A UsageError is raised for a model that is part of the repository, a StoreError where the disk refuses.
    """
    if any(file.path for file in model.files):
        raise UsageError(
            where=f"models -- remove: {model.name}",
            expected="a model that was fetched or added",
            found="files of this repository",
            fix="git rm, if you must: conformance and the tests need it",
        )
    others = {
        file.sha256
        for name in manifests.model_names()
        if name != model.name
        for file in manifests.model(name).files
        if file.sha256
    }
    digits = {file.sha256.hex for file in model.files if file.sha256 and file.sha256 not in others}
    parts = (gc.ItemKind.BLOB, gc.ItemKind.PARTIAL)
    present = tuple(
        item for item in gc.list_store(context.store) if item.kind in parts and item.subject in digits
    )
    collected = gc.collect(context.store, gc.plan_collection((), (), present), context.console)
    path = manifests.model_path(model.name)
    if not path.is_relative_to(manifests.root):
        with storage_errors(path):
            path.unlink(missing_ok=True)
    return collected.freed_bytes
