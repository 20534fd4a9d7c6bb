"""What a bundle of the store is made of: found from the record of its compile, the source and the toolchain."""

from __future__ import annotations

from typing import TYPE_CHECKING

from recipes.build.bundle.layout import find_shipped
from recipes.build.compiled import BIN
from recipes.build.components.inventory import find_used, reader
from recipes.build.components.licences import version_of
from recipes.build.components.page_packages import find_packages
from recipes.build.source_tree import ensure_source
from recipes.build.toolchain.toolchain import ensure_toolchain, host_name
from recipes.evidence.sbom import Materials

if TYPE_CHECKING:
    from recipes.build.context import Job
    from recipes.build.plan.plan import Plan
    from recipes.store.entry import Entry


def find_materials(job: Job, plan: Plan, bundle: Entry) -> Materials | None:
    """Return what a bundle is made of; None where its compiled files are not in the store any more.

    Raises what verifying them raises, and AuditError where a file belongs to no component.
    """
    where = f"{plan.name}: bill of materials"
    compiled = job.store.find_verified(plan.compiled_key)
    if compiled is None:
        return None
    present = find_shipped(compiled.path / BIN, plan.contents, partial=not plan.whole)
    used = find_used(plan, compiled, present, where)
    toolchain = ensure_toolchain(job.toolchain, job).path
    read = reader(ensure_source(job).path, toolchain, job.manifests.root)
    pages = [each.component.packages for each in used if each.component.packages]
    models = [job.manifests.model(name) for name in job.manifests.model_names()]
    return Materials(
        plan=plan,
        recipe=job.recipe,
        tree=bundle.tree,
        used=used,
        versions={each.component.name: version_of(each.component, read) for each in used},
        packages=[package for page in pages for package in find_packages(page, read, where).packages],
        tools=job.toolchain.hosts.get(host_name(), ()),
        models=models,
    )
