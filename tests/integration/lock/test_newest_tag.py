"""The weekly workflow's step that tries the default recipe's patches on upstream's newest tag: its own script, run."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest
import yaml

from recipes.manifest.load import PROJECT, Manifests
from tests.support.http_server import Server
from tests.support.lock_project import (
    NO_GIT_CONFIG,
    RECIPE,
    WHO,
    Workshop,
    git,
    make_upstream,
    make_workshop,
    snapshot,
)

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

WORKFLOW = PROJECT / ".github" / "workflows" / "ci.yml"
# The script calls `python3 noxfile.py -s lock -- ...`; here the session's own command is asked, of the small project.
PYTHON3 = f"""#!/bin/sh
shift 4
PYTHONPATH={PROJECT} exec {sys.executable} -m recipes lock --project "$PWD" "$@"
"""


def script() -> str:
    steps = yaml.safe_load(WORKFLOW.read_text())["jobs"]["lock"]["steps"]
    (found,) = (step["run"] for step in steps if step.get("if") == "matrix.recipe == 'newest'")
    return str(found)


@pytest.fixture
def workshop(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Iterator[Workshop]:
    """A committed project whose default recipe has its patches under its own name; upstream's newest tag is b8."""
    (tmp_path / "upstream").mkdir()
    with Server() as server:
        shop = make_workshop(
            tmp_path, server, make_upstream(tmp_path / "upstream"), capsys, ("exact", "moved")
        )
        (shop.project / "patches" / "b7").rename(shop.project / "patches" / "small")
        shop.manifest.write_text(shop.text.replace("file: b7/", "file: small/"), encoding="utf-8")
        git("init", "-q", at=shop.project)
        git("add", "--all", at=shop.project)
        git(*WHO, "commit", "-q", "-m", "all", at=shop.project)
        shop.tag("b8")
        yield shop


def run(shop: Workshop, folder: Path) -> subprocess.CompletedProcess[str]:
    (folder / "bin").mkdir()
    (folder / "bin" / "python3").write_text(PYTHON3)
    (folder / "bin" / "python3").chmod(0o755)
    told = {
        "PATH": f"{folder / 'bin'}:{os.environ['PATH']}",
        "PINNED_LLAMA_STORE": str(shop.root),
        # the forge's address gives archives; git asks the repository for its tags
        "GIT_CONFIG_COUNT": "1",
        "GIT_CONFIG_KEY_0": f"url.{shop.upstream.url}.insteadOf",
        "GIT_CONFIG_VALUE_0": shop.server.url("/up"),
    }
    return subprocess.run(
        ["bash", "-e", "-c", script()],
        cwd=shop.project,
        env=os.environ | NO_GIT_CONFIG | told,
        capture_output=True,
        text=True,
        check=False,
    )


def test_the_newest_tag_is_proposed_as_a_recipe_beside_the_default_one(
    workshop: Workshop, tmp_path: Path
) -> None:
    before = snapshot(workshop.project / "manifests")
    done = run(workshop, tmp_path)
    assert done.returncode == 0, done.stderr
    proposal = workshop.project / "proposal"
    said = (proposal / "newest.txt").read_text()
    assert "0001-exact.patch: applies exactly" in said
    assert "warning: patches/b8/0002-moved.patch" in said
    git("reset", "-q", "--hard", at=workshop.project)
    git("apply", "--index", str(proposal / "newest.diff"), at=workshop.project)  # as the job `propose` does
    manifests = Manifests(workshop.project)
    proposed, default = manifests.recipe("b8"), manifests.recipe("small")
    assert (proposed.source.build_number, proposed.source.commit.hex) == (8, workshop.upstream.commits["b8"])
    assert [patch.file for patch in proposed.patches] == ["b8/0001-exact.patch", "b8/0002-moved.patch"]
    assert [manifests.patches.joinpath(patch.file).exists() for patch in proposed.patches] == [True, True]
    assert default.source.build_number == 7
    assert before.items() <= snapshot(workshop.project / "manifests").items()


def test_a_tag_that_has_a_recipe_is_not_proposed_again(workshop: Workshop, tmp_path: Path) -> None:
    text = workshop.text
    (workshop.project / RECIPE).with_name("b8.yaml").write_text(text)
    done = run(workshop, tmp_path)
    assert done.returncode == 0, done.stderr
    assert (workshop.project / "proposal" / "newest.diff").read_bytes() == b""
    assert workshop.project.joinpath(RECIPE).with_name("b8.yaml").read_text() == text
