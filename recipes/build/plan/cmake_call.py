"""How CMake is called: every option, and the whole environment. Pure."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

    from recipes.manifest.schema import Platform, Recipe, Toolchain

HOST_BIN = "/usr/bin"  # where a Mac's command line tools, and other systems' compilers, are found


def resolve_cache(recipe: Recipe, platform: Platform, toolchain: Toolchain) -> dict[str, str]:
    """Return every CMake option: the recipe's, the platform's, and those that name folders and tools."""
    flags = platform.flags
    cache = {
        **recipe.cmake,
        **platform.cmake,
        "CMAKE_C_FLAGS": shlex.join(flags.c),
        "CMAKE_CXX_FLAGS": shlex.join(flags.cxx),
        "CMAKE_ASM_FLAGS": shlex.join(flags.c),
        **{f"CMAKE_{kind}_LINKER_FLAGS": shlex.join(flags.link) for kind in ("EXE", "SHARED", "MODULE")},
    }
    if platform.architectures:
        cache["CMAKE_CUDA_ARCHITECTURES"] = ";".join(platform.architectures)
    bin_folder = HOST_BIN if toolchain.kind == "host" else "{wrappers}"
    return cache | {
        "CMAKE_MAKE_PROGRAM": "{toolchain}/bin/ninja",
        "CMAKE_C_COMPILER": f"{bin_folder}/cc",
        "CMAKE_CXX_COMPILER": f"{bin_folder}/c++",
        "CMAKE_ASM_COMPILER": f"{bin_folder}/cc",
        "CMAKE_AR": f"{bin_folder}/ar",
        "CMAKE_RANLIB": f"{bin_folder}/ranlib",
    }


def configure_command(cache: Mapping[str, str]) -> tuple[str, ...]:
    """Return CMake's argv: every option explicit, in a fixed order."""
    options = (f"-D{name}={value}" for name, value in sorted(cache.items()))
    return ("{toolchain}/bin/cmake", "-G", "Ninja", "-S", "{source}", "-B", "{build}", *options)


def build_environment(epoch: int, toolchain: Toolchain) -> tuple[tuple[str, str], ...]:
    """Return the whole environment of a build: nothing of the caller's.

    SOURCE_DATE_EPOCH as in https://reproducible-builds.org/specs/source-date-epoch/.
    """
    path = "{wrappers}:{toolchain}/bin"
    own: tuple[tuple[str, str], ...] = ()
    if toolchain.kind == "host":
        path = f"{{toolchain}}/bin:{HOST_BIN}:/bin:/usr/sbin:/sbin"
    else:
        # zig does not notice a changed file behind .incbin: no cache outlives its build
        own = (("ZIG_GLOBAL_CACHE_DIR", "{build}/zig"), ("ZIG_LOCAL_CACHE_DIR", "{build}/zig"))
    return (
        ("HOME", "{build}/home"),
        ("LC_ALL", "C"),
        ("PATH", path),
        ("SOURCE_DATE_EPOCH", str(epoch)),
        ("TMPDIR", "{build}/tmp"),
        ("TZ", "UTC"),
        *own,
    )
