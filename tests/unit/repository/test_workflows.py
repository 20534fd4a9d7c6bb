"""The workflows of hosted machines are judged by actionlint, and name what this repository has."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from recipes.cli.parser import parser
from recipes.manifest.load import PROJECT, Manifests

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


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.name)
def test_every_action_is_pinned_by_its_commit(path: Path) -> None:
    """A tag can be moved to other code; a commit cannot."""
    used = re.findall(r"uses: *(.*)", path.read_text())
    assert used
    assert [each for each in used if not re.fullmatch(r"[\w./-]+@[0-9a-f]{40} # v[\d.]+", each)] == []


def commands(path: Path) -> list[list[str]]:
    """Give the words of each call of noxfile.py in a workflow."""
    workflow = yaml.safe_load(path.read_text())
    scripts = [step.get("run", "") for job in workflow["jobs"].values() for step in job["steps"]]
    lines = [line for script in scripts for line in script.replace("\\\n", " ").splitlines()]
    return [shlex.split(line)[2:] for line in lines if line.startswith("python3 noxfile.py")]


def test_every_session_and_option_that_a_workflow_calls_is_there() -> None:
    manifests = Manifests()
    recipe = manifests.recipe(manifests.defaults().recipe)
    called = [words for path in WORKFLOWS for words in commands(path)]
    assert len(called) == 5
    for option, session, dashes, *words in called:
        assert (option, dashes) == ("-s", "--")
        options = parser().parse_args([session, *words])
        assert options.platform in {None, *recipe.platforms}
        archive = getattr(options, "bundle", None)
        assert archive is None or archive.name == f"llama.cpp-{recipe.name}-{options.platform}.tar.zst"
