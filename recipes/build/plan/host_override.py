"""The machine's own compiler in the place of the pinned one: what is built then."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from recipes.core.errors import UsageError

if TYPE_CHECKING:
    from recipes.manifest.schema import Recipe

HOST = "host"  # the toolchain's name, and what `--toolchain` understands
UNPINNED = "built by this machine's own compiler, which is recorded but not pinned"


def on_host(recipe: Recipe, platform_name: str) -> Recipe:
    """Return the recipe with one platform built as its `host:` says, by the machine's own compiler.

    Raises UsageError where the platform does not say how.
    """
    platform = recipe.platforms[platform_name]
    if platform.host is None:
        able = [name for name, other in recipe.platforms.items() if other.host is not None]
        raise UsageError(
            where=f"manifests/recipes/{recipe.name}.yaml: platforms.{platform_name}",
            expected=f"a platform with `host:`{': ' if able else ', and there is none'}{', '.join(able)}",
            found=f"`--toolchain {HOST}` for one without",
            fix="leave --toolchain out: the pinned compiler builds this platform on every machine",
        )
    changed = msgspec.structs.replace(
        platform,
        toolchain=HOST,
        sdk=None,
        cmake=platform.host.cmake,
        flags=platform.host.flags,
        output=None,
        output_unpinned=UNPINNED,
    )
    return msgspec.structs.replace(recipe, platforms={**recipe.platforms, platform_name: changed})
