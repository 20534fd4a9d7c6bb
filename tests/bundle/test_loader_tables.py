"""The tables of what each recipe's llama.cpp reads are those of the sources in the store: run after `build`."""

from __future__ import annotations

import pytest

from recipes.build.plan.plan import final_tree
from recipes.build.source_tree import find_source
from recipes.core.settings import read_settings
from recipes.lock.loader import table_of_tree
from recipes.manifest.load import Manifests
from recipes.models.loader.table import derive_command, read_table
from recipes.store.store import Store

MANIFESTS = Manifests()


@pytest.mark.parametrize("name", MANIFESTS.recipe_names())
def test_a_table_is_what_its_source_says(name: str) -> None:
    tree = final_tree(MANIFESTS.recipe(name))
    source = find_source(Store.open(read_settings().store), tree)
    if source is None and name != MANIFESTS.defaults().recipe:
        pytest.skip(f"the source of {name} is not in the store")
    assert source is not None, "run `build` first"
    assert table_of_tree(source.path, str(tree), name) == read_table(MANIFESTS, name), (
        f"run {derive_command(name)}"
    )
