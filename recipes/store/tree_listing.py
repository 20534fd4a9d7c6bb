"""The files of a stored tree by name, so that a change can be named. Trusted by the tree's digest only.

One record per file, as `git ls-tree -r -z` words it, less the type: mode, space, object id, tab, name, NUL.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from recipes.core.digest import Sha256, TreeEntry, tree_of_entries
from recipes.core.filesystem import read_no_link, shown

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

SHOWN_FILES = 5
LINK, PROGRAM = "120000", "100755"
BECAME = {LINK: "a link now", PROGRAM: "executable now"}
CEASED = {LINK: "no longer a link", PROGRAM: "no longer executable"}


def encode(files: Mapping[str, TreeEntry]) -> bytes:
    """Write the listing of a tree, sorted by name."""
    return b"".join(
        f"{entry.mode} {entry.digest_hex}\t".encode() + os.fsencode(name) + b"\0"
        for name, entry in sorted(files.items())
    )


def decode(data: bytes) -> dict[str, TreeEntry]:
    """Read a listing; raises ValueError where it is not one."""
    files = {}
    for line in data.split(b"\0")[:-1]:
        head, _, name = line.partition(b"\t")
        mode, digest_hex = head.decode("ascii").split(" ")
        files[os.fsdecode(name)] = TreeEntry(mode, digest_hex)
    return files


def read(path: Path, tree: Sha256) -> dict[str, TreeEntry] | None:
    """Return the listing in a file, or None where it is not the one of this tree."""
    try:
        files = decode(read_no_link(path))
        return files if tree_of_entries(files, Sha256) == tree else None
    except (FileNotFoundError, ValueError):
        return None


def differences(
    recorded: Mapping[str, TreeEntry] | None, present: Mapping[str, TreeEntry], root: Path
) -> str:
    """Name the files that differ, one line each, the first few by name.

    `recorded` is None where the tree's listing is lost; the root is needed to read where a changed link leads.
    """
    if recorded is None:
        return "which files differ is not known: the listing of this tree is lost"
    lines = [
        f"{_verb(recorded.get(name), present.get(name), root / name)}: {shown(name)}"
        for name in sorted(recorded.keys() | present.keys())
        if recorded.get(name) != present.get(name)
    ]
    more = len(lines) - SHOWN_FILES
    return "\n".join(lines[:SHOWN_FILES] + ([f"and {more} more"] if more > 0 else []))


def _verb(before: TreeEntry | None, now: TreeEntry | None, path: Path) -> str:
    if before is None:
        return "extra"
    if now is None:
        return "missing"
    if before.mode == now.mode == LINK:
        return f"leads to {shown(os.readlink(path))} now"  # noqa: PTH115 - Path.readlink drops "./" and a last "/"
    if before.mode != now.mode:
        return BECAME.get(now.mode) or CEASED[before.mode]
    return "changed"
