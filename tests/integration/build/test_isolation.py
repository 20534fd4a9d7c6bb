"""What a build step can reach: its source, its toolchain and its output, and nothing else of the user's."""

from __future__ import annotations

import base64
import json
import os
import platform
import shutil
import signal
import subprocess
import sys
import tempfile
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from recipes.cli.main import main
from recipes.core import sandbox
from recipes.core.confinement import landlock
from recipes.core.errors import PolicyError
from recipes.core.process import Command, Completed, run
from recipes.core.sandbox import (
    Isolation,
    Reach,
    Surroundings,
    choose_isolation,
    demand_isolation,
    find_isolation,
    run_isolated,
    ways,
)
from recipes.store.store import Store
from tests.support.fixture_project import FIXTURE, FixtureProject, make_project, provide_source
from tests.support.forbidden import PROBE, Forbidden, LinuxCompiler, forbidden

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

pytestmark = pytest.mark.skipif(
    sys.platform != "linux" or platform.machine() != "x86_64",
    reason="the probe is compiled for x86-64 Linux",
)
WAYS = {way.description.partition(":")[0]: way for way in ways()}
REACHED, OUT_OF_REACH = "reached", "out of reach"


def usable(name: str) -> Isolation:
    """Return a way to isolate, or skip the test where this machine does not have it."""
    found = choose_isolation((WAYS[name],))
    if found.wrap is None:
        pytest.skip(found.description)
    if name.startswith("Landlock") and landlock.version() < landlock.SCOPE_VERSION:
        pytest.skip("this kernel's Landlock lets signals through")
    return found


@pytest.fixture(scope="module")
def probe(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("probe")
    return LinuxCompiler(folder).compile(PROBE.read_text(), folder / "out" / "probe")


@pytest.fixture
def beyond(shared_store: Path) -> Iterator[Forbidden]:
    with (
        tempfile.TemporaryDirectory() as home,  # a socket's path has at most 107 letters
        forbidden(Path(home) / "home", shared_store / "v1" / "evidence") as made,
    ):
        yield made


def confined(way: Isolation, monkeypatch: pytest.MonkeyPatch, command: Command, reach: Reach) -> Completed:
    monkeypatch.setattr(sandbox, "find_isolation", lambda: way)
    return run_isolated(command, reach, Surroundings(jobs=1))


def verdicts(lines: Sequence[str]) -> set[str]:
    """What the probe says of each thing but a datagram, which it cannot know."""
    return {line.partition(": ")[2] for line in lines if not line.startswith("udp")}


def answers(done: Completed) -> set[str]:
    assert done.status == 0, done.text
    return verdicts(done.tail)


def test_without_isolation_the_probe_reaches_all_of_it(probe: Path, beyond: Forbidden) -> None:
    assert answers(run(Command((str(probe), *beyond.words), probe.parent))) == {REACHED}
    assert not beyond.untouched()


@pytest.mark.parametrize("name", WAYS)
def test_each_way_to_isolate_keeps_all_of_it_out_of_reach(
    name: str, probe: Path, beyond: Forbidden, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    command = Command((str(probe), *beyond.words), tmp_path)
    done = confined(usable(name), monkeypatch, command, Reach((probe,), (tmp_path,)))
    assert answers(done) == {OUT_OF_REACH}
    assert beyond.untouched()


@pytest.mark.parametrize("name", WAYS)
def test_each_way_lets_a_command_read_its_source_and_write_its_output_alone(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source, work = tmp_path / "source", tmp_path / "work"
    source.mkdir()
    work.mkdir()
    (source / "in").write_text("said\n")
    script = f"cat {source}/in > out && ! echo x 2>&- > {source}/new && echo $HOME && exit 7"
    command = Command(("/bin/sh", "-c", script), work, {"PATH": sandbox.SYSTEM_PATH, "HOME": "/h"})
    done = confined(usable(name), monkeypatch, command, Reach((source,), (work,)))
    assert (done.status, done.tail[-1], (work / "out").read_text()) == (7, "/h", "said\n")
    assert [path.name for path in source.iterdir()] == ["in"]
    assert (work / "out").stat().st_uid == os.getuid()


@pytest.mark.parametrize("name", WAYS)
def test_each_way_that_can_shows_a_folder_at_another_path_and_not_at_its_own(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    way = usable(name)
    if not way.can_place:
        pytest.skip("no folder can be shown at another path")
    folder, work = tmp_path / "somewhere", tmp_path / "work"
    folder.mkdir()
    work.mkdir()
    (folder / "in").write_text("said\n")
    script = f"cat /a-place/in > out && ! echo x 2>&- > /a-place/new && ! test -e {folder}"
    command = Command(("/bin/sh", "-c", script), work, {"PATH": sandbox.SYSTEM_PATH})
    done = confined(way, monkeypatch, command, Reach((), (work,), ((folder, Path("/a-place")),)))
    assert (done.status, (work / "out").read_text()) == (0, "said\n"), done.text
    assert [path.name for path in folder.iterdir()] == ["in"]


@pytest.mark.parametrize("name", WAYS)
def test_a_command_that_is_killed_says_by_which_signal(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    command = Command(("/bin/sh", "-c", "kill -9 $$"), tmp_path, {"PATH": sandbox.SYSTEM_PATH})
    done = confined(usable(name), monkeypatch, command, Reach((), (tmp_path,)))
    assert done.status in {-signal.SIGKILL, 128 + signal.SIGKILL}


def test_what_a_command_leaves_running_ends_with_it(tmp_path: Path) -> None:
    if find_isolation().wrap is None or "Landlock" in find_isolation().description:
        pytest.skip(find_isolation().description)
    mark = f"mark-{os.urandom(8).hex()}"
    script = f"(exec sh -c 'while :; do sleep 1; done' {mark}) >/dev/null 2>&1 & echo started"
    command = Command(("/bin/sh", "-c", script), tmp_path, {"PATH": sandbox.SYSTEM_PATH})
    assert run_isolated(command, Reach((), (tmp_path,)), Surroundings(jobs=1)).text == "started"
    left = subprocess.run(["pgrep", "-f", mark], capture_output=True, text=True, check=False)
    assert left.stdout == ""


names = st.text(st.characters(exclude_characters="/\0", codec="utf-8"), min_size=1, max_size=12).filter(
    lambda name: name not in {".", ".."} and len(os.fsencode(name)) < 100
)


@given(
    given_names=st.sets(names, min_size=1, max_size=4),
    others=st.sets(names, max_size=4),
    linked=st.booleans(),
)
def test_whatever_names_have_a_command_sees_those_that_it_is_given(
    given_names: set[str], others: set[str], *, linked: bool
) -> None:
    if find_isolation().wrap is None or "Landlock" in find_isolation().description:
        pytest.skip(find_isolation().description)
    with tempfile.TemporaryDirectory() as folder:
        real = Path(folder, "real")
        work = Path(folder, "work")
        for name in given_names | others:
            (real / name / "in").mkdir(parents=True)
        work.mkdir()
        Path(folder, "way").symlink_to(real, target_is_directory=True)
        root = Path(folder, "way") if linked else real
        reach = Reach(tuple(root / name for name in sorted(given_names)), (work,))
        find = Command(("/usr/bin/find", f"{root}/", "-fprint0", "out"), work, {})
        done = run_isolated(find, reach, Surroundings(jobs=1))
        assert done.status == 0, done.text
        found = os.fsdecode((work / "out").read_bytes()).split("\0")
        seen = {os.path.normpath(path) for path in found if path}
        expected = {os.path.normpath(root / name / tail) for name in given_names for tail in ("", "in")}
        assert seen == expected | {os.path.normpath(root)}


HOSTILE = """
execute_process(
    COMMAND ${{CMAKE_C_COMPILER}} -O3 -s ${{CMAKE_CURRENT_SOURCE_DIR}}/probe.c -o ${{CMAKE_BINARY_DIR}}/probe
    COMMAND_ERROR_IS_FATAL ANY)
execute_process(COMMAND ${{CMAKE_BINARY_DIR}}/probe {words} OUTPUT_VARIABLE said COMMAND_ERROR_IS_FATAL ANY)
message(STATUS "the probe says\\n${{said}}the end")
"""


def hostile_project(folder: Path, store: Path, beyond: Forbidden) -> FixtureProject:
    """Make a project whose CMakeLists tries to reach all that a build must not reach."""
    source = folder / "hostile"
    shutil.copytree(FIXTURE / "source", source)
    shutil.copyfile(PROBE, source / "probe.c")
    with (source / "CMakeLists.txt").open("a") as file:
        file.write(HOSTILE.format(words=" ".join(f'"{word}"' for word in beyond.words)))
    project = make_project(folder, store, source)
    provide_source(project)
    return project


@pytest.mark.parametrize("name", WAYS)
def test_a_source_that_tries_to_escape_is_built_and_reaches_nothing(  # noqa: PLR0913, PLR0917 - fixtures
    name: str,
    tmp_path: Path,
    shared_store: Path,
    beyond: Forbidden,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    way = usable(name)
    project = hostile_project(tmp_path, shared_store, beyond)
    monkeypatch.setattr(sandbox, "find_isolation", lambda: way)
    monkeypatch.setenv("PINNED_LLAMA_STORE", str(shared_store))
    assert main(["build", "--project", str(project.root), "--require-isolation"]) == 0
    out, err = capsys.readouterr()
    assert err.count(f"build steps are {way.description}") == 1
    record = Path(next(line for line in out.splitlines() if line.startswith("record:")).split()[-1])
    provenance = json.loads(record.read_text())["predicate"]["runDetails"]["byproducts"]
    recorded = {each["name"]: base64.b64decode(each["content"]).decode() for each in provenance}
    assert recorded["isolation"] == way.description
    log = (Store.open(shared_store).logs / f"{project.plan().compiled_key}.log").read_text()
    said = log.partition("the probe says\n")[2].partition("the end")[0].splitlines()
    assert len(said) == len(beyond.words) // 2
    assert verdicts(said) == {OUT_OF_REACH}
    assert beyond.untouched()


def test_a_policy_refuses_a_machine_that_cannot_isolate(monkeypatch: pytest.MonkeyPatch) -> None:
    fails = Isolation(lambda _: Command(("/bin/false",), Path("/")), "a way that fails: always")
    missing = Isolation(lambda _: Command(("/no/such/program",), Path("/")), "one that is missing: always")
    found = choose_isolation((fails, missing))
    assert found.wrap is None
    assert found.description.startswith(
        "not isolated: a way that fails: exit status 1; one that is missing: No such"
    )
    monkeypatch.setattr(sandbox, "find_isolation", partial(choose_isolation, (fails, missing)))
    assert demand_isolation(is_demanded=False) == found
    with pytest.raises(PolicyError) as caught:
        demand_isolation(is_demanded=True)
    assert caught.value.exit_code == 21
    assert caught.value.found == found.description
    assert "require-isolation" in caught.value.expected
