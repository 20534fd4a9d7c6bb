"""Upstream's tests start a wrapper, which serves the pocket model and tells a crash from an end that was asked for."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from tests.support.paths import PROJECT
from tests.upstream import wrapper

if TYPE_CHECKING:
    from pathlib import Path


def test_a_hubs_model_becomes_the_pocket_model_and_other_arguments_stay() -> None:
    given = ["--port", "5", "--hf-repo", "a/b", "--hf-file", "c.gguf", "--embedding"]
    assert wrapper.arguments(given, "m", "p") == [
        "--port",
        "5",
        "--embedding",
        "--model",
        "m",
        "--mmproj",
        "p",
    ]
    assert wrapper.arguments(["--models-dir", "d"], "m", "p") == ["--models-dir", "d"]


def wrapped(folder: Path, script: str) -> subprocess.Popen[str]:
    program = folder / "server"
    program.write_text(f"#!/bin/sh\n{script}\n")
    program.chmod(0o755)
    variables = {
        wrapper.SERVER: str(program),
        wrapper.MODEL: "m",
        wrapper.MMPROJ: "p",
        "PYTEST_CURRENT_TEST": "a test",
    }
    return subprocess.Popen(
        [sys.executable, str(PROJECT / "tests" / "upstream" / "wrapper.py")],
        env={**variables, wrapper.CRASHES: str(folder / "crashes"), "PATH": "/usr/bin:/bin"},
        stdout=subprocess.PIPE,
        text=True,
    )


def test_a_crash_is_written_down_with_the_test_that_met_it(tmp_path: Path) -> None:
    with wrapped(tmp_path, "kill -SEGV $$") as process:
        assert process.wait(60) == signal.SIGSEGV
    assert json.loads((tmp_path / "crashes").read_text()) == {"test": "a test", "signal": 11}


@pytest.mark.parametrize(("script", "status"), [("exit 3", 3), ("echo ready; exec sleep 60", 0)])
def test_an_end_that_was_asked_for_is_no_crash(tmp_path: Path, script: str, status: int) -> None:
    with wrapped(tmp_path, script) as process:
        if not status:
            assert process.stdout is not None
            assert process.stdout.readline() == "ready\n"
            process.terminate()
        assert process.wait(60) == status
    assert not (tmp_path / "crashes").exists()
