"""linux-aarch64 built on whatever machine this is, and run under qemu where that is another one."""

from __future__ import annotations

import json
import os
import platform
import re
import shutil
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.support.fixture_project import FixtureProject

QEMU = "qemu-aarch64-static"


def emulator() -> list[str]:
    if platform.machine() in {"aarch64", "arm64"}:
        return []
    if shutil.which(QEMU):
        return [QEMU, "-L", "/usr/aarch64-linux-gnu"]
    if QEMU in os.environ.get("PINNED_LLAMA_TEST_NEEDS", ""):
        pytest.fail(f"{QEMU} is demanded by PINNED_LLAMA_TEST_NEEDS and is not installed")
    pytest.skip(f"{QEMU} is not installed (Debian: apt-get install qemu-user-static libc6-arm64-cross)")


@pytest.mark.usefixtures("aarch64_runtime")
def test_programs_for_aarch64_are_built_here_and_run(project: FixtureProject) -> None:
    prefix = emulator()
    answer = project.recipes("build", "--platform", "linux-aarch64-cpu")
    assert answer.status == 0, answer.err
    found = re.search(r"^bundle: +(.+)$", answer.out, re.MULTILINE)
    assert found
    programs = f"{found[1]}/bin"

    def run(*arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [*prefix, "./fixture", *arguments], cwd=programs, capture_output=True, text=True, check=False
        )

    assert run("--version").stdout == "version: 7 (01234567)\n"
    for module in ("libmodule-plain.so", "libmodule-dotprod.so"):
        done = run("hexagon", module)
        assert (done.returncode, done.stderr) == (
            1,
            "error: no such shape: hexagon (/source/src/shapes.cpp)\n",
        )


@pytest.mark.usefixtures("aarch64_runtime")
def test_a_march_that_the_manifest_does_not_translate_fails_by_name(
    project: FixtureProject, tmp_path: Path
) -> None:
    assert tmp_path.exists()
    project.edit(
        "    march:\n      armv8.2-a+dotprod: generic+v8_2a+dotprod\n", "    march:\n      armv8-a: generic\n"
    )
    answer = project.recipes("build", "--platform", "linux-aarch64-cpu")
    assert answer.status == 18
    assert "-march=armv8.2-a+dotprod" in answer.err


@pytest.mark.skipif(not Path("/usr/bin/c++").exists(), reason="this machine has no compiler of its own")
def test_the_machines_own_compiler_builds_and_is_recorded(project: FixtureProject) -> None:
    answer = project.recipes("build", "--platform", "linux-x86_64-own")
    assert answer.status == 0, answer.err
    assert "(not pinned: the compiler is the machine's own)" in answer.out
    record = re.search(r"^record: +(.+)$", answer.out, re.MULTILINE)
    assert record
    statement = json.loads(Path(record[1]).read_text())
    said = subprocess.run(["/usr/bin/cc", "--version"], capture_output=True, text=True, check=True).stdout
    version = {"/usr/bin/cc --version": said.strip()}
    assert statement["predicate"]["runDetails"]["builder"]["version"] == version


@pytest.mark.skipif(not Path("/usr/bin/c++").exists(), reason="this machine has no compiler of its own")
def test_a_bundle_that_another_compiler_made_is_built_again(project: FixtureProject) -> None:
    first = project.recipes("build", "--platform", "linux-x86_64-own")
    record = re.search(r"^record: +(.+)$", first.out, re.MULTILINE)
    assert record
    again = project.recipes("build", "--platform", "linux-x86_64-own")
    assert "built before, hashed again" in again.out
    path = Path(record[1])
    statement = json.loads(path.read_text())
    statement["predicate"]["runDetails"]["builder"]["version"] = {"/usr/bin/cc --version": "cc 1.0"}
    path.write_text(json.dumps(statement))
    answer = project.recipes("build", "--platform", "linux-x86_64-own")
    assert answer.status == 0, answer.err
    assert "again: the machine's own tools changed: /usr/bin/cc --version" in answer.err
    assert "built now" in answer.out
