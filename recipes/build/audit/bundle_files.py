"""The files of a bundle, whatever their format: which are binaries, and which hold text that they must not."""

from __future__ import annotations

import mmap
from typing import TYPE_CHECKING

from recipes.build.audit.violation import Violation
from recipes.core.filesystem import storage_errors

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

SHORTEST_NEEDLE = 4  # bytes


def find_binaries(
    root: Path, is_binary: Callable[[Path], bool], kind: str
) -> tuple[dict[str, Path], list[Violation]]:
    """Return each binary of a bundle by its name, sorted; and each link, and each file of bin/ and lib/ that is none.

    `is_binary` tells by a file's first bytes, `kind` is the format's name for errors. Raises StoreError where a file
    cannot be read.
    """
    paths: dict[str, Path] = {}
    violations: list[Violation] = []
    with storage_errors(root):
        for path in sorted(path for path in root.rglob("*") if path.is_symlink() or not path.is_dir()):
            name = path.relative_to(root).as_posix()
            if path.is_symlink():
                violations.append(Violation("regular files", f"{name}: a link", "lay the bundle out again"))
            elif is_binary(path):
                paths[name] = path
            elif name.startswith(("bin/", "lib/")):
                violations.append(
                    Violation(
                        f"{kind} files in bin/ and lib/", f"{name} is none", "check `bundle:` in the manifest"
                    )
                )
    return paths, violations


def find_strings(root: Path, needles: Sequence[bytes]) -> tuple[tuple[str, bytes], ...]:
    """Find what must not be in any file below a folder: the store's path, a home, a build folder.

    Raises ValueError where a needle has less than 4 bytes, which occur by chance in machine code, and StoreError where
    a file cannot be read.
    """
    if short := [needle for needle in needles if len(needle) < SHORTEST_NEEDLE]:
        raise ValueError(f"{short[0]!r} is shorter than {SHORTEST_NEEDLE} bytes and would occur by chance")
    found: list[tuple[str, bytes]] = []
    with storage_errors(root):
        for path in sorted(path for path in root.rglob("*") if path.is_file() and not path.is_symlink()):
            if path.stat().st_size == 0:  # cannot be mapped
                continue
            name = path.relative_to(root).as_posix()
            with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
                found += ((name, needle) for needle in needles if data.find(needle) >= 0)
    return tuple(found)
