"""The files of a bundle, whatever their format: which are binaries, how one is read, which hold what they must not."""

from __future__ import annotations

import mmap
import re
from typing import TYPE_CHECKING, TypeVar

from recipes.build.audit.flag_rules import Departure
from recipes.core.errors import AuditError
from recipes.core.filesystem import storage_errors

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

# operator new and delete: [replacement.functions] of the C++ standard has one of each for the whole program,
# so that copies of them which meet agree; libc++abi exports them whatever the visibility
REPLACEABLE = re.compile(r"_Z(?:n[wa]|d[la])[a-zA-Z]")

Facts = TypeVar("Facts")

SHORTEST_NEEDLE = 4  # bytes


def find_binaries(
    root: Path, is_binary: Callable[[Path], bool], kind: str
) -> tuple[dict[str, Path], list[Departure]]:
    """Find the binaries of a bundle, and what stands in their place.

    Parameters
    ----------
    root
        A laid-out bundle.
    is_binary
        Whether a file has the platform's format, by its first bytes.
    kind
        The format's name, for errors: ELF, Mach-O, PE.

    Returns
    -------
    paths, departures
        Each binary by its name in the bundle, in the order of the names; each link, and each file of bin/ and lib/
        that is no such binary.

    Raises
    ------
    StoreError
        Where a file cannot be read.
    """
    paths: dict[str, Path] = {}
    departures: list[Departure] = []
    with storage_errors(root):
        for path in sorted(path for path in root.rglob("*") if path.is_symlink() or not path.is_dir()):
            name = path.relative_to(root).as_posix()
            if path.is_symlink():
                departures.append(Departure("regular files", f"{name}: a link", "lay the bundle out again"))
            elif is_binary(path):
                paths[name] = path
            elif name.startswith(("bin/", "lib/")):
                departures.append(
                    Departure(
                        f"{kind} files in bin/ and lib/", f"{name} is none", "check `bundle:` in the manifest"
                    )
                )
    return paths, departures


def read_binary(path: Path, expected: str, read: Callable[[bytes], Facts]) -> Facts:
    """Read one binary with a library that was not made for damaged ones.

    Parameters
    ----------
    path
        The file.
    expected
        What it is, for the error.
    read
        Takes its bytes, gives what is told of it, and raises whatever it likes.

    Raises
    ------
    AuditError
        Where the file is not what is expected, or is damaged.
    """
    with storage_errors(path):
        data = path.read_bytes()
    try:
        return read(data)
    except Exception as error:  # noqa: BLE001 - which one depends on the field that is damaged
        raise AuditError(
            where=str(path),
            expected=expected,
            found=f"{type(error).__name__}: {error}",
            fix="build it again, and check the disk where it happens twice",
        ) from None


def find_strings(root: Path, needles: Sequence[bytes]) -> tuple[tuple[str, bytes], ...]:
    """Find what must not be in any file below a folder: the store's path, a home, a build folder.

    Parameters
    ----------
    root
        A folder.
    needles
        Each at least 4 bytes: shorter ones occur by chance in machine code.

    Returns
    -------
    tuple of (name, needle)
        Each file with each needle that it holds.

    Raises
    ------
    ValueError
        Where a needle is too short to mean anything.
    StoreError
        Where a file cannot be read.
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
