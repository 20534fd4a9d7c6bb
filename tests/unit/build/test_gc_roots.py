"""What belongs to a page stays in the store, half fetched packages too, as long as a recipe has that page."""

from __future__ import annotations

from pathlib import Path

import pytest

from recipes.build.gc_roots import find_reachable
from recipes.build.plan.plan import final_tree
from recipes.build.source_tree import paged_source_key
from recipes.build.toolchain.toolchain import host_name, toolchain_key
from recipes.build.webpage.build_page import page_key
from recipes.build.webpage.npm_packages import packages_key, partial_name
from recipes.core.console import Silent
from recipes.manifest.load import Manifests
from recipes.store import gc
from recipes.store.store import Store

MANIFESTS = Manifests()
RECIPE = MANIFESTS.recipe("b11312")


def test_a_page_its_packages_and_what_has_been_fetched_of_them_are_kept(tmp_path: Path) -> None:
    page = RECIPE.page
    assert page is not None
    node = MANIFESTS.toolchain(page.toolchain)
    if host_name() not in node.hosts:
        pytest.skip(f"no node is pinned for {host_name()}")
    unpacked = toolchain_key(node, host_name())
    packages = packages_key(final_tree(RECIPE), page.folder, unpacked)
    reachable = find_reachable(MANIFESTS, Path("/store/entries"))
    assert {unpacked, packages, page_key(RECIPE, page, node), paged_source_key(RECIPE)} <= reachable.keys
    store = Store.open(tmp_path)
    names = (f"{partial_name(packages).hex}.npm", f"{partial_name('another').hex}.npm")
    for name in names:
        (store.partial / name / "_cacache").mkdir(parents=True)
        (store.partial / name / "_cacache" / "file").write_text("x")
    plan = gc.plan_collection(reachable.keys, reachable.blobs, gc.list_store(store), rejected=False)
    gc.collect(store, plan, Silent())
    assert [path.name for path in store.partial.iterdir()] == [names[0]]
