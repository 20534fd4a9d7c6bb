"""mac-check on a machine that is no Mac: what it writes, what it cannot check here, and what fails."""

from __future__ import annotations

import json
import shutil
import sys
from typing import TYPE_CHECKING, Any

import pytest

from recipes.cli.main import main
from recipes.conformance import mac_check
from recipes.conformance.mac_check import Step
from recipes.fetch.archives.pack import pack

if TYPE_CHECKING:
    from pathlib import Path

    from recipes.build.context import Job
    from recipes.serve.llamacpp.installation import Installation

pytestmark = pytest.mark.skipif(sys.platform == "darwin", reason="a Mac gives other verdicts")
SERVER = """#!/bin/sh
case $1 in
  --version) echo "version: 6751 (01d2bdc2)" ;;
  --list-devices) printf 'Available devices:\\n  MTL0: Apple M1 (1 MiB, 1 MiB free)\\n' ;;
esac
"""
BUILD = {"recipe": "b6751", "platform": "macos-arm64-metal", "plan": {"version": "6751 (01d2bdc2)"}}


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    root = tmp_path / "llama.cpp-b6751-macos-arm64-metal"
    (root / "bin").mkdir(parents=True)
    (root / "bin" / "llama-server").write_text(SERVER)
    (root / "bin" / "llama-server").chmod(0o755)
    (root / "build.json").write_text(json.dumps(BUILD))
    return root


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, ...]]:
    """The suite takes minutes, and is tested by itself: here it is noted what would have been asked how."""
    options: list[tuple[str, ...]] = []

    def answer(_: Job, subject: Installation, name: str) -> tuple[Step, dict[str, Any]]:
        options.append(subject.model_options)
        return Step(f"conformance, {name}", "passed", "passes"), {"outcomes": [], "exhibits": []}

    monkeypatch.setattr(mac_check, "check_answers", answer)
    return options


def check(bundle: Path, result: Path) -> int:
    arguments = ("--platform", "macos-arm64-metal", "--bundle", str(bundle), "--result", str(result))
    return main(["mac-check", "--recipe", "b6751", *arguments])


def test_the_result_says_what_was_not_run_here_and_is_no_pass(
    bundle: Path, tmp_path: Path, asked: list[tuple[str, ...]], capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "out" / "result.json"
    assert check(bundle, path) == 22
    result = json.loads(path.read_text())
    assert (result["format"], result["verdict"]) == ("mac-check/1", "incomplete")
    assert result["title"] == "b6751@macos-arm64-metal, version 6751 (01d2bdc2)"
    assert result["digest"].startswith("sha256:")
    assert {step["name"]: step["verdict"] for step in result["steps"]} == {
        "signatures": "not run",
        "version": "passed",
        "devices": "not run",
        "conformance, -ngl 99": "passed",
        "conformance, -ngl 0": "passed",
    }
    assert asked == [("-ngl", "99"), ("-ngl", "0", "--no-mmproj-offload")]
    assert "not run: devices: " in capsys.readouterr().err


def test_an_archive_is_tried_as_the_bundle_that_it_holds(
    bundle: Path, tmp_path: Path, asked: list[tuple[str, ...]]
) -> None:
    archive = tmp_path / f"{bundle.name}.tar.zst"
    pack(bundle, archive, mtime=0, prefix=bundle.name)
    first, second = tmp_path / "first.json", tmp_path / "second.json"
    assert (check(bundle, first), check(archive, second)) == (22, 22)
    shutil.rmtree(bundle)
    assert len(asked) == 4
    assert json.loads(first.read_text())["digest"] == json.loads(second.read_text())["digest"]
    assert main(["mac-check", "--compare", str(first), str(second)]) == 0


def test_a_program_of_another_version_fails(
    bundle: Path, tmp_path: Path, asked: list[tuple[str, ...]], capsys: pytest.CaptureFixture[str]
) -> None:
    server = bundle / "bin" / "llama-server"
    server.write_text(SERVER.replace("6751 (01d2bdc2)", "0 (unknown)"))
    path = tmp_path / "result.json"
    assert check(bundle, path) == 22
    assert len(asked) == 2
    assert json.loads(path.read_text())["verdict"] == "failed"
    assert "version: 0 (unknown)" in capsys.readouterr().err


def test_two_results_that_differ_are_told_apart(
    bundle: Path, tmp_path: Path, asked: list[tuple[str, ...]], capsys: pytest.CaptureFixture[str]
) -> None:
    first, second = tmp_path / "first.json", tmp_path / "second.json"
    check(bundle, first)
    assert asked
    second.write_text(first.read_text().replace('"not run"', '"failed"'))
    assert main(["mac-check", "--compare", str(first), str(second)]) == 22
    assert "signatures: not run in" in capsys.readouterr().err
