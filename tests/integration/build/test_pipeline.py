"""The fixture project through the whole pipeline: real toolchain, real sandbox, real store."""

from __future__ import annotations

import os
import re
import signal
import subprocess
from pathlib import Path

import pytest

from recipes.build.bundle.listing import digest_of_listing, list_bundle
from recipes.build.pipeline import UNPIN
from recipes.build.reproduce import POLLUTION
from recipes.core.console import Silent
from recipes.store.store import Store
from tests.support.fixture_project import REPOSITORY, Answer, FixtureProject, make_project, provide_source
from tests.support.signals import end_on_signals

DIGEST = re.compile(r"^digest: +sha256:([0-9a-f]{64}) \((.*)\)$", re.MULTILINE)
BUNDLE = re.compile(r"^bundle: +(.+)$", re.MULTILINE)


def digest_of(answer: Answer) -> str:
    assert answer.status == 0, answer.err
    found = DIGEST.search(answer.out)
    assert found, answer.out
    return found[1]


def bundle_of(answer: Answer) -> Path:
    assert answer.status == 0, answer.err
    found = BUNDLE.search(answer.out)
    assert found, answer.out
    return Path(found[1])


def pin(project: FixtureProject, digest: str) -> None:
    project.edit("output_unpinned: a test pins it\n  linux-aarch64", f"output: {digest}\n  linux-aarch64")


def pinned_project(folder: Path, store: Path, listing: str) -> FixtureProject:
    """Make the project that `built` builds, with an output pinned by its listing."""
    project = make_project(folder, store)
    project.number(8)
    provide_source(project)
    outputs = project.root / "manifests" / "outputs"
    outputs.mkdir()
    (outputs / "fixture-linux-x86_64-cpu.txt").write_text(listing)
    pin(project, digest_of_listing(listing).hex)
    return project


def forget_bundle(project: FixtureProject, bundle: Path) -> None:
    store = Store.open(project.store)
    with store.lock(bundle.name, Silent()):
        store.discard(bundle.name)


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory, shared_store: Path) -> tuple[FixtureProject, Answer]:
    project = make_project(tmp_path_factory.mktemp("built"), shared_store)
    project.number(8)
    provide_source(project)
    return project, project.recipes("build")


HEXAGON = "error: no such shape: hexagon (/source/src/shapes.cpp)\n"  # the mapped path, not the machine's
CIRCLE = "standard error: a circle has no sides\n"


@pytest.mark.parametrize(
    ("arguments", "status", "printed"),
    [
        (("--version",), 0, "version: 8 (01234567)\n"),
        (("--words",), 0, "circle square triangle\n"),
        (("square",), 0, "4\n"),
        ((), 1, "error: name a shape\n"),  # by the patch
        # an exception crosses a module that carries its own runtime
        (("hexagon", "libmodule-plain.so"), 1, HEXAGON),
        (("hexagon", "libmodule-avx2.so"), 1, HEXAGON),
        # a standard one has a hidden type_info in each file: only comparing them by name finds the handler
        (("circle",), 1, CIRCLE),
        (("circle", "libmodule-plain.so"), 1, CIRCLE),
    ],
)
def test_the_patched_program_runs_from_the_store_and_catches_what_its_files_throw(
    built: tuple[FixtureProject, Answer], arguments: tuple[str, ...], status: int, printed: str
) -> None:
    folder = bundle_of(built[1]) / "bin"
    done = subprocess.run(
        [folder / "fixture", *arguments], cwd=folder, capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr if status else done.stdout) == (status, printed)


def test_a_second_build_does_nothing_and_proves_the_bundle_again(
    built: tuple[FixtureProject, Answer],
) -> None:
    project, first = built
    again = project.recipes("build")
    assert digest_of(again) == digest_of(first)
    assert "built before, hashed again" in again.out
    assert again.err == ""


def test_all_that_is_pinned_verifies_after_a_build(built: tuple[FixtureProject, Answer]) -> None:
    project, first = built
    assert first.status == 0
    answer = project.recipes("verify")
    assert answer.status == 0, answer.err
    rows = answer.out.splitlines()
    assert {line.split()[0] for line in rows} == {"ok", "unpinned"}
    unpinned = [line.split()[1] for line in rows if line.startswith("unpinned")]
    assert unpinned == ["runtime", "compiled", "bundle"]
    assert any(line.split()[:2] == ["ok", "provenance"] for line in rows)


def test_the_archive_is_the_same_bytes_each_time(
    built: tuple[FixtureProject, Answer], tmp_path: Path
) -> None:
    project, first = built
    assert first.status == 0
    archives = []
    for name in ("one", "two"):
        assert project.recipes("build", "--archive", str(tmp_path / name)).status == 0
        archives.append((tmp_path / name / "llama.cpp-fixture-linux-x86_64-cpu.tar.zst").read_bytes())
    assert archives[0] == archives[1]


def test_other_surroundings_give_the_pinned_bytes(
    built: tuple[FixtureProject, Answer], tmp_path: Path
) -> None:
    project, first = built
    pinned = digest_of(first)
    pin(project, pinned)
    forget_bundle(project, bundle_of(first))
    home = tmp_path / "another home"
    home.mkdir()
    hostile = {
        **POLLUTION,
        "HOME": str(home),
        "USER": "somebody-else-entirely",
        "LOGNAME": "somebody-else-entirely",
        "TZ": "Pacific/Kiritimati",
        "LC_ALL": "tr_TR.UTF-8",
    }
    done = subprocess.run(
        project.command("build", "--jobs", "1"),
        cwd=REPOSITORY,
        env=project.environment(**hostile),
        umask=0o077,
        capture_output=True,
        text=True,
        check=False,
    )
    answer = Answer(done.returncode, done.stdout, done.stderr)
    assert digest_of(answer) == pinned
    assert f"sha256:{pinned} (the pinned one)" in answer.out
    assert "built now" in answer.out


def test_the_patched_source_of_a_recipe_with_a_page_is_had_without_the_page(project: FixtureProject) -> None:
    page = f"page: {{folder: ui, toolchain: node-24.19.0, command: [run], into: ui/dist, tree_sha256: {'0' * 64}}}"
    project.edit("targets: [", f"{page}\ntargets: [")
    answer = project.recipes("patch", PINNED_LLAMA_OFFLINE="1")
    assert answer.status == 0, answer.err
    assert "source of fixture with 1 patches" in answer.out


def test_a_changed_option_is_named_as_the_reason_to_build_again(project: FixtureProject) -> None:
    number = project.number()
    assert project.recipes("build").status == 0
    project.edit("FIXTURE_COMMIT: 01234567", "FIXTURE_COMMIT: 76543210")
    answer = project.recipes("build")
    assert "building fixture@linux-x86_64-cpu again: cmake FIXTURE_COMMIT: 01234567 -> 76543210" in answer.err
    assert answer.status == 18  # --version now differs from the plan
    assert f"expected: exit status 0 and `version: {number} (01234567)`" in answer.err


def test_another_digest_than_the_pinned_one_fails_and_names_the_files(
    built: tuple[FixtureProject, Answer], tmp_path: Path, shared_store: Path
) -> None:
    bundle = bundle_of(built[1])
    listing = list_bundle(bundle)
    other = re.sub(r"blob [0-9a-f]{64}\tbin/fixture-tool", f"blob {'0' * 64}\tbin/fixture-tool", listing)
    project, pinned = pinned_project(tmp_path, shared_store, other), digest_of_listing(other)
    answer = project.recipes("build")
    assert answer.status == 19
    assert f"expected: {pinned}\n" in answer.err
    assert f"found:    {digest_of_listing(listing)}, at {bundle}\n" in answer.err
    assert "bin/fixture-tool: other bytes" in answer.err
    assert f"{len(listing.splitlines()) - 1} files are the pinned ones" in answer.err
    assert UNPIN in answer.err


def test_a_pin_that_is_older_than_its_recipe_is_refused_before_anything_is_built(
    built: tuple[FixtureProject, Answer], tmp_path: Path, shared_store: Path
) -> None:
    listing = list_bundle(bundle_of(built[1]))
    project, pinned = pinned_project(tmp_path, shared_store, listing), digest_of_listing(listing)
    assert digest_of(project.recipes("build")) == pinned.hex
    project.edit("-O3, -s, -g0", "-O2, -s, -g0")
    answer = project.recipes("build")
    assert answer.status == 19
    assert f"found:    {pinned}, pinned before" in answer.err
    locked = project.recipes("lock", "--write")
    assert (locked.status, "output_unpinned: not built yet from these pins" in locked.out) == (0, True)


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("FIXTURE_NATIVE: OFF", "FIXTURE_NATIVE: ON", ("-march=native", "src/shapes.cpp")),
        ("FIXTURE_NATIVE: OFF", "FIXTURE_NATIV: ON\n  FIXTURE_NATIVE: OFF", ("found:    FIXTURE_NATIV\n",)),
        ("isa_flags: [-mavx2, -mfma]", "isa_flags: [-mavx2]", ("-mfma", "variants/module.cpp")),
    ],
    ids=["a flag that is not listed", "an option that the project does not know", "a forgotten ISA option"],
)
def test_what_the_plan_does_not_list_fails_by_name(
    project: FixtureProject, old: str, new: str, words: tuple[str, ...]
) -> None:
    project.number()
    project.edit(old, new)
    answer = project.recipes("build")
    assert answer.status == 18
    assert all(word in answer.err for word in words), answer.err


def test_a_bundle_that_was_changed_is_refused_and_set_aside_on_request(project: FixtureProject) -> None:
    project.number()
    bundle = bundle_of(project.recipes("build"))
    program = bundle / "bin" / "fixture-tool"
    program.chmod(0o755)
    with program.open("ab") as file:
        file.write(b"\0")
    refused = project.recipes("build")
    assert refused.status == 20
    assert f"where:    {bundle}" in refused.err
    assert "bin/fixture-tool" in refused.err
    assert "fix:      python3 noxfile.py -s gc -- --damaged" in refused.err
    assert project.recipes("gc", "--damaged").status == 0
    assert "built now" in project.recipes("build").out


def test_two_builds_at_once_make_one_bundle(project: FixtureProject) -> None:
    project.number()
    builds = [
        subprocess.Popen(
            project.command("build"),
            cwd=REPOSITORY,
            env=project.environment(),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for _ in range(2)
    ]
    answers = [(build.communicate(), build.returncode) for build in builds]
    assert [status for _, status in answers] == [0, 0], answers
    states = sorted("built now" in out for (out, _), _ in answers)
    assert states == [False, True]


def interrupt_while_compiling(project: FixtureProject, number: signal.Signals) -> tuple[int, str]:
    with subprocess.Popen(
        project.command(
            "build", "--verbose"
        ),  # progress is printed where it is slow, a step of the log always
        cwd=REPOSITORY,
        env=project.environment(),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        preexec_fn=end_on_signals,  # noqa: PLW1509 - one thread
    ) as build:
        assert build.stderr is not None
        printed = ""
        for line in build.stderr:
            printed += line
            if "step 6/8: compile" in line:
                os.kill(build.pid, number)
                break
        printed += build.stderr.read()
        return build.wait(), printed


def test_a_killed_build_leaves_nothing_that_is_used(project: FixtureProject) -> None:
    project.number()
    status, _ = interrupt_while_compiling(project, signal.SIGKILL)
    assert status == -signal.SIGKILL
    assert "absent   bundle fixture@linux-x86_64-cpu" in project.recipes("verify").out
    assert "built now" in project.recipes("build").out


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_an_interrupted_build_says_so_and_ends_what_it_started(
    project: FixtureProject, number: signal.Signals
) -> None:
    project.number()
    status, printed = interrupt_while_compiling(project, number)
    assert status == 130
    assert "interrupted: what was verified is kept; the same command goes on from there\n" in printed
    left = subprocess.run(["pgrep", "-f", str(project.root)], capture_output=True, text=True, check=False)
    assert left.stdout == ""
