"""`verify` with all origins: each is asked for the source, and what it gives is compared with the pinned tree."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from recipes.build.context import Job
from recipes.build.verify import PinCheck, verify_all
from recipes.core.console import Silent
from recipes.core.errors import FetchError, VerifyError
from recipes.core.sandbox import Surroundings
from recipes.core.settings import read_settings
from recipes.manifest.load import Manifests
from recipes.store.store import Store
from tests.support.fixture_project import FixtureProject, make_project, provide_source

if TYPE_CHECKING:
    from pathlib import Path


def check(project: FixtureProject) -> list[PinCheck]:
    """Verify all origins, and return the rows of the origins."""
    manifests = Manifests(project.root)
    job = Job(
        Store.open(project.store),
        Silent(),
        replace(read_settings(), offline=False),
        manifests=manifests,
        recipe=manifests.recipe("fixture"),
        platform_name="linux-x86_64-cpu",
        surroundings=Surroundings(jobs=1),
    )
    without = {row.what for row in verify_all(job)}
    return [row for row in verify_all(job, all_origins=True) if row.what not in without]


def add_origin(project: FixtureProject, origin: str) -> None:
    project.edit("      subdirectory: fixture-1.0\n", f"      subdirectory: fixture-1.0\n    - {origin}\n")


def test_an_origin_that_gives_the_pinned_tree_is_ok_and_one_that_is_gone_is_named(tmp_path: Path) -> None:
    project = make_project(tmp_path, tmp_path / "store")
    provide_source(project)
    add_origin(project, f"{{kind: git, url: 'file://{tmp_path}/none'}}")
    good, gone = check(project)
    assert (good.state, good.error) == ("ok", None)
    assert (gone.state, type(gone.error)) == ("BAD", FetchError)
    assert gone.error
    assert gone.error.where == "manifests/recipes/fixture.yaml: source.origins[1]"


def test_an_origin_that_gives_another_tree_is_named(tmp_path: Path) -> None:
    project = make_project(tmp_path, tmp_path / "store")
    provide_source(project)
    text = project.manifest.read_text()
    first = text[text.index("  tree: ") :].split("\n", 1)[0]
    project.manifest.write_text(text.replace(first, f"  tree: {'0' * 40}", 1))
    (row,) = check(project)
    assert (row.state, type(row.error)) == ("BAD", VerifyError)
