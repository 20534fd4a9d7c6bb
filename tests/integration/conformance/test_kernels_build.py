"""The program that compares kernels is built with options of its own, and started beside the bundle's files."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from recipes.build.pipeline import ensure_bundle
from recipes.cli.job import open_job
from recipes.cli.parser import parser
from recipes.conformance.checks.kernels import built_program
from recipes.core.errors import ConformanceError, UsageError
from recipes.core.process import Command, capture
from tests.support.fixture_project import FixtureProject, make_project, provide_source

if TYPE_CHECKING:
    from pathlib import Path

KERNELS = "kernels:\n  target: {}\n  cmake:\n    FIXTURE_COMMIT: fedcba98\nplatforms:\n"


@pytest.fixture
def project(tmp_path: Path, shared_store: Path) -> FixtureProject:
    project = make_project(tmp_path, shared_store)
    project.number(8)
    provide_source(project)
    return project


def test_the_program_has_its_own_options_and_loads_what_is_shipped(
    project: FixtureProject, monkeypatch: pytest.MonkeyPatch
) -> None:
    project.edit("platforms:\n", KERNELS.format("fixture"))
    monkeypatch.setenv("PINNED_LLAMA_STORE", str(project.store))
    job = open_job(parser().parse_args(["kernels", "--project", str(project.root)]))
    bundle = ensure_bundle(job, job.plan()).entry.path
    with built_program(job, bundle) as program:
        said = [
            capture(Command((str(path), "--version"), path.parent), 60).out
            for path in (program.path, bundle / "bin" / "fixture")
        ]
        beside = {path.name: path.resolve() for path in program.path.parent.iterdir()}
        assert (program.path.parent.parent / "lib").resolve() == (bundle / "lib").resolve()
    assert said == ["version: 8 (fedcba98)\n", "version: 8 (01234567)\n"]
    assert beside.keys() == {path.name for path in (bundle / "bin").iterdir()}
    assert beside["libmodule-avx2.so"] == (bundle / "bin" / "libmodule-avx2.so").resolve()


def test_a_program_that_is_no_test_of_kernels_is_refused(project: FixtureProject) -> None:
    project.edit("platforms:\n", KERNELS.format("fixture-tool"))
    answer = project.recipes("kernels")
    assert answer.status == ConformanceError.exit_code
    assert "lists no device: status 0, tool" in answer.err


def test_a_recipe_that_names_no_program_is_refused(project: FixtureProject) -> None:
    answer = project.recipes("kernels")
    assert answer.status == UsageError.exit_code
    assert "recipes/fixture.yaml" in answer.err
    assert "--program" in answer.err
