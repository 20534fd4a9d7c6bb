"""`python3 noxfile.py` in a world that is not ready for it: our error and an exit code of ours, never a traceback."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from recipes.core.errors import OperatingSystemError, ToolchainError, UsageError
from recipes.manifest.load import PROJECT

if TYPE_CHECKING:
    from pathlib import Path

NOXFILE = str(PROJECT / "noxfile.py")


def nox(*words: str, closed: str = "", **environ: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ("sh", "-c", f'exec "$@" {closed}', "sh", sys.executable, NOXFILE, *words),
        env={**os.environ, **environ},
        capture_output=True,
        text=True,
    )


def test_offline_nothing_is_installed(tmp_path: Path) -> None:
    done = nox("-l", XDG_CACHE_HOME=str(tmp_path), PINNED_LLAMA_OFFLINE="1")
    assert done.returncode == ToolchainError.exit_code
    assert "where:    the variable PINNED_LLAMA_OFFLINE" in done.stderr
    assert list(tmp_path.iterdir()) == []


def test_offline_what_is_there_is_used() -> None:
    assert nox("-s", "models", "--", "list", PINNED_LLAMA_OFFLINE="1").returncode == 0


@pytest.mark.parametrize("cache", ["/dev/null", "/proc/none"])
def test_a_cache_folder_that_cannot_be_made(cache: str) -> None:
    done = nox("-l", XDG_CACHE_HOME=cache, PINNED_LLAMA_OFFLINE="0")
    assert done.returncode == ToolchainError.exit_code
    assert f"where:    {cache}" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("closed", "code"), [(">&-", OperatingSystemError.exit_code), ("2>&-", 0), ("<&-", 0)]
)
def test_a_closed_stream(closed: str, code: int) -> None:
    done = nox("-l", closed=closed)
    assert done.returncode == code
    assert "Traceback" not in done.stderr


@pytest.mark.skipif(sys.platform != "linux", reason="/dev/full is Linux's")
@pytest.mark.parametrize("words", [("-l",), ("-s", "models", "--", "list")], ids=" ".join)
def test_a_full_standard_output(words: tuple[str, ...]) -> None:
    done = nox(*words, closed=">/dev/full")
    assert done.returncode == OperatingSystemError.exit_code
    assert "No space left" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("words", "hint"),
    [
        (("-s", "biuld"), "did you mean build?"),
        (("build",), "-s build -- --help"),
        (("-s", "build", "--platform", "x"), "-s build -- --help"),
        (("-s", "check", "--", "--fxi"), "--fix"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else "",
)
def test_a_mistake_in_the_words_is_one_line(words: tuple[str, ...], hint: str) -> None:
    done = nox(*words)
    assert done.returncode == UsageError.exit_code
    (line,) = [line for line in done.stderr.splitlines() if not line.startswith("nox > ")]
    assert hint in line


def test_modules_of_the_users_are_not_imported(tmp_path: Path) -> None:
    for name in ("yaml", "nox", "recipes", "msgspec"):
        (tmp_path / f"{name}.py").write_text("raise SystemExit('imported')\n", encoding="utf-8")
    done = nox(
        "-s", "models", "--", "list", PYTHONPATH=str(tmp_path), PYTHONSTARTUP=str(tmp_path / "yaml.py")
    )
    assert done.returncode == 0, done.stderr
    assert "pocket: " in done.stdout
    assert "uv binary" not in done.stderr
