"""The session `fullsize` with tiny shapes: run after `build`, with what `bench` needs."""

from __future__ import annotations

import signal
import subprocess
from typing import TYPE_CHECKING

import pytest

from recipes.bootstrap import environment_python
from recipes.core.errors import INTERRUPTED
from recipes.manifest.load import PROJECT
from tests.support.llama_service import descendants, is_running
from tests.support.signals import end_on_signals

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture(scope="module")
def argv() -> tuple[str, ...]:
    return (environment_python("bench"), "-m", "tests.fullsize", "--quick", "--folder")


def test_it_goes_all_the_way_and_leaves_nothing(argv: tuple[str, ...], tmp_path: Path) -> None:
    done = subprocess.run((*argv, str(tmp_path)), cwd=PROJECT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    said = done.stdout
    for kind in ("cut", "stall", "429", "expired redirect", "wrong range"):
        assert f"'{kind}': 2" in said  # of each file
    assert "lint: 0 errors, 0 warnings" in said
    assert "projector:     fits the model" in said
    assert "peak resident memory (VmHWM)" in said
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("line", ["make the pair", "  ready after"])
def test_ctrl_c_leaves_neither_files_nor_processes(argv: tuple[str, ...], tmp_path: Path, line: str) -> None:
    with subprocess.Popen(
        (*argv, str(tmp_path)),
        cwd=PROJECT,
        stdout=subprocess.PIPE,
        text=True,
        preexec_fn=end_on_signals,  # noqa: PLW1509 - the tests run no thread
    ) as process:
        assert process.stdout is not None
        assert any(line in said for said in process.stdout)
        everything = descendants(process.pid)
        process.send_signal(signal.SIGINT)
        process.stdout.read()
        assert process.wait() == INTERRUPTED
    assert not [pid for pid in everything if is_running(pid)]
    assert list(tmp_path.iterdir()) == []
