"""Lays out the SDK of our own for a build, compared with its pin. What it is: `recipes/build/apple_sdk/README.md`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from recipes.core.digest import Sha256, hash_tree
from recipes.core.errors import VerifyError
from recipes.core.filesystem import copy_tree

if TYPE_CHECKING:
    from recipes.build.plan.plan import Plan

SDK = Path(__file__).resolve().parents[1] / "apple_sdk" / "MacOSX.sdk"


def lay_out_sdk(plan: Plan, into: Path) -> None:
    """Copy the SDK into a folder of the build's own, where the plan asks for one.

    Raises VerifyError where the copy is not the pinned tree.
    """
    pinned = plan.inputs.sdk
    if pinned is None:
        return
    copy_tree(SDK, into)
    found = hash_tree(into, Sha256)
    if found != pinned:
        raise VerifyError(
            where=f"manifests/recipes/{plan.recipe}.yaml: platforms.{plan.platform}.sdk",
            expected=f"recipes/build/apple_sdk/MacOSX.sdk with {pinned}",
            found=str(found),
            fix=(
                "git status recipes/build/apple_sdk, and take the change back;"
                f" or, if the change is intended, write `sdk: {found.hex}` there, which makes another bundle"
            ),
        )
