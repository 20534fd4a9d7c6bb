"""The machine's own compiler in the place of the pinned one: what is built then, and what it says of itself."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from recipes.errors import ToolchainError, UsageError
from recipes.plan import HOST_BIN, Plan
from recipes.process import Command, Completed, run

if TYPE_CHECKING:
    from recipes.schema import Recipe

HOST = "host"  # the toolchain's name, and what `--toolchain` understands
UNPINNED = "built by this machine's own compiler, which is recorded but not pinned"


def on_host(recipe: Recipe, platform_name: str) -> Recipe:
    """Give the recipe with one platform built as its `host:` says, by the machine's own compiler.

    Parameters
    ----------
    recipe
        A validated manifest.
    platform_name
        One of its platforms.

    Raises
    ------
    UsageError
        Where the platform does not say how.
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


def ask_host_compiler(plan: Plan, folder: str = HOST_BIN) -> dict[str, str]:
    """Give what the machine's own compiler says of itself; nothing where the plan's compiler is pinned.

    Parameters
    ----------
    plan
        What is built.
    folder
        Where the machine's programs lie.

    Raises
    ------
    ToolchainError
        Where there is no compiler.
    """
    if plan.hermetic:
        return {}
    compiler, xcrun = f"{folder}/cc", f"{folder}/xcrun"
    said = {compiler: _ask(compiler, "--version")}
    if Path(xcrun).exists():  # on a Mac: which SDK the compiler takes
        said[f"{xcrun} --show-sdk-version"] = _ask(xcrun, "--show-sdk-version")
    return said


def _ask(*argv: str) -> str:
    try:
        done = run(Command(argv, Path("/"), {"LC_ALL": "C", "PATH": HOST_BIN}))
    except OSError as error:
        done = Completed(1, (str(error),))
    if done.status != 0:
        raise ToolchainError(
            where=argv[0],
            expected="the machine's own compiler",
            found=done.text,
            fix="on a Mac: xcode-select --install; elsewhere install a C and C++ compiler",
        )
    return done.text.strip()
