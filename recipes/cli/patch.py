"""The session `patch`: unpacks the source and applies the pinned patches."""

from __future__ import annotations

from typing import TYPE_CHECKING

from recipes.build.source_tree import ensure_patched
from recipes.cli.job import open_job
from recipes.cli.options import Session, add_recipe

if TYPE_CHECKING:
    import argparse


def run(options: argparse.Namespace) -> int:
    """Patch, and print where the source is and why each patch is there."""
    job = open_job(options)
    entry = ensure_patched(job)
    print(f"source of {job.recipe.name} with {len(job.recipe.patches)} patches: {entry.path}")
    for item in job.recipe.patches:
        print(f"  patches/{item.file}: {item.reason}")
    print(f"  {job.recipe.patches[-1].tree if job.recipe.patches else job.recipe.source.tree} (git tree)")
    return 0


SESSION = Session("patch", "Unpack the source and apply the pinned patches, exactly.", add_recipe, run)
