"""The workflows of hosted machines are judged by actionlint, and name what this repository has."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from recipes.manifest import PROJECT, Manifests
from recipes.options import parser

WORKFLOWS = sorted((PROJECT / ".github" / "workflows").glob("*.yml"))


def lint(path: Path) -> subprocess.CompletedProcess[str]:
    program = Path(sys.executable).parent / "actionlint"
    return subprocess.run(
        [str(program), "-no-color", "-shellcheck=", "-pyflakes=", str(path)], capture_output=True, text=True
    )


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.name)
def test_actionlint_finds_nothing(path: Path) -> None:
    done = lint(path)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_actionlint_finds_a_planted_fault(tmp_path: Path) -> None:
    text = WORKFLOWS[0].read_text().replace("needs: cross", "needs: crossed")
    path = tmp_path / "macos.yml"
    path.write_text(text)
    done = lint(path)
    assert done.returncode == 1
    assert "crossed" in done.stdout


def test_every_session_and_option_that_a_workflow_calls_is_there() -> None:
    commands = [
        found
        for path in WORKFLOWS
        for found in re.findall(r"noxfile\.py -s (\S+) -- ((?:[^\n]|\\\n|\n {10}--)+)", path.read_text())
    ]
    assert len(commands) == 5
    for session, words in commands:
        arguments = words.replace("\\\n", " ").split()
        options = parser().parse_args([session, *arguments])
        platform = getattr(options, "platform", None)
        manifests = Manifests()
        assert platform in {None, *manifests.recipe(manifests.defaults().recipe).platforms}
