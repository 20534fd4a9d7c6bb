"""Small PE files, made by the pinned zig as a build calls it: a program, and a library that it needs."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

from recipes.build.toolchain.toolchain import (
    RUNTIME_FLAGS,
    ensure_runtime,
    ensure_toolchain,
    lay_out_wrappers,
)
from tests.support.pinned_compiler import OUT, PinnedCompiler

if TYPE_CHECKING:
    from pathlib import Path

LIBRARY = '__attribute__((visibility("default"))) int add(int a, int b) { return a + b; }\n'
PROGRAM = (
    '#include <stdio.h>\nint add(int, int);\nint main(void) { return printf("%d\\n", add(1, 2)) < 0; }\n'
)
FLAGS = (*RUNTIME_FLAGS, "-g0", "-fvisibility=hidden")


class WindowsCompiler(PinnedCompiler):
    """Compiles for Windows."""

    platform = "windows-x86_64-cpu"

    @property
    def called(self) -> list[str]:
        return [*self.plan.compilers(), *FLAGS]

    def command(self) -> list[str]:
        wrappers = self.folder / "wrappers"
        if not wrappers.exists():
            toolchain = ensure_toolchain(self.toolchain, self.context)
            runtime = ensure_runtime(self.plan, toolchain, self.context)
            # without it zig would compile Windows' C library first
            shutil.copytree(runtime.path, self.folder / "zig", copy_function=shutil.copyfile)
            lay_out_wrappers(
                self.plan, {"toolchain": toolchain.path, "build": self.folder, "wrappers": wrappers}
            )
        return [str(wrappers / "cc"), *FLAGS]

    def library(self, into: Path, source: str = LIBRARY, *flags: str, fresh: bool = False) -> Path:
        """Make a library; its import library lies outside of the bundle."""
        implib = f"-Wl,--out-implib,{OUT}/{into.stem}.lib"
        return self.compile(source, into, "-shared", implib, *flags, fresh=fresh)

    def program(self, into: Path, source: str = PROGRAM, *flags: str, fresh: bool = False) -> Path:
        """Make a program that may need add.dll."""
        return self.compile(source, into, self.folder / "add.lib", *flags, fresh=fresh)

    def bundle(self, root: Path, *, fresh: bool = False) -> Path:
        """Lay out bin/program.exe and bin/add.dll as a bundle has them."""
        self.library(root / "bin" / "add.dll", fresh=fresh)
        self.program(root / "bin" / "program.exe", fresh=fresh)
        (root / "build.json").write_text("{}\n")
        return root
