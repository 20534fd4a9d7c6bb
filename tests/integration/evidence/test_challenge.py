"""What `reproduce --against` refuses before it builds anything; the story of a release builds."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from recipes.cli.main import main
from recipes.core.errors import UndecidedError, UsageError
from tests.support.release import Release, make_release

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def release(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Release:
    monkeypatch.setenv("PINNED_LLAMA_STORE", str(tmp_path / "store"))
    return make_release(tmp_path / "release")


def challenge(release: Release, *options: str) -> int:
    return main(["reproduce", "--project", str(release.project), "--against", *options])


def test_nothing_can_be_said_of_a_bundle_of_another_plan(
    release: Release, capsys: pytest.CaptureFixture[str]
) -> None:
    manifest = release.project / "manifests" / "recipes" / "fixture.yaml"
    manifest.write_text(manifest.read_text().replace("FIXTURE_NATIVE: OFF", "FIXTURE_NATIVE: ON"))
    assert challenge(release, str(release.archive)) == UndecidedError.exit_code
    assert "why" in capsys.readouterr().err


def test_the_recipe_is_that_of_the_bundle(release: Release, capsys: pytest.CaptureFixture[str]) -> None:
    assert challenge(release, str(release.archive), "--recipe", "b6751") == UsageError.exit_code
    assert "--recipe" in capsys.readouterr().err
    (release.bundle / "build.json").unlink()
    assert challenge(release, str(release.bundle)) == UsageError.exit_code


def test_a_key_signs_for_somebodys_build_alone_and_lies_in_no_checkout(
    release: Release, capsys: pytest.CaptureFixture[str]
) -> None:
    key = release.new_key("k.key")
    assert main(["reproduce", "--project", str(release.project), "--key", str(key)]) == UsageError.exit_code
    assert challenge(release, "0" * 64, "--key", str(key)) == UsageError.exit_code
    assert "--evidence" in capsys.readouterr().err
    (release.folder / "keys" / ".git").mkdir()
    assert challenge(release, str(release.archive), "--key", str(key)) == UsageError.exit_code
    assert "work tree" in capsys.readouterr().err
