"""`bump -- --build`: what is bumped is built from the manifests as proposed, and its digest is in the same change."""

from __future__ import annotations

import shutil
import tarfile
from typing import TYPE_CHECKING

import pytest

from recipes.build.bundle.listing import digest_of_listing
from recipes.core.digest import Sha256, hash_tree
from recipes.core.errors import BuildError, PinMissingError, UsageError
from recipes.lock.proposal import PAGE_UNPINNED
from recipes.manifest.load import Manifests
from tests.support.fixture_project import FIXTURE, X86
from tests.support.http_server import Server
from tests.support.lock_project import snapshot, write_tree
from tests.support.npm_page import PATH, TINY, page_files

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.support.fixture_project import FixtureProject

COMMIT = "89" * 20
PAGE = f"""\
page:
  folder: ui
  toolchain: node-24.19.0
  command: [run, build]
  environment:
    OUT: "{{page}}"
    EXTRA: "7"
  into: ui/dist
  tree_sha256: {"d2" * 32} # of the machine at work
targets:"""


@pytest.fixture
def server() -> Iterator[Server]:
    with Server() as server:
        yield server


def archive(folder: Path, files: dict[str, str]) -> bytes:
    """Return the fixture's source with other files, some in the place of its own."""
    source = folder / "fixture-2.0"
    shutil.copytree(FIXTURE / "source", source)
    write_tree(source, files)
    with tarfile.open(folder / "new.tar.gz", "w:gz") as tar:
        tar.add(source, "fixture-2.0")
    return (folder / "new.tar.gz").read_bytes()


def bump(project: FixtureProject, server: Server, data: bytes, *words: str) -> tuple[int, str]:
    project.edit("output_unpinned: a test pins it\n  linux-aarch64", f"output: {'d1' * 32}\n  linux-aarch64")
    project.edit("FIXTURE_COMMIT: 01234567", f"FIXTURE_COMMIT: {COMMIT[:8]}")
    url = server.serve("/fixture-2.0.tar.gz", data)
    known = ("--to", url, "--commit", COMMIT, "--build-number", "8")
    return ask(project, server, "bump", *known, *words)


def ask(project: FixtureProject, server: Server, session: str, *words: str) -> tuple[int, str]:
    """Run a session with npm's registry on loopback, whatever address the lock names."""
    npm = {"NPM_CONFIG_REGISTRY": server.base, "NPM_CONFIG_REPLACE_REGISTRY_HOST": "always"}
    npm |= {"NPM_CONFIG_USERCONFIG": "/dev/null", "NO_PROXY": "127.0.0.1"}
    done = project.recipes(session, "--recipe", "fixture", *words, **npm)
    return done.status, done.err


def with_page(project: FixtureProject, server: Server) -> dict[str, str]:
    """Let the recipe build a page; return the files of the page in a new source."""
    project.edit("targets:", PAGE)
    server.serve(PATH, TINY)
    return {f"ui/{name}": text for name, text in page_files(f"http://127.0.0.1:9{PATH}").items()}


def test_what_is_built_is_pinned_in_the_same_change(
    project: FixtureProject, server: Server, tmp_path: Path
) -> None:
    files = {"NEWS": "what is new\n", **with_page(project, server)}
    status, said = bump(project, server, archive(tmp_path, files), "--write", "--build")
    assert status == 0, said
    manifests = Manifests(project.root)
    recipe = manifests.recipe("fixture")
    listing = manifests.output_listing("fixture", X86)
    assert listing is not None
    assert recipe.source.build_number == 8
    assert recipe.platforms[X86].output == digest_of_listing(listing)
    write_tree(tmp_path / "page", {"index.html": "a page8"})
    assert (
        f"  tree_sha256: {hash_tree(tmp_path / 'page', Sha256).hex} # of the mach"
        in project.manifest.read_text()
    )
    again = project.recipes("build")
    assert (again.status, "the pinned one" in again.out) == (0, True), again.err


def test_a_page_that_is_not_pinned_stops_the_build_and_lock_pins_it(
    project: FixtureProject, server: Server, tmp_path: Path
) -> None:
    assert ask(project, server, "lock", "--page")[0] == UsageError.exit_code  # there is none
    status, said = bump(project, server, archive(tmp_path, with_page(project, server)), "--write")
    assert status == 0, said
    assert f"  tree_unpinned: {PAGE_UNPINNED} # of" in project.manifest.read_text()
    status, said = ask(project, server, "build")
    assert (status, "lock -- --recipe fixture --page --write" in said) == (PinMissingError.exit_code, True), (
        said
    )
    before = project.manifest.read_text()
    assert ask(project, server, "lock", "--page")[0] == 0
    assert project.manifest.read_text() == before
    write_tree(tmp_path / "page", {"index.html": "a page8"})
    tree = hash_tree(tmp_path / "page", Sha256).hex
    for text in (before, before.replace(f"tree_unpinned: {PAGE_UNPINNED}", f"tree_sha256: {'d2' * 32}")):
        project.manifest.write_text(text)
        status, said = ask(project, server, "lock", "--page", "--write")
        assert status == 0, said
        assert project.manifest.read_text() == before.replace(
            f"tree_unpinned: {PAGE_UNPINNED}", f"tree_sha256: {tree}"
        )


@pytest.mark.parametrize("broken", ["src/shapes.cpp", "ui/build.js"])
def test_a_build_that_fails_leaves_all_as_it_was(
    project: FixtureProject, server: Server, tmp_path: Path, broken: str
) -> None:
    files = with_page(project, server) | {broken: "this is no program\n"}
    data, before = archive(tmp_path, files), snapshot(project.root)
    status, said = bump(project, server, data, "--write", "--build")
    assert (status, "Traceback" in said) == (BuildError.exit_code, False), said
    after = snapshot(project.root)
    text = after.pop(str(project.manifest)).decode()
    for pin in ("build_number: 7\n", f"tree_sha256: {'d2' * 32} # of", f"output: {'d1' * 32}\n"):
        assert pin in text
    del before[str(project.manifest)]  # which the test itself has changed
    assert {name: data for name, data in after.items() if not name.endswith(".writing.lock")} == before
