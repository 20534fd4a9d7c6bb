"""The workflows of hosted machines pass actionlint, name what is here, and may write only where they must."""

from __future__ import annotations

import itertools
import re
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from recipes.cli.parser import parser
from recipes.manifest.load import PROJECT, Manifests

FOLDER = PROJECT / ".github" / "workflows"
REGISTRY = "PINNED_LLAMA_REGISTRY"  # the variable of a repository that says where its registry is
EXAMPLES = {"$to": "registry.example.org/team/llama/bundles"}  # what a variable of a script may stand for
WORKFLOWS = sorted(FOLDER.glob("*.yml"))


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
    text = (FOLDER / "macos.yml").read_text().replace("needs: cross", "needs: crossed")
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


def jobs(path: Path) -> dict[str, dict[str, Any]]:
    return dict(yaml.safe_load(path.read_text())["jobs"])


def commands(path: Path) -> list[list[str]]:
    """The words of each call of noxfile.py in a workflow, up to where its output goes."""
    scripts = [step.get("run", "") for job in jobs(path).values() for step in job["steps"]]
    lines = [line for script in scripts for line in script.replace("\\\n", " ").splitlines()]
    called = [
        shlex.split(line)[2:] for line in map(str.strip, lines) if line.startswith("python3 noxfile.py")
    ]
    return [list(itertools.takewhile(lambda word: word != ">", words)) for words in called]


def recipes_of_the_matrix() -> list[str]:
    return list(jobs(FOLDER / "ci.yml")["lock"]["strategy"]["matrix"]["recipe"])


def test_every_session_and_option_that_a_workflow_calls_is_there() -> None:
    manifests = Manifests()
    recipe = manifests.recipe(manifests.defaults().recipe)
    noxfile = (PROJECT / "noxfile.py").read_text()
    called = [words for path in WORKFLOWS for words in commands(path)]
    assert len(called) == 19
    for option, name, *words in called:
        if option == "-t":
            assert re.search(rf"tags=\[[^]]*\"{name}\"", noxfile), name
        elif name == "tests":
            assert option == "-s"
            assert [word for word in words[1:] if not (PROJECT / word).exists()] == []
        else:
            assert (option, words[0]) == ("-s", "--")
            options = parser().parse_args([name, *(EXAMPLES.get(word, word) for word in words[1:])])
            assert options.recipe in {None, "$RECIPE", "$tag", *recipes_of_the_matrix()}
            assert getattr(options, "platform", None) in {None, "$PLATFORM", *recipe.platforms}
            archive = getattr(options, "bundle", None)
            assert (
                archive in {None, Path("$archive")}
                or archive.name == f"llama.cpp-{recipe.name}-{options.platform}.tar.zst"
            )


def test_the_weekly_proposal_looks_at_every_recipe() -> None:
    assert recipes_of_the_matrix() == [*sorted(Manifests().recipe_names()), "newest"]


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.name)
def test_a_job_that_may_write_runs_nothing_of_ours_or_of_others(path: Path) -> None:
    """But for one job, which the test below is about."""
    assert yaml.safe_load(path.read_text())["permissions"] == {"contents": "read"}
    writers = {name: job for name, job in jobs(path).items() if "permissions" in job}
    known = {"ci.yml": {"attest", "propose"}, "advisories.yml": {"tell"}, "publish.yml": {"publish"}}
    assert set(writers) == known.get(path.name, set())
    for name, job in writers.items():
        if (path.name, name) != ("publish.yml", "publish"):
            assert "python" not in "".join(step.get("run", "") for step in job["steps"])


PUBLISHES = """\
to="$REGISTRY/bundles"
for archive in archive/*.tar.zst; do
  python3 noxfile.py -s publish -- "$archive" --to "$to"
done
"""
MAKES_IMAGES = """\
export PINNED_LLAMA_CACHES="$REGISTRY/bundles"
to="$REGISTRY/images"
python3 noxfile.py -s image -- --all-platforms --to "$to"
"""


def test_the_one_job_that_may_write_and_runs_our_code_does_exactly_this() -> None:
    """It sends what was built elsewhere, by our own client of registries: docs/decisions/0038-container-images.md.

    Each word that it runs stands here, so that nobody adds a step to it in passing.
    """
    job = jobs(FOLDER / "publish.yml")["publish"]
    assert job["permissions"] == {"contents": "read", "packages": "write"}
    assert (job["needs"], job["if"]) == ("build", f"vars.{REGISTRY} != ''")
    login = 'printf \'%s\' "$TOKEN" | docker login "${REGISTRY%%/*}" --username "$ACTOR" --password-stdin'
    assert [step["run"] for step in job["steps"] if "run" in step] == [login, PUBLISHES, MAKES_IMAGES]
    used = [step["uses"].partition("@")[0] for step in job["steps"] if "uses" in step]
    assert used == ["actions/checkout", "actions/setup-python", "actions/download-artifact"]
    knows_the_token = [step for step in job["steps"] if "token" in str(step.get("env", "")).lower()]
    assert [step["run"] for step in knows_the_token] == [login]


def test_all_workflows_name_the_registry_by_one_variable_which_the_guide_explains() -> None:
    """And both have bundles in one place of it, so that what one built is there for the other."""
    using = {path.name for path in WORKFLOWS if "vars." in path.read_text()}
    assert using == {"publish.yml", "share.yml"}
    for name in using:
        text = (FOLDER / name).read_text()
        assert set(re.findall(r"vars\.(\w+)", text)) == {REGISTRY}
        (job,) = (each for each in jobs(FOLDER / name).values() if "if" in each)
        assert job["if"] == f"vars.{REGISTRY} != ''"
        given = [step["env"]["REGISTRY"] for step in job["steps"] if "$" in step.get("run", "")]
        assert set(given) == {f"${{{{ vars.{REGISTRY} }}}}"}
        scripts = "".join(step.get("run", "") for step in job["steps"])
        assert 'to="$REGISTRY/bundles"\n' in scripts
        assert 'docker login "${REGISTRY%%/*}"' in scripts
    guide = (PROJECT / "docs" / "how-to" / "share-through-a-registry.md").read_text()
    assert set(re.findall(r"\b\w+_REGISTRY\b", guide)) == {REGISTRY}
    assert f"`{REGISTRY}` as `HOST/PATH`" in " ".join(guide.split())


def test_a_release_publishes_every_platform_whose_compiler_is_pinned() -> None:
    document = yaml.safe_load((FOLDER / "publish.yml").read_text())
    assert set(document[True]) == {"push", "workflow_dispatch"}  # YAML reads `on` as true
    assert document[True]["push"] == {"tags": ["v*"]}
    manifests = Manifests()
    platforms = manifests.recipe(manifests.defaults().recipe).platforms.items()
    pinned = {name for name, each in platforms if manifests.toolchain(each.toolchain).kind != "host"}
    assert set(document["jobs"]["build"]["strategy"]["matrix"]["platform"]) == pinned
