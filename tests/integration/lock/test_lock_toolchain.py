"""`lock -- --toolchain NAME`: what the pinned wheels unpack to, computed from the wheels themselves."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest

from tests.support.fixture_project import REPOSITORY, FixtureProject, make_project

if TYPE_CHECKING:
    from pathlib import Path

NAME = "host-cuda"  # the smallest: CMake and ninja for one machine
COMMITTED = (REPOSITORY / "manifests" / "toolchains" / f"{NAME}.yaml").read_text()
WITHOUT = COMMITTED[: COMMITTED.index("trees:\n")]


@pytest.fixture
def project(tmp_path: Path, shared_store: Path) -> FixtureProject:
    return make_project(tmp_path, shared_store)


def test_the_committed_tree_is_what_the_wheels_unpack_to(project: FixtureProject) -> None:
    manifest = project.root / "manifests" / "toolchains" / f"{NAME}.yaml"
    manifest.write_text(WITHOUT)
    shown = project.recipes("lock", "--toolchain", NAME)
    assert shown.status == 0, shown.err
    assert "+trees:\n" in shown.out
    assert f"lock -- --project {project.root} --toolchain {NAME} --write" in shown.err
    assert manifest.read_text() == WITHOUT
    wrong = re.sub(r"(?m)^(  linux-x86_64: )[0-9a-f]{64}$", rf"\g<1>{'0' * 64}", COMMITTED)
    assert wrong != COMMITTED
    for before in (WITHOUT, wrong):
        manifest.write_text(before)
        written = project.recipes("lock", "--toolchain", NAME, "--write")
        assert written.status == 0, written.err
        assert manifest.read_text() == COMMITTED


def test_a_toolchain_is_not_locked_together_with_a_recipe_or_a_model(project: FixtureProject) -> None:
    for beside in (("--recipe", "fixture"), ("--source", "b1"), ("--model", "pocket")):
        answer = project.recipes("lock", "--toolchain", NAME, *beside)
        assert answer.status == 2
        assert "--toolchain" in answer.err
    assert project.recipes("lock", "--toolchain", "nothing").status == 2


def test_a_tree_of_a_machine_without_wheels_is_refused(project: FixtureProject) -> None:
    manifest = project.root / "manifests" / "toolchains" / f"{NAME}.yaml"
    manifest.write_text(f"{COMMITTED}  linux-riscv64: {'0' * 64}\n")
    answer = project.recipes("lock", "--toolchain", NAME)
    assert answer.status == 10
    assert "trees.linux-riscv64" in answer.err
