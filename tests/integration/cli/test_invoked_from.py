"""A path that a user names is relative to where the user stands, whatever folder the sessions run in."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from recipes.core.errors import PictureError, VerifyError
from recipes.manifest.load import PROJECT

if TYPE_CHECKING:
    from pathlib import Path

NOXFILE = str(PROJECT / "noxfile.py")
WAYS = ((sys.executable, NOXFILE), (sys.executable, "-P", "-m", "nox", "-f", NOXFILE))


def session(way: tuple[str, ...], folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run((*way, "-s", *words), cwd=folder, capture_output=True, text=True, check=False)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "here").mkdir()
    (tmp_path / "here" / "note.png").write_text("no picture", encoding="utf-8")
    (tmp_path / "here" / "note.gguf").write_text("no model", encoding="utf-8")
    for name in ("yaml", "nox", "recipes"):  # what lies there is the user's, and none of it is imported
        (tmp_path / "here" / f"{name}.py").write_text("raise SystemExit('imported')\n", encoding="utf-8")
    return tmp_path / "here"


@pytest.mark.parametrize("way", WAYS, ids=("python", "nox"))
def test_a_picture_is_looked_for_where_the_user_stands(way: tuple[str, ...], folder: Path) -> None:
    done = session(way, folder, "ask", "--", "--image", "note.png", "What is it?")
    assert done.returncode == PictureError.exit_code, done.stderr
    assert "where:    --image note.png" in done.stderr
    assert "No such file" not in done.stderr


def test_one_that_is_not_there_is_told_with_that_folder(folder: Path) -> None:
    done = session(WAYS[0], folder, "ask", "--", "--image", "other.png", "What is it?")
    assert done.returncode == PictureError.exit_code
    assert f"relative to {folder}\n" in done.stderr


def test_a_model_s_file_is_looked_for_there_too(folder: Path) -> None:
    done = session(WAYS[0], folder, "models", "--", "inspect", "./note.gguf")
    assert done.returncode == VerifyError.exit_code, done.stderr
    assert "No such file" not in done.stderr


def test_the_project_itself_is_found_from_anywhere(folder: Path) -> None:
    done = session(WAYS[0], folder, "models", "--", "list")
    assert done.returncode == 0, done.stderr
    assert "pocket: " in done.stdout
