"""Pins the container image of a platform: composed of the bundle that is here, and named by its digest."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import msgspec

from recipes.build.pipeline import find_bundle
from recipes.core.errors import UsageError
from recipes.core.invocation import command_line
from recipes.core.log import step
from recipes.lock.proposal import Change, propose_image
from recipes.lock.request import command_again
from recipes.lock.write import layout_errors, offer_proposal, read_manifest
from recipes.serve.container.compose import compose_image

if TYPE_CHECKING:
    import argparse

    from recipes.build.context import Job


def propose_image_pin(job: Job, options: argparse.Namespace) -> int:
    """Propose the digest of a platform's image, and write it where the options say so.

    Raises UsageError where the bundle is not here or not pinned, and what composing the image raises.
    """
    plan, where = job.plan(), f"{job.where}: platforms.{job.platform_name}"
    step(1, 4, "bundle", plan=plan.name)
    bundle = find_bundle(job, plan)
    if bundle is None or bundle.pinned is None:
        chosen = ("--recipe", plan.recipe, "--platform", plan.platform)
        first = ("build", *chosen) if bundle is None else ("lock", *chosen, "--output", "--write")
        raise UsageError(
            where=where,
            expected="the pinned bundle, from which the image follows",
            found=f"none in {job.store.root}" if bundle is None else "a bundle that is not pinned",
            fix=command_line(first),
        )
    step(2, 4, "image", tree=bundle.entry.tree)
    platform = msgspec.structs.replace(job.platform, image=None)  # so that another one is no error
    platforms = {**job.recipe.platforms, job.platform_name: platform}
    unpinned = replace(job, recipe=msgspec.structs.replace(job.recipe, platforms=platforms))
    with job.store.scratch(f"image-{plan.digest.hex[:32]}") as work:
        image = compose_image(unpinned, bundle, work)
    text = read_manifest(job.manifests, job.where)
    with layout_errors(job.where):
        change = Change(job.where, text, propose_image(text, job.recipe, job.platform_name, image.sha256))
    step(3, 4, "check the proposal", files=1)
    unwritten = f"nothing is written; to write this: {command_again(options, '--write')}"
    offer_proposal((change,), job, write=options.write, unwritten=unwritten)
    return 0
