"""The session `lock --page`: the digest of a recipe's web page, which is built for that."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from msgspec import structs

from recipes.build.source_tree import ensure_patched, page_job
from recipes.build.webpage.build_page import ensure_page
from recipes.core.errors import UsageError
from recipes.core.log import step
from recipes.lock.proposal import Change, propose_page
from recipes.lock.request import command_again
from recipes.lock.write import layout_errors, offer_proposal, read_manifest

if TYPE_CHECKING:
    import argparse

    from recipes.build.context import Job


def propose_page_pin(job: Job, options: argparse.Namespace) -> int:
    """Build the page of a recipe, propose its digest, and write it where the options say so.

    Raises UsageError where the recipe builds none, and what building it raises.
    """
    step(1, 4, "page", recipe=job.recipe.name)
    change = page_change(job)
    step(3, 4, "check the proposal", files=1)
    unwritten = f"nothing is written; to write this: {command_again(options, '--write')}"
    offer_proposal((change,), job, write=options.write, unwritten=unwritten)
    return 0


def page_change(job: Job) -> Change:
    """Return the manifest that pins the page as it is built here; raises as `propose_page_pin`."""
    recipe = job.recipe
    if recipe.page is None:
        raise UsageError(
            where=f"{job.where}: page",
            expected="a recipe that builds its web page",
            found="none: the source carries its page, or has none",
            fix="leave --page out, or choose another --recipe",
        )
    any_page = structs.replace(recipe.page, tree_sha256=None)  # so that another one is no error
    unpinned = replace(job, recipe=structs.replace(recipe, page=any_page))
    page = ensure_page(page_job(unpinned, ensure_patched(job)))
    job.console.say(f"page: {page.path}\n  {page.tree}; nothing but a build on another machine confirms it")
    step(2, 4, "pin", tree=page.tree)
    text = read_manifest(job.manifests, job.where)
    with layout_errors(job.where):
        return Change(job.where, text, propose_page(text, recipe, page.tree))
