from __future__ import annotations

import errno
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from recipes.core.errors import StoreError
from recipes.core.file_lock import hold, hold_if_free, is_held
from tests.support import paths

if TYPE_CHECKING:
    from contextlib import AbstractContextManager

Starter = Callable[[Path], subprocess.Popen[str]]
HOLDER = """
import sys
from pathlib import Path
from recipes.core.file_lock import hold
with hold(Path(sys.argv[1]), on_wait=lambda owner: print(f"waiting for {owner}", flush=True)):
    print("held", flush=True)
    sys.stdin.readline()
"""


@pytest.fixture
def start_holder() -> Iterator[Callable[[Path], subprocess.Popen[str]]]:
    """Start processes that hold a lock until they get a line; none outlives the test."""
    started: list[subprocess.Popen[str]] = []

    def start(path: Path) -> subprocess.Popen[str]:
        argv = [sys.executable, "-c", HOLDER, str(path)]
        root = paths.PROJECT
        pipe = subprocess.PIPE
        started.append(subprocess.Popen(argv, cwd=root, stdin=pipe, stdout=pipe, text=True))
        return started[-1]

    yield start
    for process in started:
        process.kill()
        process.communicate()


def line_of(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    return process.stdout.readline().strip()


def test_a_lock_excludes_another_process_until_it_is_let_go(tmp_path: Path, start_holder: Starter) -> None:
    path = tmp_path / "lock"
    first = start_holder(path)
    assert line_of(first) == "held"
    assert is_held(path)
    with hold_if_free(path) as free:
        assert not free
    second = start_holder(path)
    assert line_of(second) == f"waiting for process {first.pid} on {os.uname().nodename}"
    first.communicate("\n")
    assert line_of(second) == "held"
    second.communicate("\n")
    assert not is_held(path)
    with hold_if_free(path) as free:
        assert free


def test_the_lock_of_a_killed_process_is_free_at_once(tmp_path: Path, start_holder: Starter) -> None:
    path = tmp_path / "lock"
    first = start_holder(path)
    assert line_of(first) == "held"
    first.kill()
    first.wait()
    assert not is_held(path)
    assert line_of(start_holder(path)) == "held"


def test_who_waits_on_a_lock_whose_file_is_discarded_gets_a_new_one_that_excludes(
    tmp_path: Path, start_holder: Starter
) -> None:
    path = tmp_path / "lock"
    with hold(path, discard=True):
        second = start_holder(path)
        assert line_of(second) == f"waiting for process {os.getpid()} on {os.uname().nodename}"
    assert line_of(second) == "held"
    assert is_held(path)  # by name: the second holds the file that others would open


def test_probing_writes_nothing(tmp_path: Path) -> None:
    assert not is_held(tmp_path / "lock")
    assert list(tmp_path.iterdir()) == []
    (tmp_path / "lock").write_text("process 1 on earth", encoding="utf-8")
    assert not is_held(tmp_path / "lock")
    assert (tmp_path / "lock").read_text(encoding="utf-8") == "process 1 on earth"


def test_a_lock_file_goes_or_stays_as_asked(tmp_path: Path) -> None:
    with hold(tmp_path / "kept"):
        pass
    with hold(tmp_path / "gone", discard=True):
        assert (tmp_path / "gone").exists()
    with hold_if_free(tmp_path / "tried") as free:
        assert free
        assert (tmp_path / "tried").exists()
    assert [path.name for path in tmp_path.iterdir()] == ["kept"]
    assert (tmp_path / "kept").read_bytes() == b""  # it no longer names an owner


@pytest.mark.parametrize("leave", [ValueError, KeyboardInterrupt])
def test_a_lock_is_let_go_by_an_error_and_by_an_interrupt(tmp_path: Path, leave: type[BaseException]) -> None:
    for manager in (hold, hold_if_free):
        with pytest.raises(leave), manager(tmp_path / "lock"):
            raise leave
        assert not is_held(tmp_path / "lock")


@pytest.mark.parametrize("manager", [hold, hold_if_free])
def test_a_place_that_cannot_be_locked_is_an_error_with_a_fix(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, manager: Callable[[Path], AbstractContextManager[object]]
) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(StoreError, match="in the way"), manager(tmp_path / "file" / "lock"):
        pass

    def refuse(*_: object) -> None:
        raise OSError(errno.ENOSYS, "Function not implemented")

    monkeypatch.setattr("fcntl.flock", refuse)
    with pytest.raises(StoreError, match="local disk"), manager(tmp_path / "lock"):
        pass
