"""The pinned listing of a bundle: one line a file, in the format of `git ls-tree -r`.

The recipe pins one digest per platform; the listing that has this digest lies in manifests/outputs/, so that
a bundle which is not the pinned one can be told apart file by file without having the pinned one at hand.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from recipes.core.digest import Sha256, TreeEntry, blob_entries, tree_of_entries

if TYPE_CHECKING:
    from pathlib import Path

LINE = re.compile(r"(?P<mode>100644|100755|120000) blob (?P<digest>[0-9a-f]{64})\t(?P<path>.+)")


def list_bundle(root: Path) -> str:
    """Return the listing of a bundle, as `git ls-tree -r` prints a tree in git's SHA-256 object format."""
    blobs = blob_entries(root, Sha256)
    return "".join(f"{entry.mode} blob {entry.digest_hex}\t{path}\n" for path, entry in sorted(blobs.items()))


def parse_listing(text: str) -> dict[str, TreeEntry]:
    """Read a listing; raises ValueError with the number of the first line that is not in the format."""
    entries: dict[str, TreeEntry] = {}
    for number, line in enumerate(text.splitlines(), 1):
        match = LINE.fullmatch(line)
        if match is None or match["path"] in entries:
            raise ValueError(f"line {number} is not `MODE blob SHA256<tab>PATH`, once a path: {line}")
        entries[match["path"]] = TreeEntry(match["mode"], match["digest"])
    return entries


def digest_of_listing(text: str) -> Sha256:
    """Return the tree digest that a bundle with this listing has; raises ValueError as `parse_listing` does."""
    return tree_of_entries(parse_listing(text), Sha256)


def compare_listings(pinned: str, found: str) -> tuple[str, ...]:
    """Name what differs, a line a file, in the order of the paths."""
    left, right = parse_listing(pinned), parse_listing(found)
    lines = []
    for path in sorted(left.keys() | right.keys()):
        if path not in right:
            lines.append(f"{path}: missing")
        elif path not in left:
            lines.append(f"{path}: not in the pinned bundle")
        elif left[path].digest_hex != right[path].digest_hex:
            lines.append(f"{path}: other bytes")
        elif left[path] != right[path]:
            lines.append(f"{path}: mode {right[path].mode}, pinned {left[path].mode}")
    return tuple(lines)


def describe_mismatch(pinned: str | None, root: Path) -> str:
    """Say in lines what of a bundle differs from its pinned listing, and how much is the same."""
    if pinned is None:
        return "(no listing of the pinned bundle is committed, so the files cannot be told apart)"
    differing = compare_listings(pinned, list_bundle(root))
    same = len(parse_listing(pinned)) - sum(
        not line.endswith("not in the pinned bundle") for line in differing
    )
    return "\n".join((*differing, f"{same} files are the pinned ones"))
