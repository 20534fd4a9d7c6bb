"""Which llama.cpp a folder holds, on folders whose programs are a few lines of shell."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from recipes.core.digest import Sha256, hash_file, hash_tree
from recipes.core.errors import UsageError
from recipes.serve.llamacpp.installation import SERVER, find_installation

SAYS_VERSION = 'case "$1" in --version) echo "version: 7827 (abc1234)" >&2; echo "built with cc" >&2;; esac\n'
RECORD = {
    "recipe": "b7827",
    "platform": "linux-x86_64-cpu",
    "plan": {"version": "7827", "commit": "0" * 40},
}


def program(path: Path, script: str = SAYS_VERSION) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/bin/sh\n{script}", encoding="utf-8")
    path.chmod(0o755)
    return path


@pytest.mark.parametrize(
    ("script", "version"),
    [
        (SAYS_VERSION, "version: 7827 (abc1234)"),
        ("echo noise; echo 'version: 1'\n", "version: 1"),
        ("echo 'llama-server 1.2'\n", "version unknown"),
        ("exit 1\n", "version unknown"),
    ],
)
def test_an_installation_is_named_by_its_server(tmp_path: Path, script: str, version: str) -> None:
    server = program(tmp_path / SERVER, script)
    found = find_installation(tmp_path)
    assert (found.folder, found.programs, found.digest) == (tmp_path, tmp_path, hash_file(server))
    assert (found.title, found.is_bundle) == (f"not built by this project, {version}", False)


def test_programs_in_bin_come_first(tmp_path: Path) -> None:
    program(tmp_path / SERVER)
    program(tmp_path / "bin" / SERVER)
    assert find_installation(tmp_path).programs == tmp_path / "bin"


def test_a_bundle_is_named_by_its_record_and_its_whole_tree_and_none_of_it_is_run(tmp_path: Path) -> None:
    program(tmp_path / "bin" / SERVER, "touch ran\n")
    (tmp_path / "build.json").write_text(json.dumps(RECORD), encoding="utf-8")
    before = sorted(tmp_path.rglob("*"))
    found = find_installation(tmp_path)
    assert sorted(tmp_path.rglob("*")) == before
    assert found.digest == hash_tree(tmp_path, Sha256)
    assert (found.title, found.is_bundle) == ("b7827@linux-x86_64-cpu, version 7827", True)
    (tmp_path / "build.json").write_text(json.dumps(RECORD) + "\n", encoding="utf-8")
    assert find_installation(tmp_path).digest != found.digest


@pytest.mark.parametrize(
    ("place", "text"),
    [
        (SERVER, json.dumps(RECORD)),  # beside the programs
        *((f"bin/{SERVER}", text) for text in ("", "[]", "{}", '{"recipe": "x"}')),
        (f"bin/{SERVER}", '{"recipe": 1, "platform": 2, "plan": 3}'),
    ],
)
def test_another_record_makes_no_bundle(tmp_path: Path, place: str, text: str) -> None:
    server = program(tmp_path / place)
    (tmp_path / "build.json").write_text(text, encoding="utf-8")
    found = find_installation(tmp_path)
    assert (found.is_bundle, found.digest) == (False, hash_file(server))


@pytest.mark.parametrize(
    ("place", "found", "fix"),
    [
        ("bin/llama-cli", "no such program", "build"),
        (f"{SERVER}/x", "no such program", "build"),  # a folder of that name is no program
        ("bin/llama-server.exe", "Windows", "windows.md"),
        ("llama-server.exe", "Windows", "windows.md"),
        (None, "no such folder", "build"),
    ],
)
def test_a_folder_without_a_server_is_refused(
    tmp_path: Path, place: str | None, found: str, fix: str
) -> None:
    folder = tmp_path / "x"
    if place is not None:
        program(folder / place)
    with pytest.raises(UsageError) as refused:
        find_installation(folder)
    assert refused.value.where == f"--bundle {folder}"
    assert found in refused.value.found
    assert fix in refused.value.fix


@pytest.mark.parametrize(
    ("content", "mode", "found"),
    [
        (b"#!/bin/sh\n", 0o644, SERVER),
        (b"\x7fELF of another machine", 0o755, "Exec format error"),
        (b"#!/bin/sh\nwhile :; do :; done\n", 0o755, "did not end within 0.05 s"),
    ],
)
def test_a_server_that_does_not_run_here_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, content: bytes, mode: int, found: str
) -> None:
    monkeypatch.setattr("recipes.serve.llamacpp.installation.HELP_S", 0.05)
    server = program(tmp_path / SERVER)
    server.write_bytes(content)
    server.chmod(mode)
    with pytest.raises(UsageError) as refused:
        find_installation(tmp_path)
    assert refused.value.found.startswith("it does not run here: ")
    assert found in refused.value.found


def test_a_program_is_found_only_where_it_can_be_run(tmp_path: Path) -> None:
    program(tmp_path / SERVER)
    quantize = program(tmp_path / "llama-quantize")
    found = find_installation(tmp_path)
    assert found.path("llama-quantize") == quantize
    quantize.chmod(0o644)
    assert found.path("llama-quantize") is None
    assert found.path("llama-cli") is None
    with pytest.raises(FileNotFoundError, match=r"^llama-cli$"):
        found.run("llama-cli", (), tmp_path)


def test_a_program_runs_where_it_is_told_with_nothing_of_our_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LLAMA_ARG_N_GPU_LAYERS", "99")
    program(
        tmp_path / SERVER, 'echo "$PWD $HOME $TMPDIR $LC_ALL ${LLAMA_ARG_N_GPU_LAYERS-unset} $*"; exit 3\n'
    )
    work = tmp_path / "work"
    work.mkdir()
    done = find_installation(tmp_path).run(SERVER, ("-m", "a b"), work)
    assert (done.status, done.out) == (3, f"{work} {work} {work} C unset -m a b\n")


def test_a_program_that_does_not_end_is_ended(tmp_path: Path) -> None:
    program(tmp_path / SERVER)
    endless = program(tmp_path / "llama-cli", "while :; do :; done\n")
    with pytest.raises(TimeoutError) as late:
        find_installation(tmp_path).run("llama-cli", (), tmp_path, timeout_s=0.05)
    assert str(endless) in str(late.value)
    assert "0.05 s" in str(late.value)


def test_the_options_that_a_server_knows_are_read_from_its_help(tmp_path: Path) -> None:
    help_text = """cat <<'END'
usage: a-b [--not-in-brackets]
-h,    --help, --usage                  print usage and exit
-c,    --ctx-size N                     size (default: 0, -1 = infinity), well-known --no-warmup--
                                        (env: LLAMA_ARG_CTX_SIZE)
END
echo '--on-error' >&2
"""
    program(tmp_path / SERVER, help_text)
    assert find_installation(tmp_path).server_options == {
        "-h",
        "--help",
        "--usage",
        "-c",
        "--ctx-size",
        "--not-in-brackets",
        "--no-warmup--",
        "--on-error",
    }


def test_the_help_is_asked_for_once(tmp_path: Path) -> None:
    program(tmp_path / SERVER, 'case "$1" in --help) echo x >> asked; echo --temp;; esac\n')
    found = find_installation(tmp_path)
    assert found.server_options == found.server_options == {"--temp"}
    assert (tmp_path / "asked").read_text(encoding="utf-8") == "x\n"


def test_a_folder_may_be_named_as_seen_from_here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program(tmp_path / "llama" / "bin" / SERVER, 'echo "version: 1 $1"\n')
    monkeypatch.chdir(tmp_path)
    found = find_installation(Path("llama"))
    assert found.title.endswith(", version: 1 --version")
    (tmp_path / "work").mkdir()
    assert found.run(SERVER, ("a",), tmp_path / "work").out == "version: 1 a\n"


@pytest.mark.parametrize(
    ("words", "is_offloaded"),
    [
        ((), False),
        (("-ngl", "99"), True),
        (("-ngl", "0", "--no-mmproj-offload"), False),
        (("-fa", "off"), False),
    ],
)
def test_an_installation_is_offloaded_where_layers_are(
    tmp_path: Path, words: tuple[str, ...], *, is_offloaded: bool
) -> None:
    program(tmp_path / SERVER)
    assert replace(find_installation(tmp_path), model_options=words).is_offloaded is is_offloaded
