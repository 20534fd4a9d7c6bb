"""What a session ends with: an exit code and an error of ours, and never a traceback of the world's."""

from __future__ import annotations

import errno
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from recipes.cli import docs, main
from recipes.core.errors import OperatingSystemError, StoreError, UsageError
from recipes.manifest.load import PROJECT

if TYPE_CHECKING:
    from pathlib import Path

SILENT = StoreError(where="w", expected="e", found="f", fix="x")
ARGV = (sys.executable, "-m", "recipes")


@pytest.mark.parametrize(
    ("raised", "code", "words"),
    [
        (SILENT, 20, "where:    w"),
        (OSError(errno.ENOSPC, "No space left", "/full/disk"), 32, "where:    /full/disk"),
        (OSError(errno.EMFILE, "Too many open files"), 32, "Too many open files"),
        (KeyboardInterrupt(), 130, "interrupted"),
    ],
)
def test_what_goes_wrong_becomes_an_exit_code(
    raised: BaseException,
    code: int,
    words: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def fail(_: object) -> None:
        raise raised

    monkeypatch.setattr(docs, "open_manifests", fail)
    monkeypatch.setattr(main, "_drop_output", lambda: None)  # pytest's own standard output is to stay
    assert main.main(["docs"]) == code
    assert words in capsys.readouterr().err


def test_a_mistake_in_the_command_line_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    assert main.main(["models", "verfy"]) == UsageError.exit_code
    assert capsys.readouterr().err.count("\n") == 1


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="/dev/full is Linux's")
@pytest.mark.parametrize("words", [("models", "list"), ("build", "--help")], ids=" ".join)
def test_a_full_standard_output_is_an_error_of_ours(words: tuple[str, ...]) -> None:
    with open("/dev/full", "w", encoding="utf-8") as full:  # noqa: PTH123 - a device
        done = subprocess.run((*ARGV, *words), cwd=PROJECT, stdout=full, stderr=subprocess.PIPE, text=True)
    assert done.returncode == OperatingSystemError.exit_code
    assert "where:    standard output" in done.stderr
    assert "Traceback" not in done.stderr
    assert "Exception ignored" not in done.stderr


@pytest.mark.slow
@pytest.mark.parametrize(("closed", "code"), [(">&-", 32), ("2>&-", 0), (">/dev/null 2>&- <&-", 0)])
def test_a_closed_stream_is_no_traceback(closed: str, code: int, tmp_path: Path) -> None:
    line = f'exec "$@" {closed}'
    environ = {"PINNED_LLAMA_STORE": str(tmp_path), "HOME": str(tmp_path)}
    done = subprocess.run(
        ("sh", "-c", line, "sh", *ARGV, "models", "list"),
        cwd=PROJECT,
        env=environ,
        capture_output=True,
        text=True,
    )
    assert done.returncode == code
    assert "Traceback" not in done.stderr


@pytest.mark.slow
def test_a_reader_that_has_enough_ends_it_quietly() -> None:
    line = '{ "$@"; echo "$?" >&2; } | true'  # as `head` does
    done = subprocess.run(
        ("sh", "-c", line, "sh", *ARGV, "models", "list"), cwd=PROJECT, capture_output=True, text=True
    )
    assert done.stderr.strip() in {"0", "141"}  # 0 where it was faster than its reader's end
