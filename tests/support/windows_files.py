"""Small PE files, made by the pinned zig as a build calls it: a program, and a library that it needs."""

from __future__ import annotations

import os
import shutil
import subprocess
from typing import TYPE_CHECKING

from recipes.build.plan.plan import make_plan
from recipes.build.toolchain.toolchain import (
    RUNTIME_FLAGS,
    ensure_runtime,
    ensure_toolchain,
    lay_out_wrappers,
)
from recipes.core.console import open_console
from recipes.core.settings import read_settings
from recipes.manifest.load import Manifests
from recipes.store.context import Context
from recipes.store.store import Store

if TYPE_CHECKING:
    from pathlib import Path

LIBRARY = '__attribute__((visibility("default"))) int add(int a, int b) { return a + b; }\n'
PROGRAM = (
    '#include <stdio.h>\nint add(int, int);\nint main(void) { return printf("%d\\n", add(1, 2)) < 0; }\n'
)


class Workshop:
    """Compiles for Windows with the pinned zig.

    Parameters
    ----------
    folder
        For sources, import libraries and the compiler's cache.
    """

    def __init__(self, folder: Path) -> None:
        manifests = Manifests()
        recipe = manifests.recipe("b6751")
        toolchain = manifests.toolchain(recipe.platforms["windows-x86_64-cpu"].toolchain)
        plan = make_plan(recipe, "windows-x86_64-cpu", toolchain)
        settings = read_settings()
        context = Context(Store.open(settings.store), open_console(), settings)
        entry = ensure_toolchain(toolchain, context)
        # without it each test run would compile Windows' C library first
        runtime = ensure_runtime(plan, entry, context)
        shutil.copytree(runtime.path, folder / "zig", copy_function=shutil.copyfile)
        self.folder = folder
        folders = {"toolchain": entry.path, "build": folder, "wrappers": folder / "wrappers"}
        lay_out_wrappers(plan, folders)

    def compile(self, source: str, into: Path, *flags: str) -> Path:
        """Compile a C source to a program, or to a library where the flags say so."""
        into.parent.mkdir(parents=True, exist_ok=True)
        file = self.folder / f"{into.name}.c"
        file.write_text(source)
        cache = str(self.folder / "zig")
        environment = {**os.environ, "ZIG_GLOBAL_CACHE_DIR": cache, "ZIG_LOCAL_CACHE_DIR": cache}
        compiler = str(self.folder / "wrappers" / "cc")
        command = [compiler, *RUNTIME_FLAGS, "-g0", "-fvisibility=hidden", str(file), *flags, "-o", str(into)]
        subprocess.run(command, check=True, env=environment, capture_output=True)
        return into

    def library(self, into: Path, source: str = LIBRARY, *flags: str) -> Path:
        """Make a library; its import library lies outside of the bundle."""
        return self.compile(
            source, into, "-shared", f"-Wl,--out-implib,{self.folder / into.stem}.lib", *flags
        )

    def program(self, into: Path, source: str = PROGRAM, *flags: str) -> Path:
        """Make a program that may need add.dll."""
        return self.compile(source, into, str(self.folder / "add.lib"), *flags)

    def bundle(self, root: Path) -> Path:
        """Lay out bin/program.exe and bin/add.dll as a bundle has them."""
        self.library(root / "bin" / "add.dll")
        self.program(root / "bin" / "program.exe")
        (root / "build.json").write_text("{}\n")
        return root
