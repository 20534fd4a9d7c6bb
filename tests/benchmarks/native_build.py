"""A program as a person would build it on this machine: gcc -O3 -march=native, OpenMP, CMake's Release."""

from __future__ import annotations

import hashlib
import os
import shutil
from typing import TYPE_CHECKING

from recipes.core.cores import usable_cores
from tests.benchmarks.machine import cpu_model
from tests.benchmarks.turns import Say, UnmeasurableError, run_program

if TYPE_CHECKING:
    from pathlib import Path

    from recipes.core.digest import Sha1

OPTIONS = (
    "-DCMAKE_BUILD_TYPE=Release",
    "-DCMAKE_C_COMPILER=gcc",
    "-DCMAKE_CXX_COMPILER=g++",
    "-DGGML_NATIVE=ON",
    "-DLLAMA_CURL=OFF",
    "-DLLAMA_OPENSSL=OFF",
    "-DLLAMA_BUILD_TESTS=OFF",
    "-DLLAMA_BUILD_EXAMPLES=OFF",
    "-DLLAMA_BUILD_COMMIT=native",
    "-DLLAMA_BUILD_NUMBER=1",
)


def ensure_native_build(  # noqa: PLR0913 - what names a build
    source: Path,
    tree: Sha1,
    toolchain: Path,
    folder: Path,
    say: Say,
    *,
    program: str,
    options: tuple[str, ...] = (),
) -> Path:
    """Return a program, built in a folder named by source, compiler and processor; a complete one is kept.

    Parameters
    ----------
    source, tree
        What it is built from, and its digest.
    program, options
        Its target in CMake, and options beside those that every build has.

    Raises
    ------
    UnmeasurableError
        Where gcc is missing or the build fails.
    """
    if shutil.which("gcc") is None or shutil.which("g++") is None:
        raise UnmeasurableError("gcc and g++ are not installed (Debian, Ubuntu: apt-get install g++)")
    made_of = "\n".join((tree.hex, compiler_version(), cpu_model(), program, *OPTIONS, *options))
    build = folder / f"native-{hashlib.sha256(made_of.encode()).hexdigest()[:16]}"
    built, complete = build / "bin" / program, build / "complete"
    if complete.exists():
        say(f"  the gcc build is there: {build}")
        return built
    build.mkdir(parents=True, exist_ok=True)  # one that was interrupted goes on: ninja knows what is done
    say(f"  building with gcc, once (minutes): {build}")
    ninja = str(toolchain / "bin" / "ninja")
    environment = {
        "PATH": os.environ.get("PATH", os.defpath),
        "HOME": str(build),
        "LC_ALL": "C",
    }
    configure = (
        str(toolchain / "bin" / "cmake"),
        "-G",
        "Ninja",
        f"-DCMAKE_MAKE_PROGRAM={ninja}",
        "-S",
        str(source),
    )
    for argv in (
        (*configure, "-B", str(build), *OPTIONS, *options),
        (ninja, "-C", str(build), "-j", str(usable_cores()), program),
    ):
        run_program(argv, cwd=build, env=environment, log=build / "log")
    complete.touch()
    return built


def compiler_version() -> str:
    return run_program(("gcc", "--version")).splitlines()[0]
