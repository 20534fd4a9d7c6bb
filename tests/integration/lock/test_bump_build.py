"""`bump -- --build`: what is bumped is built from the manifests as proposed, and its digest is in the same change."""

from __future__ import annotations

import shutil
import tarfile
from typing import TYPE_CHECKING

from recipes.build.bundle.listing import digest_of_listing
from recipes.core.errors import BuildError
from recipes.manifest.load import Manifests
from tests.support.fixture_project import FIXTURE, X86
from tests.support.http_server import Server
from tests.support.lock_project import snapshot

if TYPE_CHECKING:
    from pathlib import Path

    from tests.support.fixture_project import FixtureProject

COMMIT = "89" * 20


def archive(folder: Path, broken: str = "") -> bytes:
    """Return the fixture's source with another file, and with one more line where it shall not compile."""
    source = folder / "fixture-2.0"
    shutil.copytree(FIXTURE / "source", source)
    (source / "NEWS").write_text("what is new\n")
    with next(source.rglob("shapes.cpp")).open("a") as file:
        file.write(broken)
    with tarfile.open(folder / "new.tar.gz", "w:gz") as tar:
        tar.add(source, "fixture-2.0")
    return (folder / "new.tar.gz").read_bytes()


def bump(project: FixtureProject, data: bytes) -> tuple[int, str]:
    project.edit("output_unpinned: a test pins it\n  linux-aarch64", f"output: {'d1' * 32}\n  linux-aarch64")
    project.edit("FIXTURE_COMMIT: 01234567", f"FIXTURE_COMMIT: {COMMIT[:8]}")
    with Server() as server:
        url = server.serve("/fixture-2.0.tar.gz", data)
        known = ("--to", url, "--commit", COMMIT, "--build-number", "8")
        done = project.recipes("bump", "--recipe", "fixture", *known, "--write", "--build")
    return done.status, done.err


def test_what_is_built_is_pinned_in_the_same_change(project: FixtureProject, tmp_path: Path) -> None:
    status, said = bump(project, archive(tmp_path))
    assert status == 0, said
    manifests = Manifests(project.root)
    recipe = manifests.recipe("fixture")
    listing = manifests.output_listing("fixture", X86)
    assert listing is not None
    assert recipe.source.build_number == 8
    assert recipe.platforms[X86].output == digest_of_listing(listing)
    again = project.recipes("build")
    assert (again.status, "the pinned one" in again.out) == (0, True), again.err


def test_a_build_that_fails_leaves_all_as_it_was(project: FixtureProject, tmp_path: Path) -> None:
    data = archive(tmp_path, "this is no C++\n")
    status, said = bump(project, data)
    before = snapshot(project.root)
    assert (status, "Traceback" in said) == (BuildError.exit_code, False), said
    assert "build_number: 7\n" in project.manifest.read_text()
    assert snapshot(project.root) == before
    assert not list((project.root / "manifests").glob(".*"))
