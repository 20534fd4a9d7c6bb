"""Builds a recipe's patched source with the machine's compiler, AddressSanitizer and UBSan: to attack, not to ship."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from recipes.build.source_tree import ensure_patched
from recipes.build.toolchain.toolchain import ensure_toolchain
from recipes.core.errors import BuildError
from recipes.core.filesystem import storage_errors
from recipes.core.process import Command, run

if TYPE_CHECKING:
    from pathlib import Path

    from recipes.build.context import Job

TARGET = "llama-server"
OPTIONS = {
    "CMAKE_BUILD_TYPE": "RelWithDebInfo",
    **{
        f"CMAKE_{each}_FLAGS_RELWITHDEBINFO": "-O1 -g1 -DNDEBUG" for each in ("C", "CXX")
    },  # -O2: 2.3 times as long
    "LLAMA_SANITIZE_ADDRESS": "ON",
    "LLAMA_SANITIZE_UNDEFINED": "ON",
    "GGML_SANITIZE_ADDRESS": "ON",  # ggml asks for its own
    "GGML_SANITIZE_UNDEFINED": "ON",
    "GGML_NATIVE": "OFF",
    "GGML_OPENMP": "OFF",
    "LLAMA_BUILD_TESTS": "OFF",
    "LLAMA_BUILD_EXAMPLES": "OFF",
    "LLAMA_CURL": "OFF",
    "LLAMA_OPENSSL": "OFF",
}


def sanitized_build(job: Job, folder: Path) -> Path:
    """Return a folder with such a llama-server, built in it where it is missing or the source changed.

    A BuildError is raised where it cannot be built; what was compiled is kept for the next try.
    """
    source = ensure_patched(job).path
    tools = ensure_toolchain(job.toolchain, job).path
    build = folder / source.name
    with storage_errors(build):
        build.mkdir(parents=True, exist_ok=True)
    cmake, ninja = _tool(tools, "cmake"), _tool(tools, "ninja")
    defines = tuple(f"-D{name}={value}" for name, value in OPTIONS.items())
    steps = (
        (
            str(cmake),
            "-S",
            str(source),
            "-B",
            str(build),
            "-G",
            "Ninja",
            f"-DCMAKE_MAKE_PROGRAM={ninja}",
            *defines,
        ),
        (str(ninja), "-C", str(build), "-j", str(job.surroundings.jobs), TARGET),
    )
    environment = {"PATH": os.environ.get("PATH", os.defpath), "HOME": str(build), "LC_ALL": "C"}
    for argv in steps:
        job.console.say(f"  {' '.join(argv[:1])} for {build}")
        done = run(Command(argv, build, environment), log=build / "build.log")
        if done.status != 0:
            raise BuildError(
                where=str(build / "build.log"),
                expected="a C++ compiler of this machine with AddressSanitizer and UBSan",
                found=done.text,
                fix="install one (Debian, Ubuntu: apt-get install g++), and run the same command again",
            )
    return build


def _tool(tools: Path, name: str) -> Path:
    return next(path for path in sorted(tools.rglob(f"bin/{name}")) if os.access(path, os.X_OK))
