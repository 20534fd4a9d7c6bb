"""`why` of plans, records, bundles, archives and commits."""

from __future__ import annotations

import subprocess
from typing import TYPE_CHECKING

import pytest

from recipes.cli.main import main
from recipes.core.errors import UndecidedError, UsageError
from tests.support.release import Release, make_release

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def release(tmp_path: Path) -> Release:
    return make_release(tmp_path / "release")


def why(release: Release, *words: str) -> int:
    return main(["why", "--project", str(release.project), *words])


def edit(release: Release, before: str, after: str) -> None:
    path = release.project / "manifests" / "recipes" / "fixture.yaml"
    assert before in path.read_text()
    path.write_text(path.read_text().replace(before, after))


def test_nothing_differs_between_a_bundle_its_archive_its_record_and_its_plan(
    release: Release, capsys: pytest.CaptureFixture[str]
) -> None:
    sides = (
        str(release.bundle),
        str(release.archive),
        str(release.bundle / "build.json"),
        "fixture@linux-x86_64-cpu",
    )
    for other in sides[1:]:
        assert why(release, sides[0], other) == 0
        assert capsys.readouterr().out.splitlines()[2:] == ["nothing differs"]


def test_an_option_of_the_manifest_is_named_with_its_pin(
    release: Release, capsys: pytest.CaptureFixture[str]
) -> None:
    edit(release, "FIXTURE_NATIVE: OFF", "FIXTURE_NATIVE: ON")
    assert why(release, str(release.archive), "fixture@linux-x86_64-cpu") == 0
    (row,) = [line for line in capsys.readouterr().out.splitlines() if "FIXTURE_NATIVE" in line]
    assert row.split()[:4] == ["option", "FIXTURE_NATIVE", "OFF", "ON"]
    assert "manifests/recipes/fixture.yaml: cmake.FIXTURE_NATIVE" in row


def test_files_of_two_bundles_are_compared_down_to_the_cause(
    release: Release, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    other = make_release(tmp_path / "other")
    (release.bundle / "LICENSE").write_text("made on Nov 30 2026\n")
    (other.bundle / "LICENSE").write_text("made on Dec  1 2026\n")
    assert why(release, str(release.bundle), str(other.bundle)) == 0
    out = capsys.readouterr().out
    assert "LICENSE: 20 bytes" in out
    assert "likely time" in out


def git(release: Release, *words: str) -> str:
    done = subprocess.run(
        ("git", "-c", "user.name=a", "-c", "user.email=a@example.invalid", *words),
        cwd=release.project,
        check=True,
        capture_output=True,
        text=True,
    )
    return done.stdout.strip()


def test_two_commits_are_compared(release: Release, capsys: pytest.CaptureFixture[str]) -> None:
    git(release, "init", "-q", "-b", "main")
    git(release, "add", "-A")
    git(release, "commit", "-q", "-m", "one")
    edit(release, "epoch: 1767225600", "epoch: 1767225601")
    git(release, "commit", "-q", "-a", "-m", "two")
    options = ("--platform", "linux-x86_64-cpu")
    assert why(release, "HEAD~1", "HEAD:fixture@linux-x86_64-cpu", *options) == 0
    out = capsys.readouterr().out
    assert "1767225600" in out
    assert "source.epoch" in out
    edit(release, "schema: recipe/1", "schema: recipe/9")
    git(release, "commit", "-q", "-a", "-m", "three")
    assert why(release, "HEAD~1", "HEAD", *options) == UndecidedError.exit_code
    assert "HEAD" in capsys.readouterr().err


@pytest.mark.parametrize("text", ["nowhere", "--all", "-", "a b", "fixture@nowhere", "HEAD:"])
def test_what_names_nothing_is_refused(
    release: Release, text: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert why(release, str(release.bundle), text) == UsageError.exit_code
    assert capsys.readouterr().err


def test_a_file_that_is_no_record_is_refused(release: Release) -> None:
    path = release.folder / "a.json"
    for text in ("", "[]", "{}", '{"plan":' + "[" * 100_000):
        path.write_text(text)
        assert why(release, str(release.bundle), str(path)) == UsageError.exit_code
