"""noxfile.py and its bootstrap, before there is anything but some Python: grammar, refusals, environments."""

from __future__ import annotations

import ast
import os
import re
import shutil
import signal
import subprocess
import sys
import tomllib
from typing import TYPE_CHECKING

import psutil
import pytest

from recipes import bootstrap
from recipes.core import errors
from tests.support.paths import PROJECT
from tests.support.signals import AS_IT_STARTS_ANOTHER, end_on_signals

if TYPE_CHECKING:
    from pathlib import Path

NOXFILE = PROJECT / "noxfile.py"
TEXT = NOXFILE.read_text(encoding="utf-8")
BOOTSTRAP = PROJECT / "recipes" / "bootstrap.py"


@pytest.mark.parametrize("version", [(3, 6), (3, 8), (3, 10)])
@pytest.mark.parametrize(
    "path", [NOXFILE, BOOTSTRAP, BOOTSTRAP.with_name("__init__.py")], ids=lambda p: p.stem
)
def test_an_older_python_can_parse_it(path: Path, version: tuple[int, int]) -> None:
    text = path.read_text(encoding="utf-8")
    ast.parse(text, feature_version=version)
    assert "from __future__" not in text  # annotations are no feature of 3.6
    with pytest.raises(SyntaxError):
        ast.parse("async def f():\n    pass\n(x := 1)\n", feature_version=(3, 6))  # what it is compared with


def test_no_annotation_of_the_bootstrap_fails_in_an_older_python() -> None:
    tree = ast.parse(BOOTSTRAP.read_text(encoding="utf-8"))
    nodes = list(ast.walk(tree))
    annotations = [node.annotation for node in nodes if isinstance(node, ast.arg)]
    # those of a function's variables are not evaluated
    annotations += [node.annotation for node in tree.body if isinstance(node, ast.AnnAssign)]
    annotations += [node.returns for node in nodes if isinstance(node, ast.FunctionDef)]
    assert len(annotations) > 10
    for annotation in filter(None, annotations):  # `list[str]` and `str | None` cannot be evaluated there
        assert isinstance(annotation, ast.Name | ast.Constant), ast.unparse(annotation)


def test_the_bootstrap_imports_only_what_is_there() -> None:
    nodes = list(ast.walk(ast.parse(BOOTSTRAP.read_text(encoding="utf-8"))))
    names = {alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names}
    names |= {node.module or "." for node in nodes if isinstance(node, ast.ImportFrom)}
    outside = {name.partition(".")[0] for name in names} - sys.stdlib_module_names
    assert outside == {"nox"}  # in the environment that it made


def test_the_first_line_that_python_2_cannot_parse_says_what_is_needed() -> None:
    first = next(node for node in ast.parse(TEXT).body if isinstance(node, ast.AnnAssign | ast.FunctionDef))
    assert re.search(r"Python 2 .* 3\.11 ", TEXT.splitlines()[first.lineno - 1])


def test_all_say_the_same_version() -> None:
    needed = f">={bootstrap.PYTHON[0]}.{bootstrap.PYTHON[1]}"
    assert tomllib.loads((PROJECT / "pyproject.toml").read_text())["project"]["requires-python"] == needed
    assert f'# requires-python = "{needed}"' in TEXT


def test_its_exit_codes_are_those_of_the_errors() -> None:
    assert errors.UsageError.exit_code == bootstrap.USAGE_ERROR
    assert bootstrap.INTERRUPTED == errors.INTERRUPTED
    assert bootstrap.UNFIT[0] == bootstrap.NO_ENVIRONMENT[0] == errors.ToolchainError.exit_code
    assert (errors.OperatingSystemError.exit_code, errors.OperatingSystemError.title) == bootstrap.REFUSED


def test_an_older_python_is_refused_before_nox_is_imported() -> None:
    code = "import sys, subprocess, shutil, pathlib; sys.version_info = (3, 9, 18); sys.version = '3.9.18 (main)'\n"
    code += f"sys.modules['nox'] = None; import runpy; runpy.run_path({str(NOXFILE)!r})"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == errors.ToolchainError.exit_code
    assert "found:    Python 3.9.18" in done.stderr
    assert "Traceback" not in done.stderr


def test_windows_is_refused(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(sys, "platform", "win32")
    with monkeypatch.context() as patched:
        patched.setattr(os, "name", "nt")
        with pytest.raises(SystemExit) as caught:
            bootstrap.check_machine()
    assert caught.value.code == errors.ToolchainError.exit_code
    assert "found:    win32" in capsys.readouterr().err


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
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name in ("PYTHONPATH", "PYTHONHOME", "PYTHONSTARTUP", "PYTHONUSERBASE", "PIP_TARGET", "PIP_USER"):
        monkeypatch.setenv(name, "/of/the/user")
    monkeypatch.setenv("PIP_INDEX_URL", "https://mirror.example/simple")
    passed_on = bootstrap.clean_environment()
    assert "/of/the/user" not in passed_on.values()
    assert passed_on["PYTHONPATH"] == str(PROJECT)
    assert passed_on["PIP_INDEX_URL"] == "https://mirror.example/simple"
    assert passed_on["PATH"] == os.environ["PATH"]


def test_pip_and_venv_listen_to_no_variable_of_python(
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    started: list[tuple[str, ...]] = []

    def succeed(argv: tuple[str, ...]) -> int:
        started.append(argv)
        return 0

    monkeypatch.setattr(bootstrap, "install", succeed)
    bootstrap.make_environment(tmp_path, tmp_path / "bin" / "python", bootstrap.LOCKS / "run.lock")
    assert [(argv[1], argv[3]) for argv in started] == [("-I", "venv"), ("-I", "pip")]
    assert "--require-hashes" in started[1]


@pytest.mark.parametrize(("failing", "word"), [("venv", "ensurepip"), ("pip", "hash")])
def test_a_step_that_fails_is_an_error_of_ours(
    failing: str,
    word: str,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(bootstrap, "install", lambda argv: int(failing in argv))
    with pytest.raises(SystemExit) as caught:
        bootstrap.make_environment(tmp_path / "e", tmp_path / "python", bootstrap.LOCKS / "run.lock")
    err = capsys.readouterr().err
    assert caught.value.code == errors.ToolchainError.exit_code
    assert re.search(rf"where: .*{failing}", err)
    assert re.search(rf"expected: .*{word}", err)


def test_a_full_disk_is_said_to_be_full(
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.delenv("PINNED_LLAMA_OFFLINE", raising=False)
    monkeypatch.setattr(bootstrap, "install", lambda _: 1)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: shutil._ntuple_diskusage(1, 1, 0))
    with pytest.raises(SystemExit) as caught:
        bootstrap.environment_python("run")
    assert caught.value.code == errors.ToolchainError.exit_code
    assert "No space left" in capsys.readouterr().err


def test_an_environment_that_lost_its_python_is_made_again(
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    made: list[Path] = []
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.delenv("PINNED_LLAMA_OFFLINE", raising=False)
    monkeypatch.setattr(bootstrap, "make_environment", lambda folder, *_: made.append(folder))
    for _ in range(2):  # the stand-in makes no Python
        bootstrap.environment_python("run")
    assert made == [bootstrap.environment_folder("run")] * 2


@pytest.mark.parametrize("when", ["while it starts", "while it runs"])
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_an_interrupted_bootstrap_ends_what_it_started_without_a_traceback(
    number: int, when: str, tmp_path: Path
) -> None:
    begun = tmp_path / "begun"
    slow = f"import pathlib, time; pathlib.Path({str(begun)!r}).touch(); time.sleep(60)"
    code = f"""import sys
{AS_IT_STARTS_ANOTHER.format(number=int(number) if when == "while it starts" else 0)}
from recipes.bootstrap import install
try:
    install((sys.executable, "-c", {slow!r}))
except KeyboardInterrupt:
    sys.exit(130)
"""
    with subprocess.Popen(
        [sys.executable, "-c", code],
        cwd=PROJECT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=end_on_signals,  # noqa: PLW1509 - the tests run no thread
    ) as process:
        if when == "while it runs":
            while not begun.exists():
                assert process.poll() is None
            process.send_signal(number)
        out, err = process.communicate()
    assert process.returncode == errors.INTERRUPTED
    assert err == ""
    assert not psutil.pid_exists(int(out))


def test_what_ends_a_session_ends_the_command_that_it_has_just_started() -> None:
    code = f"""import sys
{AS_IT_STARTS_ANOTHER.format(number=int(signal.SIGTERM))}
from recipes import bootstrap
bootstrap.environment_python = lambda group: sys.executable
bootstrap.run("run", "-c", "import time; time.sleep(60)")
"""
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=PROJECT, capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (128 + signal.SIGTERM, "")
    assert not psutil.pid_exists(int(done.stdout))


@pytest.mark.parametrize(
    ("words", "name"),
    [(["-s", "biuld"], "biuld"), (["-f", "x", "--session", "build", "verfy", "--", "-s", "no"], "verfy")],
)
def test_an_unknown_session_is_refused_with_the_nearest(
    words: list[str],
    name: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    known = ["build", "verify"]
    with pytest.raises(SystemExit) as caught:
        bootstrap.refuse_unknown_sessions(words, known)
    assert caught.value.code == errors.UsageError.exit_code
    assert re.search(rf"no session {name}; did you mean (build|verify)\?", capsys.readouterr().err)
    bootstrap.refuse_unknown_sessions(["-s", "build", "-v", "--", "-s", "other"], known)


@pytest.mark.parametrize(
    ("words", "direct"),
    [
        (["-s", "ask", "--", "--image", "a.png", "what?"], ["ask", "--image", "a.png", "what?"]),
        (["--session", "serve"], ["serve"]),
        (["-s", "ask", "--", "--", "x"], ["ask", "--", "x"]),
        (["-s", "ask", "serve"], []),
        (["-s", "build"], []),
        (["-l"], []),
        (["-s"], []),
        ([], []),
    ],
)
def test_what_nox_would_only_hand_on_goes_on_without_it(words: list[str], direct: list[str]) -> None:
    assert bootstrap.direct_words(words) == direct


def test_sessions_that_go_on_without_nox_only_hand_on() -> None:
    text = (PROJECT / "noxfile.py").read_text(encoding="utf-8")
    for name in bootstrap.DIRECT:
        body = text.partition(f"def {name}(session: nox.Session) -> None:")[2].partition("\n\n\n")[0]
        assert re.fullmatch(r'\n    """[^\n]*"""\n    recipes\(session\)', body), body


def test_sessions_that_write_or_take_hours_are_not_default_ones() -> None:
    named = re.findall(r"@nox\.session\(([^)]*)\)\ndef (\w+)", TEXT)
    not_default = {name for options, name in named if "default=False" in options}
    assert {"lock", "gc", "docs", "bench", "fullsize", "fidelity", "reference", "reproduce"} <= not_default
    assert {name for options, name in named if 'tags=["check"]' in options} == {"lint", "typecheck", "fast"}


def test_a_path_after_the_dashes_replaces_the_folders_of_a_session() -> None:
    assert "testpaths={folders}" in TEXT  # which pytest reads where no path is given
    assert re.findall(r'\brun\([^)]*"tests/', TEXT) == []
