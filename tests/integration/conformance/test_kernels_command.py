"""The session `kernels` with a small program in the place of test-backend-ops."""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING

import pytest

from recipes.cli.job import open_job
from recipes.cli.main import main
from recipes.cli.parser import parser
from recipes.conformance.checks import kernels
from recipes.conformance.checks.kernels import check_bundle, find_program, has_gpu_backend
from recipes.conformance.results.kernels import ASKED
from recipes.conformance.results.outcome import CheckVerdict
from recipes.core.errors import ConformanceError, UsageError

if TYPE_CHECKING:
    from pathlib import Path

    from recipes.build.context import Job

# It prints what test-backend-ops prints of the cases that are asked for.
PROGRAM = """\
#!{python}
# {marker}
import json, sys, time
options = dict(zip(sys.argv[2::2], sys.argv[3::2]))
cases = json.loads({cases!r})
for index, device in enumerate({devices!r}):
    print(f"Backend {{index + 1}}/{count}: {{device}}")
    if device != options["-b"]:
        print("  Skipping")
        continue
    op = options["-o"]
    if op == {dead!r}:
        sys.exit("ggml_abort: illegal memory access")
    if op == {hangs!r}:
        time.sleep(600)
    for params in cases.get(op, []):
        print(f"  {{op}}({{params}}): " + ("FAIL" if op == {wrong!r} else "OK"))
print("{count}/{count} backends passed")
sys.exit({wrong!r} == options["-o"])
"""


def program(folder: Path, *devices: str, marker: str = kernels.PLAIN_CODE.decode(), **faults: str) -> Path:
    """Write a program that has each case that is asked for, in a folder's bin/.

    The faults name an operation each: the program is `without` its cases, has them `wrong`, is `dead` or `hangs`.
    """
    cases = {
        asked.op: [",".join(f"{name}={value}" for name, value in case.items()) for case in asked.cases]
        for asked in ASKED
        if asked.op != faults.get("without")
    }
    path = folder / "bin" / kernels.PROGRAM
    path.parent.mkdir()
    text = PROGRAM.format(
        python=sys.executable,
        marker=marker,
        cases=json.dumps(cases),
        devices=devices,
        count=len(devices),
        wrong=faults.get("wrong"),
        dead=faults.get("dead"),
        hangs=faults.get("hangs"),
    )
    path.write_text(text, encoding="utf-8")
    path.chmod(0o755)
    return folder


def job() -> Job:
    return open_job(parser().parse_args(["kernels"]))


def run(folder: Path, capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, str, str]:
    code = main(["kernels", "--program", str(folder), *words])
    printed = capsys.readouterr()
    return code, printed.out, printed.err


def test_all_gpus_are_asked_and_the_table_counts(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = run(program(tmp_path, "CUDA0", "CUDA1", "BLAS", "CPU"), capsys)
    assert code == 0
    rows = [line.split() for line in out.splitlines() if line.startswith("CUDA")]
    assert rows == [
        [device, asked.op, str(len(asked.cases)), str(len(asked.cases)), "0", "0"]
        for device in ("CUDA0", "CUDA1")
        for asked in ASKED
    ]
    assert "CPU " not in out


@pytest.mark.parametrize(
    ("devices", "words", "asked"),
    [
        (("BLAS", "CPU"), (), "CPU"),  # there is no GPU
        (("CUDA0", "CPU"), ("--backend", "CPU"), "CPU"),
        (("CUDA0", "CUDA1", "CPU"), ("--backend", "CUDA1"), "CUDA1"),
    ],
)
def test_the_devices_are_chosen(
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    devices: tuple[str, ...],
    words: tuple[str, ...],
    asked: str,
) -> None:
    code, out, _ = run(program(tmp_path, *devices), capsys, *words)
    assert code == 0
    assert {line.split()[3].rstrip(":") for line in out.splitlines() if line.startswith("passed:")} == {asked}


@pytest.mark.parametrize(
    ("fault", "key_words"),
    [
        ({"wrong": "ROPE"}, "2 of 2 cases are wrong: ROPE(type=f32,mode=40)"),
        ({"dead": "ROPE"}, "status 1 after 0 cases: ggml_abort: illegal memory access"),
        ({"hangs": "ROPE"}, "did not end within 1 s"),
    ],
)
def test_what_is_wrong_dies_or_hangs_is_refused_and_the_rest_is_run(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    fault: dict[str, str],
    key_words: str,
) -> None:
    monkeypatch.setattr(kernels, "RUNS_S", 1.0 if "hangs" in fault else 60.0)
    code, out, err = run(program(tmp_path, "CUDA0", **fault), capsys)
    assert code == ConformanceError.exit_code
    assert key_words in err
    assert out.count("passed: ") == len(ASKED) - 1
    assert ("wrong:    ROPE(type=f16,mode=40)" in out) is ("wrong" in fault)


def test_what_an_older_program_lacks_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = run(program(tmp_path, "CUDA0", without="MUL_MAT_ID"), capsys)
    assert code == 0
    assert "not run:  MUL_MAT_ID on CUDA0: the program lacks 96 of the 96 cases: type_a=q4_0" in out
    assert out.count("passed: ") == len(ASKED) - 1


def test_a_program_that_would_compare_the_cpu_with_itself_proves_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code, out, err = run(program(tmp_path, "CPU", marker="older"), capsys)
    assert code == ConformanceError.exit_code
    assert "with itself" in out
    assert "nothing could be run" in err


@pytest.mark.parametrize(
    ("words", "key_word"),
    [(("--backend", "CUDA1"), "one of CUDA0, CPU"), (("--recipe", "b6751"), "leave out --recipe")],
)
def test_a_mistake_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], words: tuple[str, ...], key_word: str
) -> None:
    code, _, err = run(program(tmp_path, "CUDA0", "CPU"), capsys, *words)
    assert code == UsageError.exit_code
    assert key_word in err


def test_a_program_that_lists_no_device_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code, _, err = run(program(tmp_path), capsys)
    assert code == ConformanceError.exit_code
    assert "lists no device" in err


def test_a_folder_without_the_program_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, _, err = run(tmp_path, capsys)
    assert code == UsageError.exit_code
    assert str(tmp_path) in err


@pytest.mark.parametrize(
    ("names", "has"),
    [
        (["llama-server", "libggml-cuda.so"], True),
        (["libggml-metal.0.dylib"], True),
        (["ggml-vulkan.dll"], True),
        (["libggml-cpu-haswell.so", "libggml-blas.dylib", "libggml-base.so.0"], False),
    ],
)
def test_a_backend_of_a_gpu_is_known_by_its_name(names: list[str], *, has: bool) -> None:
    assert has_gpu_backend(names) is has


def test_conformance_says_why_kernels_are_not_compared(tmp_path: Path) -> None:
    (other,) = check_bundle(job(), None, None)
    assert other.verdict is CheckVerdict.NOT_RUN
    assert "--kernels" in other.words
    for part in ("bin", "lib"):
        (tmp_path / part).mkdir()
    (tmp_path / "bin" / "libggml-cpu-x64.so").touch()
    (ours,) = check_bundle(job(), tmp_path, None)
    assert ours.verdict is CheckVerdict.NOT_RUN
    assert "no backend of a GPU" in ours.words


def test_conformance_compares_with_a_program_that_is_named(tmp_path: Path) -> None:
    found = check_bundle(job(), None, find_program(program(tmp_path, "CUDA0", "CPU")))
    assert [outcome.verdict for outcome in found] == [CheckVerdict.PASSED] * len(ASKED)
