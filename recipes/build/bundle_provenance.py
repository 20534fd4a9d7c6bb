"""The provenance of a bundle of the store: written before the bundle appears, bound to it, and looked after later."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from recipes.build.compiled import find_circumstances, now
from recipes.build.project_commit import find_commit
from recipes.build.provenance import (
    TAKEN_INPUT,
    Occasion,
    encode,
    find_fault,
    provenance_path,
    recorded_output,
    recorded_permissions,
    statement,
    write_statement,
)
from recipes.build.toolchain.toolchain import host_name
from recipes.core.digest import Sha256
from recipes.core.filesystem import remove_tree, storage_errors

if TYPE_CHECKING:
    from recipes.build.context import Job
    from recipes.build.plan.plan import Plan
    from recipes.store.store import Entry


def write_provenance(job: Job, plan: Plan, tree: Sha256) -> str:
    """Write the provenance of a bundle that is about to appear, and return its digest."""
    circumstances = find_circumstances(job.store, plan)
    assert circumstances is not None  # noqa: S101 - what was compiled in unknown ones was dropped
    wheels = {
        toolchain.name: toolchain.hosts.get(host_name(), ())
        for toolchain in (job.toolchain, *([job.node] if job.node else []))
    }
    commit = find_commit(job.manifests.project)
    data = encode(statement(plan, tree.hex, Occasion(circumstances, now(), commit, wheels, job.permitted)))
    path = provenance_path(job.store, plan)
    with storage_errors(job.store.root):
        if recorded_output(path) not in {"", tree.hex}:
            remove_tree(path.parent)  # all that is said there is said of another bundle
        write_statement(path, data)
    return str(Sha256.of_bytes(data))


def warn_of_provenance(job: Job, plan: Plan, entry: Entry) -> None:
    """Say where the provenance of a bundle is gone, changed, or lacks what is permitted: the bundle can be used."""
    if fault := _fault(job, plan, entry):
        fix = "`build` writes it again, of the compile that made the bundle"
        if registry := entry.inputs.get(TAKEN_INPUT):
            fix = f"the bundle was taken from {registry}, which has it"
        job.console.warn(f"no provenance for {plan.name}: {fault}\n  {fix}")


def drop_if_unproven(job: Job, plan: Plan) -> None:
    """Remove a bundle whose provenance is not what it must be, where it can be laid out again without a compile."""
    entry = job.store.find(plan.bundle_key)
    if entry is None or find_circumstances(job.store, plan) is None or not os.access(job.store.root, os.W_OK):
        return
    if fault := _fault(job, plan, entry):
        job.console.say(f"laying {plan.name} out again for its provenance: {fault}")
        job.store.discard(plan.bundle_key)


def _fault(job: Job, plan: Plan, entry: Entry) -> str | None:
    """Return why a bundle's provenance is not one for what is asked for now, in words; None where it is.

    What was permitted for one build is never written into the record of another: who permits more lays it out again.
    """
    more = sorted({*job.permitted} - {*recorded_permissions(provenance_path(job.store, plan))})
    unsaid = f"{', '.join(more)} was not permitted when it was built" if more else None
    return find_fault(job.store, plan, entry) or unsaid
