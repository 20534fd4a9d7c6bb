"""Two records are compared part by part, and each difference leads to a pin."""

from __future__ import annotations

from dataclasses import replace

import pytest

from recipes.build.plan.difference import FOLLOWS, compare_records, flatten, meaning, only_different
from recipes.build.plan.plan import Plan, make_plan, narrow
from recipes.manifest.load import Manifests

NAMES = {"recipe": "b11312", "platform": "linux-x86_64-cpu"}


@pytest.fixture(scope="module")
def plan() -> Plan:
    manifests = Manifests()
    recipe = manifests.recipe("b11312")
    return make_plan(
        recipe, NAMES["platform"], manifests.toolchain(recipe.platforms[NAMES["platform"]].toolchain)
    )


def test_equal_records_do_not_differ(plan: Plan) -> None:
    assert compare_records(plan.record(), plan.record()) == ()


def test_every_part_of_a_plan_leads_to_a_pin(plan: Plan) -> None:
    keys = {key for key, _ in flatten(plan.record())} - FOLLOWS
    assert [key for key in sorted(keys) if not meaning(key, NAMES)[1]] == []


def test_a_patch_is_named_by_its_file(plan: Plan) -> None:
    fewer = replace(plan, inputs=replace(plan.inputs, patches=plan.inputs.patches[1:]))
    (found,) = compare_records(plan.record(), fewer.record())
    name, digest = plan.inputs.patches[0]
    assert (found.what, found.left, found.right) == (f"patch {name}", digest.hex, "absent")
    assert found.pin == f"patches/{name}, listed in manifests/recipes/b11312.yaml: patches"


def test_an_option_is_said_once_and_with_its_pin(plan: Plan) -> None:
    other = narrow(plan, ("llama-server",), cmake={"GGML_NATIVE": "ON"})
    found = {each.what: each for each in compare_records(plan.record(), other.record())}
    assert (found["option GGML_NATIVE"].left, found["option GGML_NATIVE"].right) == ("OFF", "ON")
    assert "cmake.GGML_NATIVE" in found["option GGML_NATIVE"].pin
    assert {"targets", "whole bundle"} < found.keys()
    assert not any("configure" in what for what in found)


def test_of_long_values_only_the_different_words_are_shown() -> None:
    words = "one two three four five six seven"
    assert only_different(words, f"{words} eight") == ("nothing more", "eight")
    assert only_different(words, " ".join(reversed(words.split()))) == ("the same words", "in another order")
    assert only_different("ON", "OFF") == ("ON", "OFF")


def test_a_value_that_would_move_the_cursor_is_escaped() -> None:
    (found,) = compare_records({"recipe": "a"}, {"recipe": "\x1b[2J"})
    assert "\x1b" not in found.right
