"""Small PE files, made by the pinned zig: a program, and a library that it needs."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.integration.mac_files import Workshop

if TYPE_CHECKING:
    from pathlib import Path

TARGET = "x86_64-windows.win10-gnu"
LIBRARY = '__attribute__((visibility("default"))) int add(int a, int b) { return a + b; }\n'
PROGRAM = (
    '#include <stdio.h>\nint add(int, int);\nint main(void) { return printf("%d\\n", add(1, 2)) < 0; }\n'
)


class WindowsWorkshop(Workshop):
    """Compiles for Windows with the pinned zig."""

    def library(self, root: Path, source: str = LIBRARY, *flags: str, target: str = TARGET) -> Path:
        """Make bin/add.dll of a bundle, and its import library outside of it."""
        return self.compile(
            source,
            root / "bin" / "add.dll",
            *("-shared", "-fvisibility=hidden", f"-Wl,--out-implib,{self.folder / 'add.lib'}", *flags),
            target=target,
        )

    def program(self, root: Path, source: str = PROGRAM, *flags: str, target: str = TARGET) -> Path:
        """Make bin/program.exe of a bundle."""
        return self.compile(
            source,
            root / "bin" / "program.exe",
            *(str(self.folder / "add.lib"), "-fvisibility=hidden", *flags),
            target=target,
        )

    def bundle(self, root: Path) -> Path:
        """Lay out bin/program.exe and bin/add.dll as a bundle has them."""
        self.library(root)
        self.program(root)
        (root / "build.json").write_text("{}\n")
        return root
