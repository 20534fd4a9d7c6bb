"""The session `lock --loader`: the table of what a recipe's llama.cpp reads of a model, derived from its source."""

from __future__ import annotations

from typing import TYPE_CHECKING

from recipes.build.plan.plan import final_tree
from recipes.build.source_tree import ensure_patched
from recipes.core.errors import VerifyError
from recipes.core.log import step
from recipes.lock.proposal import Change
from recipes.lock.request import command_again
from recipes.lock.write import offer_proposal
from recipes.models.loader.derive import UnknownFormError, derive_table
from recipes.models.loader.table import LoaderTable, table_path, table_text

if TYPE_CHECKING:
    import argparse
    from pathlib import Path

    from recipes.build.context import Job

SOURCES = (".cpp", ".h")


def propose_loader_table(job: Job, options: argparse.Namespace) -> int:
    """Propose the table of a recipe's loader, and write it where the options say so.

    Raises VerifyError where the source reads a key in an unknown form, and RecipeError where there is no source.
    """
    step(1, 4, "patched source", recipe=job.recipe.name)
    source = ensure_patched(job).path
    step(2, 4, "derive the table")
    path = table_path(job.recipe.name)
    new = table_text(table_of_tree(source, str(final_tree(job.recipe)), job.where))
    present = job.manifests.project / path
    old = present.read_text(encoding="utf-8") if present.exists() else None
    step(3, 4, "check the proposal", files=1)
    unwritten = f"nothing is written; to write this: {command_again(options, '--write')}"
    offer_proposal([Change(path, old, new)], job, write=options.write, unwritten=unwritten)
    return 0


def table_of_tree(source: Path, tree: str, where: str) -> LoaderTable:
    """Return the table of a source; raises VerifyError where it reads a key in a form that is not known."""
    paths = [path.relative_to(source).as_posix() for path in source.rglob("*") if path.suffix in SOURCES]
    try:
        return derive_table(lambda path: (source / path).read_text(encoding="utf-8"), paths, tree)
    except (UnknownFormError, ValueError, KeyError) as error:
        raise VerifyError(
            where=where,
            expected="a loader that reads each key in a form that recipes/models/loader/derive.py knows",
            found=str(error),
            fix="teach derive.py this form, then run the same command again",
        ) from error
