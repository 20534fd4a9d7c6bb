from __future__ import annotations

import sys
from pathlib import Path

import pytest

from recipes.core.errors import UsageError
from recipes.core.pip_config import pip_config_files, pip_value


def index_url(files: tuple[Path, ...]) -> str | None:
    found = pip_value(files, "index-url")
    return found[1] if found else None


def test_pips_files_are_looked_for_where_pip_does_on_linux() -> None:
    environ = {"HOME": "/home/a", "XDG_CONFIG_DIRS": "/one:/two"}
    assert [str(path) for path in pip_config_files(environ, "linux", Path("/venv"))] == [
        "/one/pip/pip.conf",
        "/two/pip/pip.conf",
        "/etc/pip.conf",
        "/home/a/.pip/pip.conf",
        "/home/a/.config/pip/pip.conf",
        "/venv/pip.conf",
    ]
    moved = pip_config_files({"HOME": "/home/a", "XDG_CONFIG_HOME": "/conf"}, "linux", Path("/venv"))
    assert Path("/conf/pip/pip.conf") in moved
    assert moved[0] == Path("/etc/xdg/pip/pip.conf")


def test_pips_files_are_looked_for_where_pip_does_on_macos(tmp_path: Path) -> None:
    own = tmp_path / "Library/Application Support/pip"
    environ = {"HOME": str(tmp_path)}
    without = pip_config_files(environ, "darwin", Path("/venv"))
    own.mkdir(parents=True)
    machine = Path("/Library/Application Support/pip/pip.conf")
    legacy, site = tmp_path / ".pip/pip.conf", Path("/venv/pip.conf")
    assert without == (machine, legacy, tmp_path / ".config/pip/pip.conf", site)
    assert pip_config_files(environ, "darwin", Path("/venv")) == (machine, legacy, own / "pip.conf", site)


def test_a_file_that_pips_variable_names_takes_the_users_place_and_beats_all(tmp_path: Path) -> None:
    named = tmp_path / "named.conf"
    environ = {"HOME": "/home/a", "PIP_CONFIG_FILE": str(named)}
    assert Path("/home/a/.pip/pip.conf") in pip_config_files(environ, "linux", Path("/venv"))
    named.touch()
    files = pip_config_files(environ, "linux", Path("/venv"))
    assert Path("/home/a/.pip/pip.conf") not in files
    assert files[-1] == named
    assert pip_config_files({"PIP_CONFIG_FILE": "/dev/null"}, "linux", Path("/venv")) == ()


def test_the_places_are_those_that_pip_itself_names(tmp_path: Path) -> None:
    configuration = pytest.importorskip("pip._internal.configuration")
    environ = {"HOME": str(tmp_path)}
    with pytest.MonkeyPatch.context() as patch:
        for name in ("XDG_CONFIG_DIRS", "XDG_CONFIG_HOME", "PIP_CONFIG_FILE"):
            patch.delenv(name, raising=False)
        patch.setenv("HOME", str(tmp_path))
        by_kind = configuration.get_configuration_files()
    expected = [path for kind in ("global", "user", "site") for path in by_kind[kind]]
    assert [str(path) for path in pip_config_files(environ, sys.platform, Path(sys.prefix))] == expected


def test_a_later_file_beats_an_earlier_one_and_the_section_of_install_beats_that_of_all(
    tmp_path: Path,
) -> None:
    machine, user, missing = tmp_path / "machine", tmp_path / "user", tmp_path / "missing"
    machine.write_text("[global]\nindex-url = https://machine.example/simple\ntimeout = 60\n")
    assert index_url((machine, missing)) == "https://machine.example/simple"
    user.write_text(
        "[global]\nindex-url=https://user.example/simple\n[download]\nindex-url=https://no.example\n"
    )
    assert index_url((machine, user)) == "https://user.example/simple"
    assert index_url((user, machine)) == "https://machine.example/simple"
    machine.write_text("[install]\nindex-url = https://install.example/simple\n")
    assert index_url((machine, user)) == "https://install.example/simple"
    assert index_url((missing, tmp_path / "user" / "below a file")) is None


@pytest.mark.parametrize("text", [b"index-url = x\n", b"[global]\nindex-url\n= =\n[", b"\xff\xfe"])
def test_a_file_of_pips_that_cannot_be_read_is_refused_by_its_path(tmp_path: Path, text: bytes) -> None:
    path = tmp_path / "pip.conf"
    path.write_bytes(text)
    with pytest.raises(UsageError) as caught:
        index_url((path,))
    assert caught.value.where == str(path)
    assert "PINNED_LLAMA_INDEX_URL" in caught.value.fix


@pytest.mark.parametrize("named", ["x" * 300, "/proc/1/root/x", "/dev/null/x"])
def test_a_file_that_cannot_be_looked_for_is_refused_or_none(named: str) -> None:
    files = pip_config_files({"HOME": "/home/a", "PIP_CONFIG_FILE": named}, "linux", Path("/venv"))
    assert files[-1] == Path(named)


def test_without_a_home_there_are_the_machines_files(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.path.expanduser", lambda path: path)  # as where the user has no entry
    files = pip_config_files({}, "linux", Path("/venv"))
    assert Path("/etc/pip.conf") in files
    assert pip_value(files[1:3], "index-url") is None
