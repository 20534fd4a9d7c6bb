"""One command builds what a recipe can be built for, on a machine of any of its platforms."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.integration.build.test_pipeline import BUNDLE, DIGEST
from tests.support.fixture_project import FixtureProject, make_project, provide_source

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def project(tmp_path: Path, shared_store: Path) -> FixtureProject:
    project = make_project(tmp_path, shared_store)
    project.number(21)
    provide_source(project)
    return project


@pytest.mark.usefixtures("aarch64_runtime")
def test_each_platform_with_a_pinned_compiler_is_built_and_the_others_are_named(
    project: FixtureProject, tmp_path: Path
) -> None:
    answer = project.recipes("build", "--all-platforms", "--archive", str(tmp_path / "out"))
    assert answer.status == 0, answer.err
    platforms = ["linux-x86_64-cpu", "linux-aarch64-cpu"]
    assert all(f"-{each}-" in path for each, path in zip(platforms, BUNDLE.findall(answer.out), strict=True))
    alone = [project.recipes("build", "--platform", each).out for each in platforms]
    assert [found for out in alone for found in DIGEST.findall(out)] == DIGEST.findall(answer.out)
    assert {path.name for path in (tmp_path / "out").iterdir()} == {
        f"llama.cpp-fixture-{each}{kind}"
        for each in platforms
        for kind in (".tar.zst", ".tar.zst.sha256", ".evidence")
    }
    assert "linux-x86_64-own is left out" in answer.err


@pytest.mark.parametrize("option", ["platform", "target"])
def test_a_part_of_one_platform_does_not_go_with_all(project: FixtureProject, option: str) -> None:
    answer = project.recipes("build", "--all-platforms", f"--{option}", "linux-aarch64-cpu")
    assert answer.status == 2
    assert f"--{option}" in answer.err
