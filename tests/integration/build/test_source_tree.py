"""A source entry that is whole but not the tree of its name: never used, and out of the way the next time."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from recipes.build.source_tree import find_source, source_key
from recipes.core.digest import Sha256
from recipes.core.errors import StoreError
from recipes.store.store import Store

if TYPE_CHECKING:
    from pathlib import Path


def test_an_entry_that_is_not_the_tree_of_its_name_is_set_aside(tmp_path: Path) -> None:
    store = Store.open(tmp_path)
    wanted = Sha256("1" * 64)
    with store.stage(source_key(wanted), "source", {}) as staging:
        (staging.path / "file").write_text("another tree")
    with pytest.raises(StoreError) as refusal:
        find_source(store, wanted)
    assert refusal.value.expected == f"tree {wanted}, as pinned"
    assert refusal.value.found.startswith(f"tree {staging.entry.tree}, set aside in {store.root}")
    assert find_source(store, wanted) is None
