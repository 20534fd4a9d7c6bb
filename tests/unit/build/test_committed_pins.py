"""What is committed fits together: every manifest loads, every patch and every listing is the pinned one."""

from __future__ import annotations

import re

import pytest

from recipes.build.bundle.layout import is_pin_of
from recipes.build.bundle.listing import digest_of_listing
from recipes.build.plan.plan import Plan, make_plan
from recipes.core.digest import hash_file
from recipes.manifest.load import PROJECT, Manifests

MANIFESTS = Manifests()
RECIPES = MANIFESTS.recipe_names()
PLATFORMS = [(name, platform) for name in RECIPES for platform in MANIFESTS.recipe(name).platforms]


def test_no_merge_left_its_marks() -> None:
    folders = ("docs", "manifests", "recipes", "tests", ".github")
    texts = [path for folder in folders for path in (PROJECT / folder).rglob("*.*") if path.is_file()]
    assert len(texts) > 100
    marks = re.compile(rb"^(<{7} |>{7} )", re.MULTILINE)
    assert [path.name for path in (PROJECT / "README.md", *texts) if marks.search(path.read_bytes())] == []


def test_the_default_recipe_is_there_for_each_machine() -> None:
    defaults = MANIFESTS.defaults()
    assert set(defaults.platforms.values()) <= set(MANIFESTS.recipe(defaults.recipe).platforms)


@pytest.mark.parametrize("name", RECIPES)
def test_each_patch_is_the_pinned_one_and_none_is_left_over(name: str) -> None:
    pinned = {patch.file: patch.sha256 for patch in MANIFESTS.recipe(name).patches}
    committed = {
        path.relative_to(MANIFESTS.patches).as_posix(): hash_file(path)
        for path in (MANIFESTS.patches / name).glob("*.patch")
    }
    assert committed == pinned


def test_every_patch_folder_belongs_to_a_recipe() -> None:
    assert {path.name for path in MANIFESTS.patches.iterdir()} <= set(RECIPES)


@pytest.mark.parametrize(("name", "platform"), PLATFORMS)
def test_each_pinned_output_has_its_listing(name: str, platform: str) -> None:
    listing = MANIFESTS.output_listing(name, platform)
    pinned = MANIFESTS.recipe(name).platforms[platform].output
    assert (digest_of_listing(listing) if listing else None) == pinned


def plan_of(name: str, platform: str) -> Plan:
    recipe = MANIFESTS.recipe(name)
    return make_plan(recipe, platform, MANIFESTS.toolchain(recipe.platforms[platform].toolchain))


@pytest.mark.parametrize(("name", "platform"), PLATFORMS)
def test_each_listing_is_of_what_the_plan_gives_now(name: str, platform: str) -> None:
    assert is_pin_of(plan_of(name, platform), MANIFESTS.output_listing(name, platform))


def test_the_readme_shows_the_output_that_is_pinned() -> None:
    recipe, platform = MANIFESTS.recipe(MANIFESTS.defaults().recipe), "linux-x86_64-cpu"
    plan, output = plan_of(recipe.name, platform), recipe.platforms[platform].output
    readme = (PROJECT / "README.md").read_text("utf-8")
    for shown in (plan.bundle_key, f"digest:   {output} (the pinned one)", str(plan.digest)):
        assert shown in readme


def test_each_platform_has_a_plan_of_its_own() -> None:
    assert len({plan_of(name, platform).digest for name, platform in PLATFORMS}) == len(PLATFORMS)
