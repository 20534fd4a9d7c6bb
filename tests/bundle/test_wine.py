"""The Windows bundle of each recipe under wine, run after `build`; wine is not Windows, and proves less.

Each program gets a launcher of the name that it has elsewhere, so that all that asks a folder of programs can ask this
one: conformance too, as docs/explanation/windows.md shows.
"""

from __future__ import annotations

import os
import shlex
import subprocess
from pathlib import Path

import pytest

from recipes.build.bundle.version_output import read_version
from recipes.build.plan.plan import Plan, make_plan
from recipes.core.settings import read_settings
from recipes.manifest.load import PROJECT, Manifests
from recipes.serve.llamacpp.server import serve, user
from recipes.store.store import Store

PLATFORM = "windows-x86_64-cpu"
MANIFESTS = Manifests()
RECIPES = [name for name in MANIFESTS.recipe_names() if PLATFORM in MANIFESTS.recipe(name).platforms]
PLACES = (Path("/usr/bin/wine64"), Path("/usr/lib/wine/wine64"))  # Debian has it beside the path
POCKET = PROJECT / "tests" / "data" / "pocket"
MODEL = (
    *("-m", str(POCKET / "pocket-qwen3-vl-moe-f16.gguf")),
    *("--mmproj", str(POCKET / "mmproj-pocket-qwen3-vl-moe-f16.gguf")),
)
PICTURES = PROJECT / "docs" / "assets"


@pytest.fixture(scope="module")
def wine() -> Path:
    found = next((place for place in PLACES if place.exists()), None)
    if found is None and "wine" in os.environ.get("PINNED_LLAMA_TEST_NEEDS", ""):
        pytest.fail("wine is demanded by PINNED_LLAMA_TEST_NEEDS and is not installed")
    if found is None:
        pytest.skip("wine is not installed (Debian: apt-get install --no-install-recommends wine64)")
    return found


@pytest.fixture(scope="module", params=RECIPES)
def plan(request: pytest.FixtureRequest) -> Plan:
    recipe = MANIFESTS.recipe(request.param)
    return make_plan(recipe, PLATFORM, MANIFESTS.toolchain(recipe.platforms[PLATFORM].toolchain))


@pytest.fixture(scope="module")
def programs(plan: Plan, wine: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with a launcher for each program of the bundle."""
    entry = Store.open(read_settings().store).find(plan.bundle_key)
    if entry is None:
        pytest.skip(
            f"build it first: python3 noxfile.py -s build -- --recipe {plan.recipe} --platform {PLATFORM}"
        )
    folder = tmp_path_factory.mktemp("launchers")
    prefix = tmp_path_factory.mktemp("wine") / "prefix"
    for program in sorted(entry.path.glob("bin/*.exe")):
        launcher = folder / program.stem
        words = shlex.join([str(wine), str(program)])
        launcher.write_text(
            f'#!/bin/sh\nexport WINEPREFIX={shlex.quote(str(prefix))} WINEDEBUG=-all\nexec {words} "$@"\n'
        )
        launcher.chmod(0o755)
    run(folder / "llama-server", "--version")  # makes the prefix, and says so once
    return folder


def run(program: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [program, *arguments],
        cwd=program.parent,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )


def test_the_server_prints_the_pinned_build_and_commit(plan: Plan, programs: Path) -> None:
    done = run(programs / "llama-server", "--version")
    assert done.returncode == 0, done.stderr
    assert read_version(done.stdout + done.stderr) == plan.version


def test_a_question_about_a_picture_is_answered(programs: Path) -> None:
    picture = ("--image", str(PICTURES / "picture.png"), "-p", "What colour is the star?")
    done = run(programs / "llama-mtmd-cli", *MODEL, *picture, "--temp", "0")
    assert (done.returncode, done.stdout.split()[-1:]) == (0, ["yellow"]), done.stderr[-2000:]


def test_the_server_answers_about_a_picture(programs: Path, tmp_path: Path) -> None:
    picture = (PICTURES / "shapes.png").read_bytes()
    with serve(programs / "llama-server", MODEL, tmp_path, timeout_s=120) as server:
        assert server.chat([user(picture, "What colour is the ring?")]).text.strip() == "green"


def test_a_missing_model_ends_in_a_message_and_status_1(programs: Path) -> None:
    done = run(programs / "llama-server", "-m", "nothing.gguf", "--port", "0")
    assert done.returncode == 1, done.stderr[-2000:]
    assert "nothing.gguf" in done.stdout + done.stderr
