"""The machine's own compiler in the place of the pinned one, where a platform says how."""

from __future__ import annotations

import pytest

from recipes.build.plan.host_override import UNPINNED, on_host
from recipes.build.plan.plan import Plan, make_plan
from recipes.core.errors import UsageError
from recipes.manifest.load import Manifests

MANIFESTS = Manifests()
RECIPE = MANIFESTS.recipe("b6751")
MACOS = "macos-arm64-metal"


def host_plan() -> Plan:
    return make_plan(on_host(RECIPE, MACOS), MACOS, MANIFESTS.toolchain("host"))


def test_the_host_build_asks_for_the_same_kernels_by_the_machines_own_compiler() -> None:
    plan, pinned = host_plan(), make_plan(RECIPE, MACOS, MANIFESTS.toolchain("zig-0.17.1"))
    ours, theirs = dict(plan.cache), dict(pinned.cache)
    assert not plan.hermetic
    assert plan.inputs.sdk is None
    assert plan.wrappers == ()
    assert ours["CMAKE_C_COMPILER"] == "/usr/bin/cc"
    assert {name: ours[name] for name in ours if name.startswith("GGML_")} == {
        name: theirs[name] for name in theirs if name.startswith("GGML_")
    }
    assert plan.contents == pinned.contents
    assert plan.minimum_os == pinned.minimum_os == ours["CMAKE_OSX_DEPLOYMENT_TARGET"]


def test_nothing_is_pinned_of_it_and_other_platforms_stay() -> None:
    recipe = on_host(RECIPE, MACOS)
    assert recipe.platforms[MACOS].output is None
    assert recipe.platforms[MACOS].output_unpinned == UNPINNED
    assert recipe.platforms["linux-x86_64-cpu"] == RECIPE.platforms["linux-x86_64-cpu"]


def test_a_platform_that_does_not_say_how_is_refused() -> None:
    with pytest.raises(UsageError) as caught:
        on_host(RECIPE, "linux-x86_64-cpu")
    assert caught.value.where.endswith("platforms.linux-x86_64-cpu")
    assert "macos-arm64-metal" in caught.value.expected


def test_the_compilers_and_the_sdks_versions_are_asked() -> None:
    tools = {" ".join(tool.ask): tool.install for tool in MANIFESTS.toolchain("host").tools}
    assert tools["/usr/bin/cc --version"] == "on a Mac: xcode-select --install"
    assert tools["/usr/bin/xcrun --show-sdk-version"] is None, "a Linux machine has none"
