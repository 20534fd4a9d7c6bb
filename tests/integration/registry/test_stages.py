"""Stages through a registry: the patched source comes from a cache where its origins cannot be reached."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from recipes.core.errors import BundleMissingError, FetchError
from tests.support.fixture_project import FixtureProject, provide_source
from tests.support.oci_registry import FakeRegistry
from tests.support.pinned_bundle import PinnedProject, make_pinned

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture
def registry() -> Iterator[FakeRegistry]:
    with FakeRegistry() as started:
        yield started


@pytest.fixture
def pinned(tmp_path: Path) -> PinnedProject:
    made = make_pinned(tmp_path / "builder")
    provide_source(made.project)
    return made


def entries(project: FixtureProject) -> set[str]:
    folder = project.store / "v1" / "entries"
    return {path.name.partition("-")[0] for path in folder.iterdir() if path.is_dir()}


def test_a_patched_source_is_published_and_taken(
    registry: FakeRegistry, pinned: PinnedProject, tmp_path: Path
) -> None:
    assert pinned.project.recipes("patch").status == 0
    published = pinned.project.recipes("publish", "--stages", "--to", registry.repository())
    assert published.status == 0, published.err
    assert "source of fixture: " in published.out
    assert len({tag.partition("-")[0] for tag in registry.tags} & {"plan", "source"}) == 2

    other = pinned.elsewhere(tmp_path / "other")
    patched = other.recipes("patch", PINNED_LLAMA_CACHES=registry.repository())
    assert patched.status == 0, patched.err
    assert "source of fixture: taken from the cache" in patched.err
    # the same tree, and not the unpatched one besides: nothing was unpacked or patched here
    assert len([path for path in (other.store / "v1" / "entries").iterdir() if path.is_dir()]) == 1
    assert other.recipes("patch", PINNED_LLAMA_OFFLINE="1").status == 0


def test_a_cache_without_it_changes_nothing(
    registry: FakeRegistry, pinned: PinnedProject, tmp_path: Path
) -> None:
    other = pinned.elsewhere(tmp_path / "other")
    patched = other.recipes("patch", PINNED_LLAMA_CACHES=registry.repository())
    assert patched.status == FetchError.exit_code  # its origin is an address where nobody listens
    assert "cache skipped" not in patched.err
    provide_source(other)
    assert other.recipes("patch", PINNED_LLAMA_CACHES=registry.repository()).status == 0
    assert entries(other) == {"source"}


def test_a_bundle_that_was_not_built_is_no_publication(registry: FakeRegistry, pinned: PinnedProject) -> None:
    answer = pinned.project.recipes(
        "publish", "--platform", "linux-aarch64-cpu", "--to", registry.repository()
    )
    assert answer.status == BundleMissingError.exit_code
    assert "-s build -- --recipe fixture --platform linux-aarch64-cpu" in answer.err
    assert registry.log == []


def test_a_folder_and_an_archive_of_the_bundle_are_published_and_a_changed_one_is_not(
    registry: FakeRegistry, pinned: PinnedProject, tmp_path: Path
) -> None:
    archived = pinned.project.recipes("build", "--archive", str(tmp_path / "out"))
    assert archived.status == 0, archived.err
    (archive,) = (tmp_path / "out").glob("*.tar.zst")
    for path in (pinned.entry.path, archive):
        registry.manifests.clear()
        published = pinned.project.recipes("publish", str(path), "--to", registry.repository())
        assert published.status == 0, published.err
        assert f"tree:     {pinned.entry.tree} (the pinned one)" in published.out
    changed = tmp_path / "changed"
    (changed / "bin").mkdir(parents=True)
    (changed / "bin" / "fixture").write_bytes(b"another")
    (changed / "build.json").write_bytes((pinned.entry.path / "build.json").read_bytes())
    registry.log.clear()
    answer = pinned.project.recipes("publish", str(changed), "--to", registry.repository())
    assert answer.status == 19
    (changed / "build.json").write_text('{"recipe": "fixture", "platform": "linux-x86_64-cpu", "plan": {}}')
    answer = pinned.project.recipes("publish", str(changed), "--to", registry.repository())
    assert answer.status == 19
    assert "of another plan" in answer.err
    answer = pinned.project.recipes("publish", str(tmp_path), "--to", registry.repository())
    assert answer.status == 2
    assert "build.json" in answer.err
    assert registry.log == []


def test_all_platforms_take_what_the_store_has(registry: FakeRegistry, pinned: PinnedProject) -> None:
    answer = pinned.project.recipes("publish", "--all-platforms", "--to", registry.repository())
    assert answer.status == 0, answer.err
    assert "fixture@linux-aarch64-cpu is left out" in answer.err
    assert "fixture@linux-x86_64-cpu: " in answer.out


def test_pull_without_a_registry_or_a_pin_or_a_network_says_so(pinned: PinnedProject, tmp_path: Path) -> None:
    other = pinned.elsewhere(tmp_path / "other")
    for options, environ, status, word in (
        ((), {}, 2, "PINNED_LLAMA_CACHES"),
        (("--from", "h.example/r"), {"PINNED_LLAMA_OFFLINE": "1"}, FetchError.exit_code, "OFFLINE=1"),
        (("--platform", "linux-aarch64-cpu", "--from", "h.example/r"), {}, 11, "nothing pins it"),
        (("--from", "h.example"), {}, 2, "HOST"),
        ((), {"PINNED_LLAMA_CACHES": "not-an-address"}, 2, "PINNED_LLAMA_CACHES"),
    ):
        answer = other.recipes("pull", *options, **environ)
        assert answer.status == status, answer.err
        assert word in answer.err
        assert "Traceback" not in answer.err
