"""Small Mach-O files, made by the pinned zig: a program, and a library that it needs."""

from __future__ import annotations

import os
import shutil
import subprocess
from typing import TYPE_CHECKING

from recipes.console import open_console
from recipes.macho.audit import MacTarget
from recipes.macho.stubs import read_stubs
from recipes.manifest import Manifests
from recipes.settings import read_settings
from recipes.store import Store
from recipes.toolchain import ensure_toolchain

if TYPE_CHECKING:
    from pathlib import Path

TARGET = "aarch64-macos.13.3"
LIBRARY = '__attribute__((visibility("default"))) int add(int a, int b) { return a + b; }\n'
PROGRAM = (
    '#include <stdio.h>\nint add(int, int);\nint main(void) { return printf("%d\\n", add(1, 2)) < 0; }\n'
)


class Workshop:
    """Compiles for macOS with the pinned zig.

    Parameters
    ----------
    folder
        For sources and the compiler's cache.
    """

    def __init__(self, folder: Path) -> None:
        manifests = Manifests()
        recipe = manifests.recipe(manifests.defaults().recipe)
        toolchain = manifests.toolchain(recipe.platforms["linux-x86_64-cpu"].toolchain)
        settings = read_settings()
        entry = ensure_toolchain(toolchain, Store.open(settings.store), open_console(), settings)
        self.folder = folder
        self.zig = entry.path / "ziglang" / "ziglang"

    def compile(self, source: str, into: Path, *flags: str, target: str = TARGET) -> Path:
        """Compile a C source to a program, or to a library where the flags say so."""
        into.parent.mkdir(parents=True, exist_ok=True)
        file = self.folder / f"{into.name}.c"
        file.write_text(source)
        cache = str(self.folder / "zig")
        environment = {**os.environ, "ZIG_GLOBAL_CACHE_DIR": cache, "ZIG_LOCAL_CACHE_DIR": cache}
        command = [
            str(self.zig / "zig"),
            "cc",
            "-target",
            target,
            "-O2",
            "-s",
            *flags,
            str(file),
            "-o",
            str(into),
        ]
        subprocess.run(command, check=True, env=environment, capture_output=True)
        return into

    def bundle(self, root: Path) -> Path:
        """Lay out bin/program and lib/libadd.dylib as a bundle has them."""
        library = self.compile(
            LIBRARY,
            root / "lib" / "libadd.dylib",
            "-shared",
            "-fvisibility=hidden",
            "-Wl,-install_name,@rpath/libadd.dylib",
        )
        self.compile(
            PROGRAM,
            root / "bin" / "program",
            str(library),
            "-Wl,-rpath,@loader_path/../lib",
            "-fvisibility=hidden",
        )
        (root / "build.json").write_text("{}\n")
        return root

    def target(self) -> MacTarget:
        """Give what the files are for, with the stub of the only library of the system that they need."""
        return MacTarget("arm64", "13.3", read_stubs([self.zig / "lib/libc/darwin/libSystem.tbd"]))


def copy_bundle(bundle: Path, into: Path) -> Path:
    """Copy a bundle, so that it can be tampered with."""
    shutil.copytree(bundle, into)
    return into
