"""The SDK of our own is an input of the plan: what is built with another one is another plan, or is refused."""

from __future__ import annotations

import shutil
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from recipes.build.plan.plan import Plan, make_plan
from recipes.build.toolchain import sdk
from recipes.build.toolchain.sdk import SDK, lay_out_sdk
from recipes.core.digest import Sha256, hash_tree
from recipes.core.errors import VerifyError
from recipes.manifest.load import Manifests

if TYPE_CHECKING:
    from pathlib import Path

MANIFESTS = Manifests()
MACOS = "macos-arm64-metal"
PINNED = hash_tree(SDK, Sha256)
OTHER = Sha256("11" * 32)


def plan_of(recipe: str, platform: str = MACOS) -> Plan:
    chosen = MANIFESTS.recipe(recipe)
    return make_plan(chosen, platform, MANIFESTS.toolchain(chosen.platforms[platform].toolchain))


def of_a_mac() -> list[str]:
    names = MANIFESTS.recipe_names()
    return [name for name in names if MACOS in MANIFESTS.recipe(name).platforms]


def test_the_default_recipe_is_built_for_a_mac() -> None:
    assert MANIFESTS.defaults().recipe in of_a_mac()


@pytest.mark.parametrize("recipe", of_a_mac())
def test_every_recipe_pins_the_sdk_that_lies_here(recipe: str) -> None:
    assert MANIFESTS.recipe(recipe).platforms[MACOS].sdk == PINNED


def test_another_sdk_is_another_plan() -> None:
    plan = plan_of("b6751")
    other = replace(plan, inputs=replace(plan.inputs, sdk=OTHER))
    assert other.digest != plan.digest
    assert plan.named_inputs()["sdk"] == str(PINNED)


def test_a_plan_without_an_sdk_says_nothing_of_one(tmp_path: Path) -> None:
    plan = plan_of("b6751", "linux-x86_64-cpu")
    assert "sdk" not in plan.as_data()["inputs"]  # type: ignore[operator] # a mapping
    lay_out_sdk(plan, tmp_path / "sdk")
    assert not (tmp_path / "sdk").exists()


def test_the_copy_is_the_pinned_tree(tmp_path: Path) -> None:
    lay_out_sdk(plan_of("b6751"), tmp_path / "sdk")
    assert hash_tree(tmp_path / "sdk", Sha256) == PINNED


def test_a_changed_header_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    changed = tmp_path / "changed"
    shutil.copytree(SDK, changed)
    header = next(changed.rglob("Metal.h"))
    header.write_text(header.read_text().replace("MTLDataTypeBool = 53", "MTLDataTypeBool = 52"))
    monkeypatch.setattr(sdk, "SDK", changed)
    with pytest.raises(VerifyError) as caught:
        lay_out_sdk(plan_of("b6751"), tmp_path / "sdk")
    assert caught.value.where.endswith("platforms.macos-arm64-metal.sdk")
    assert str(PINNED) in caught.value.expected
    assert caught.value.found == str(hash_tree(changed, Sha256))
