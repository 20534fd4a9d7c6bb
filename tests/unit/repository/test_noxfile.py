"""noxfile.py before there is anything but some Python: its grammar, its refusals, what environments get."""

from __future__ import annotations

import ast
import importlib.util
import os
import re
import shutil
import signal
import subprocess
import sys
import tomllib
from typing import TYPE_CHECKING, Any

import pytest

from recipes.core import errors
from tests.support.paths import PROJECT

if TYPE_CHECKING:
    from pathlib import Path

NOXFILE = PROJECT / "noxfile.py"
TEXT = NOXFILE.read_text(encoding="utf-8")
TITLES = {"UNFIT": "cannot run here", "NO_ENVIRONMENT": "environment", "REFUSED": "refused"}


@pytest.fixture(scope="module")
def noxfile() -> Any:  # noqa: ANN401 - a module that is not imported by its name
    spec = importlib.util.spec_from_file_location("noxfile_of_the_project", NOXFILE)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("version", [(3, 6), (3, 8), (3, 10)])
def test_an_older_python_can_parse_it(version: tuple[int, int]) -> None:
    ast.parse(TEXT, feature_version=version)
    assert "from __future__" not in TEXT  # annotations are no feature of 3.6
    with pytest.raises(SyntaxError):
        ast.parse("async def f():\n    pass\n(x := 1)\n", feature_version=(3, 6))  # what it is compared with


def test_the_first_line_that_python_2_cannot_parse_says_what_is_needed() -> None:
    first = next(node for node in ast.parse(TEXT).body if isinstance(node, ast.AnnAssign | ast.FunctionDef))
    assert re.search(r"Python 2 .* Python 3\.11 or newer$", TEXT.splitlines()[first.lineno - 1])


def test_all_say_the_same_version(noxfile: Any) -> None:  # noqa: ANN401 - as above
    needed = f">={noxfile.PYTHON[0]}.{noxfile.PYTHON[1]}"
    assert tomllib.loads((PROJECT / "pyproject.toml").read_text())["project"]["requires-python"] == needed
    assert f'# requires-python = "{needed}"' in TEXT


def test_its_exit_codes_are_those_of_the_errors(noxfile: Any) -> None:  # noqa: ANN401 - as above
    assert errors.UsageError.exit_code == noxfile.USAGE_ERROR
    assert noxfile.INTERRUPTED == errors.INTERRUPTED
    assert noxfile.UNFIT[0] == noxfile.NO_ENVIRONMENT[0] == errors.ToolchainError.exit_code
    assert (errors.OperatingSystemError.exit_code, errors.OperatingSystemError.title) == noxfile.REFUSED


@pytest.mark.parametrize(
    ("change", "found"),
    [
        ("sys.version_info = (3, 9, 18); sys.version = '3.9.18 (main)'", "Python 3.9.18"),
        ("import os; os.name = 'nt'; sys.platform = 'win32'", "win32"),
    ],
)
def test_what_cannot_run_it_is_said_first(change: str, found: str) -> None:
    code = f"import sys, typing, subprocess, shutil; {change}; sys.argv = ['noxfile.py', '-s', 'build']\n"
    code += f"exec(compile(open({str(NOXFILE)!r}).read(), 'noxfile.py', 'exec'))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == errors.ToolchainError.exit_code
    assert f"found:    {found}" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("name", ["python3.6", "python3.8", "python3.9", "python3.10"])
def test_a_real_old_python_says_so(name: str) -> None:
    program = shutil.which(name)
    if program is None:
        pytest.skip(f"no {name} on the path")
    if subprocess.run([program, "-c", ""], capture_output=True).returncode:  # only a name, as of pyenv
        pytest.skip(f"no {name} on the path")
    done = subprocess.run([program, str(NOXFILE), "-l"], capture_output=True, text=True)
    assert done.returncode == errors.ToolchainError.exit_code
    assert "expected: Python 3.11 or newer" in done.stderr


def test_nothing_of_the_users_reaches_an_environment(
    noxfile: Any,  # noqa: ANN401 - as above
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name in ("PYTHONPATH", "PYTHONHOME", "PYTHONSTARTUP", "PYTHONUSERBASE", "PIP_TARGET", "PIP_USER"):
        monkeypatch.setenv(name, "/of/the/user")
    monkeypatch.setenv("PIP_INDEX_URL", "https://mirror.example/simple")
    passed_on = noxfile.clean_environment()
    assert "/of/the/user" not in passed_on.values()
    assert passed_on["PYTHONPATH"] == str(PROJECT)
    assert passed_on["PIP_INDEX_URL"] == "https://mirror.example/simple"
    assert passed_on["PATH"] == os.environ["PATH"]


def test_pip_and_venv_listen_to_no_variable_of_python(
    noxfile: Any,  # noqa: ANN401 - as above
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    started: list[tuple[str, ...]] = []

    def succeed(argv: tuple[str, ...]) -> int:
        started.append(argv)
        return 0

    monkeypatch.setattr(noxfile, "install", succeed)
    noxfile.make_environment(tmp_path, tmp_path / "bin" / "python", noxfile.LOCKS / "run.lock")
    assert [(argv[1], argv[3]) for argv in started] == [("-I", "venv"), ("-I", "pip")]
    assert "--require-hashes" in started[1]


@pytest.mark.parametrize(("failing", "word"), [("venv", "ensurepip"), ("pip", "hash")])
def test_a_step_that_fails_is_an_error_of_ours(  # noqa: PLR0913, PLR0917 - two values and four fixtures
    failing: str,
    word: str,
    noxfile: Any,  # noqa: ANN401 - as above
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(noxfile, "install", lambda argv: int(failing in argv))
    with pytest.raises(SystemExit) as caught:
        noxfile.make_environment(tmp_path / "e", tmp_path / "python", noxfile.LOCKS / "run.lock")
    err = capsys.readouterr().err
    assert caught.value.code == errors.ToolchainError.exit_code
    assert re.search(rf"where: .*{failing}", err)
    assert re.search(rf"expected: .*{word}", err)


def test_a_full_disk_is_said_to_be_full(
    noxfile: Any,  # noqa: ANN401 - as above
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.delenv("PINNED_LLAMA_OFFLINE", raising=False)
    monkeypatch.setattr(noxfile, "install", lambda _: 1)
    monkeypatch.setattr(noxfile.shutil, "disk_usage", lambda _: shutil._ntuple_diskusage(1, 1, 0))
    with pytest.raises(SystemExit) as caught:
        noxfile.environment_python("run")
    assert caught.value.code == errors.ToolchainError.exit_code
    assert "found:    No space left on device" in capsys.readouterr().err


def test_an_environment_that_lost_its_python_is_made_again(
    noxfile: Any,  # noqa: ANN401 - as above
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    made: list[Path] = []
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.delenv("PINNED_LLAMA_OFFLINE", raising=False)
    monkeypatch.setattr(noxfile, "make_environment", lambda folder, *_: made.append(folder))
    for _ in range(2):  # the stand-in makes no Python
        noxfile.environment_python("run")
    assert made == [noxfile.environment_folder("run")] * 2


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_bootstrap_ends_what_it_started_without_a_traceback(
    number: int, tmp_path: Path
) -> None:
    begun = tmp_path / "begun"
    slow = f"import os, pathlib, time; pathlib.Path({str(begun)!r}).write_text(str(os.getpid())); time.sleep(600)"
    code = f"""import runpy, sys
noxfile = runpy.run_path({str(NOXFILE)!r})
try:
    noxfile["install"]((sys.executable, "-c", {slow!r}))
except KeyboardInterrupt:
    sys.exit(130)
"""
    with subprocess.Popen([sys.executable, "-c", code], stderr=subprocess.PIPE, text=True) as process:
        while not (begun.exists() and begun.read_text()):
            assert process.poll() is None
        process.send_signal(number)
        _, err = process.communicate()
    assert process.returncode == errors.INTERRUPTED
    assert "Traceback" not in err
    with pytest.raises(ProcessLookupError):
        os.kill(int(begun.read_text()), 0)


@pytest.mark.parametrize(
    ("words", "name"),
    [(["-s", "biuld"], "biuld"), (["-f", "x", "--session", "build", "verfy", "--", "-s", "no"], "verfy")],
)
def test_an_unknown_session_is_refused_with_the_nearest(
    words: list[str],
    name: str,
    noxfile: Any,  # noqa: ANN401 - as above
    capsys: pytest.CaptureFixture[str],
) -> None:
    known = ["build", "verify"]
    with pytest.raises(SystemExit) as caught:
        noxfile.refuse_unknown_sessions(words, known)
    assert caught.value.code == errors.UsageError.exit_code
    assert re.search(rf"no session {name}; did you mean (build|verify)\?", capsys.readouterr().err)
    noxfile.refuse_unknown_sessions(["-s", "build", "-v", "--", "-s", "other"], known)


def test_sessions_that_write_or_take_hours_are_not_default_ones() -> None:
    named = re.findall(r"@nox\.session\(([^)]*)\)\ndef (\w+)", TEXT)
    not_default = {name for options, name in named if "default=False" in options}
    assert {"lock", "gc", "docs", "bench", "fullsize", "fidelity", "reference", "reproduce"} <= not_default
    assert {name for options, name in named if 'tags=["check"]' in options} == {"lint", "typecheck", "fast"}
