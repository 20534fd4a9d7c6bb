from __future__ import annotations

from pathlib import Path

import pytest

from recipes.core.errors import StoreError
from recipes.core.process import Command, run, start

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
