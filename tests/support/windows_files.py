"""Small PE files, made by the pinned zig as a build calls it: a program, and a library that it needs."""

from __future__ import annotations

from typing import TYPE_CHECKING

from recipes.build.toolchain.toolchain import RUNTIME_FLAGS
from tests.support.pinned_compiler import OUT, WrappedCompiler

if TYPE_CHECKING:
    from pathlib import Path

LIBRARY = '__attribute__((visibility("default"))) int add(int a, int b) { return a + b; }\n'
PROGRAM = (
    '#include <stdio.h>\nint add(int, int);\nint main(void) { return printf("%d\\n", add(1, 2)) < 0; }\n'
)
FLAGS = (*RUNTIME_FLAGS, "-g0", "-fvisibility=hidden")


class WindowsCompiler(WrappedCompiler):
    """Compiles for Windows."""

    platform = "windows-x86_64-cpu"
    flags = FLAGS

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
