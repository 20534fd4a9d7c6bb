from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from recipes.core.digest import Sha1
from recipes.core.errors import StoreError
from recipes.core.process import Command, Completed
from recipes.fetch.git_checkout import GitClient
from recipes.fetch.http.network_errors import OriginError

if TYPE_CHECKING:
    from collections.abc import Callable

COMMIT = Sha1("c" * 40)
URL = "https://user:secret@host.example/x.git"


class Recorder:
    """Stands in for `recipes.core.process.run`: keeps the commands, and ends the one that is chosen."""

    def __init__(self, fails: str = "", tail: tuple[str, ...] = ()) -> None:
        self.commands: list[Command] = []
        self._fails, self._tail = fails, tail

    def __call__(
        self, command: Command, *, log: Path | None = None, on_line: Callable[[str], None] | None = None
    ) -> Completed:
        assert log is None
        assert on_line is None
        self.commands.append(command)
        if "init" in command.argv:
            Path(command.argv[-1], ".git").mkdir(parents=True)
        return Completed(128, self._tail) if self._fails in command.argv else Completed(0, ())


def lay_out(tmp_path: Path, runner: Recorder) -> None:
    into = tmp_path / "into"
    into.mkdir()
    network = (("https_proxy", "http://proxy.example"),)
    GitClient(tmp_path, network, 12.4, runner).lay_out(URL, COMMIT, into)


def test_git_gets_the_full_commit_and_exactly_its_own_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GIT_DIR", "/elsewhere")
    recorder = Recorder("never")
    lay_out(tmp_path, recorder)
    assert [command.argv[-1] for command in recorder.commands] == [
        str(tmp_path / "repository"),
        COMMIT.hex,
        COMMIT.hex,
        "--force",
    ]
    for command in recorder.commands:
        assert command.env == {
            "https_proxy": "http://proxy.example",
            "GIT_CONFIG_NOSYSTEM": "1",
            "GIT_CONFIG_GLOBAL": "/dev/null",
            "GIT_TERMINAL_PROMPT": "0",
            "GIT_ALLOW_PROTOCOL": "https",
            "LC_ALL": "C",
            "HOME": str(tmp_path),
            "PATH": os.defpath,
        }
        assert "http.lowSpeedTime=12" in command.argv
        assert Path(command.argv[0]).is_absolute()


def test_a_failure_is_said_in_gits_last_words_without_the_password(tmp_path: Path) -> None:
    tail = ("much before", "one", f"fatal: unable to access '{URL}'", "two")
    with pytest.raises(OriginError) as caught:
        lay_out(tmp_path, Recorder("fetch", tail))
    words = str(caught.value)
    assert "status 128: one / fatal: " in words
    assert words.endswith(" 'https://host.example/x.git' / two")


def test_a_disk_that_git_finds_full_is_an_error_of_the_store(tmp_path: Path) -> None:
    with pytest.raises(StoreError) as caught:
        lay_out(tmp_path, Recorder("checkout-index", ("fatal: write error: No space left on device",)))
    assert caught.value.where == str(tmp_path / "into")
    assert caught.value.found.startswith("No space left on device")
