from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from recipes.core.errors import StoreError
from recipes.core.process import Command, run, start
from tests.support.paths import PROJECT
from tests.support.signals import AS_IT_STARTS_ANOTHER, end_on_signals

FULL = Path("/dev/full")
SAY = Command(("/bin/sh", "-c", "echo first; echo second; exit 3"), Path("/"))
needs_full = pytest.mark.skipif(not FULL.exists(), reason="only Linux has a disk that is always full")


def test_every_line_is_in_the_log_and_the_last_ones_in_the_answer(tmp_path: Path) -> None:
    log = tmp_path / "log"
    log.write_text("before\n")
    lines: list[str] = []
    done = run(SAY, log=log, on_line=lines.append)
    assert (done.status, done.text, lines) == (3, "first\nsecond", ["first", "second"])
    assert log.read_text() == "before\nfirst\nsecond\n"


@needs_full
def test_a_log_that_cannot_be_written_is_named() -> None:
    with pytest.raises(StoreError) as caught:
        run(SAY, log=FULL)
    assert caught.value.where == str(FULL)


def test_a_log_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    log = tmp_path / "file" / "log"
    with pytest.raises(StoreError) as caught:
        run(SAY, log=log)
    assert caught.value.where == str(log)
    with pytest.raises(StoreError), start(SAY, log):
        pass


SLOW = """
import sys
from pathlib import Path
from recipes.core.process import Command, capture, run, start

slow = Command((sys.executable, "-c", "import time; time.sleep(60)"), Path.cwd())
try:
    {}
except KeyboardInterrupt:
    print("interrupted")
"""


@pytest.mark.parametrize(
    "how",
    ["run(slow)", "capture(slow, 60)", "with start(slow, Path(sys.argv[1])): print('it was lost')"],
)
def test_an_interrupt_while_a_program_is_started_ends_that_program(how: str, tmp_path: Path) -> None:
    code = AS_IT_STARTS_ANOTHER.format(number=int(signal.SIGINT)) + SLOW.format(how)
    done = subprocess.run(
        (sys.executable, "-c", code, tmp_path / "log"),
        cwd=PROJECT,
        capture_output=True,
        text=True,
        check=True,
        preexec_fn=end_on_signals,
    )
    pid, said = done.stdout.split()
    assert (said, done.stderr) == ("interrupted", "")
    assert not psutil.pid_exists(int(pid))
