"""The machine's own compiler in the place of the pinned one, where a platform says how."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from recipes.errors import ToolchainError, UsageError
from recipes.host_toolchain import UNPINNED, ask_host_compiler, on_host
from recipes.manifest import Manifests
from recipes.plan import Plan, make_plan

if TYPE_CHECKING:
    from pathlib import Path

MANIFESTS = Manifests()
RECIPE = MANIFESTS.recipe("b6751")
MACOS = "macos-arm64-metal"


def host_plan() -> Plan:
    return make_plan(on_host(RECIPE, MACOS), MACOS, MANIFESTS.toolchain("host"))


def program(folder: Path, name: str, script: str) -> None:
    path = folder / name
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)


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
    assert str(caught.value) == (
        "error: this command line names something that does not exist\n"
        "  where:    manifests/recipes/b6751.yaml: platforms.linux-x86_64-cpu\n"
        "  expected: a platform with `host:`: macos-arm64-metal\n"
        "  found:    `--toolchain host` for one without\n"
        "  fix:      leave --toolchain out: the pinned compiler builds this platform on every machine"
    )


def test_versions_of_the_compiler_and_its_sdk_are_recorded(tmp_path: Path) -> None:
    program(tmp_path, "cc", 'test "$1" = --version && echo "a compiler, version 17"')
    assert ask_host_compiler(host_plan(), str(tmp_path)) == {f"{tmp_path}/cc": "a compiler, version 17"}
    program(tmp_path, "xcrun", 'test "$1" = --show-sdk-version && echo 26.1')
    assert ask_host_compiler(host_plan(), str(tmp_path)) == {
        f"{tmp_path}/cc": "a compiler, version 17",
        f"{tmp_path}/xcrun --show-sdk-version": "26.1",
    }


def test_a_pinned_compiler_is_not_asked(tmp_path: Path) -> None:
    assert ask_host_compiler(replace(host_plan(), hermetic=True), str(tmp_path)) == {}


def test_no_compiler_is_an_error_that_says_what_to_install(tmp_path: Path) -> None:
    with pytest.raises(ToolchainError) as caught:
        ask_host_compiler(host_plan(), str(tmp_path))
    assert caught.value.where == f"{tmp_path}/cc"
    assert "xcode-select --install" in caught.value.fix
