"""Random trees of files and links, as hypothesis draws them."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from hypothesis import strategies as st

if TYPE_CHECKING:
    from pathlib import Path

# any byte but NUL and slash
NAMES = (
    st.binary(min_size=1, max_size=12)
    .filter(lambda name: not {b"/"[0], 0} & set(name) and name not in {b".", b".."})
    .map(os.fsdecode)
)
FILES = st.tuples(
    st.just("file"), st.binary(max_size=64), st.sampled_from([0o600, 0o644, 0o700, 0o755, 0o444])
)
LINKS = st.tuples(st.just("link"), st.binary(min_size=1, max_size=64).filter(lambda data: 0 not in data))


def trees(names: st.SearchStrategy[str] = NAMES) -> st.SearchStrategy[dict[str, object]]:
    """Draw folders, as dictionaries of what is in them."""
    inner = st.recursive(FILES | LINKS, lambda each: st.dictionaries(names, each, max_size=4), max_leaves=12)
    return st.dictionaries(names, inner, max_size=5)


def plant(root: Path, tree: dict[str, object]) -> None:
    """Write such a tree into a folder."""
    root.mkdir(exist_ok=True)
    for name, node in tree.items():
        match node:
            case dict():
                plant(root / name, node)
            case ("file", bytes(data), int(mode)):
                (root / name).write_bytes(data)
                (root / name).chmod(mode)
            case ("link", bytes(target)):
                (root / name).symlink_to(os.fsdecode(target))
