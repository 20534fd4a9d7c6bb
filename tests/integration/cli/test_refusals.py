"""What a user gets for each mistake and each fault of the world: exit code, place, key words, an intact store."""

from __future__ import annotations

import hashlib
import os
import re
import shutil
from pathlib import Path

import pytest

from recipes.build.provenance import recorded_permissions
from recipes.core.errors import (
    FetchError,
    KnownVulnerabilityError,
    PolicyError,
    UsageError,
    VerifyError,
)
from tests.support.fixture_project import PATCH, FixtureProject, make_project, provide_source
from tests.support.http_server import Server, sends


@pytest.fixture
def own_store(tmp_path: Path) -> FixtureProject:
    """A project with an empty store, so that nothing is there and nothing is shared."""
    return make_project(tmp_path, tmp_path / "store")


def snapshot(store: Path) -> set[str]:
    """Every entry and blob of a store; what a refusal must leave as it is."""
    # os.walk and not rglob: other tests of this store may take a folder away meanwhile
    return {
        os.path.relpath(os.path.join(folder, name), store)  # noqa: PTH118 - as text, of thousands
        for kind in ("entries", "blobs/sha256")
        for folder, folders, files in os.walk(store / "v1" / kind)
        for name in (*folders, *files)
    }


def test_an_unknown_recipe_is_refused_with_the_nearest_name(own_store: FixtureProject) -> None:
    answer = own_store.recipes("build", "--recipe", "fixtur")
    assert answer.status == UsageError.exit_code
    assert "where:    --recipe" in answer.err
    assert "did you mean `fixture`?" in answer.err
    assert f"-s build -- --project {own_store.root} --recipe fixture\n" in answer.err


def test_the_fix_names_the_command_that_was_run_and_not_another(own_store: FixtureProject) -> None:
    for session in ("verify", "patch", "reproduce", "serve", "ask"):
        answer = own_store.recipes(session, "--recipe=fixtur", *(["What?"] if session == "ask" else []))
        assert answer.status == UsageError.exit_code
        assert f"fix:      python3 noxfile.py -s {session} -- " in answer.err
        assert "--recipe=fixture" in answer.err
    answer = own_store.recipes("verify", "--all-origins", "--platform", "linux-x86_64-cp")
    assert "-s verify -- " in answer.err
    assert "--all-origins --platform linux-x86_64-cpu\n" in answer.err
    answer = own_store.recipes("patch", PINNED_LLAMA_OFFLINE="1")
    assert answer.status == FetchError.exit_code
    assert "PINNED_LLAMA_OFFLINE=0 python3 noxfile.py -s patch" in answer.err


def test_each_step_is_in_the_log_with_its_arguments_and_no_secret(own_store: FixtureProject) -> None:
    token = "a-token-that-is-secret"
    answer = own_store.recipes("build", "--verbose", HF_TOKEN=token, PINNED_LLAMA_OFFLINE="1")
    log = (own_store.store / "v1" / "logs" / "commands.log").read_text()
    assert answer.status == FetchError.exit_code
    for text in (answer.err, log):
        assert re.search(r"INFO .* -s build -- ", text)
        assert re.search(r"INFO .*step 1/8.*\(plan=fixture@linux-x86_64-cpu, ", text)
        assert token not in text
    assert re.search(r"ERROR error: ", log)
    assert answer.err.count("\nerror: ") == 1
    quiet = own_store.recipes("build", PINNED_LLAMA_OFFLINE="1")
    assert "step 1/8" not in quiet.err


def test_an_unknown_platform_is_refused_with_the_known_ones(own_store: FixtureProject) -> None:
    answer = own_store.recipes("build", "--platform", "linux-x86_64-cp")
    assert answer.status == UsageError.exit_code
    assert "where:    --platform" in answer.err
    assert "did you mean `linux-x86_64-cpu`?" in answer.err


@pytest.mark.skipif(os.uname().sysname == "Darwin", reason="a Mac can build this platform")
def test_a_platform_of_the_host_toolchain_needs_its_machine(project: FixtureProject) -> None:
    answer = project.recipes("build", "--platform", "macos-arm64-metal")
    assert answer.status == 16
    assert "macos-arm64, macos-x86_64" in answer.err
    assert "Traceback" not in answer.err


def test_a_misspelled_key_is_named_with_its_line(own_store: FixtureProject) -> None:
    own_store.edit("summary:", "sumary:")
    answer = own_store.recipes("build")
    assert answer.status == 10
    assert "manifests/recipes/fixture.yaml:" in answer.err
    assert "did you mean `summary`" in answer.err


@pytest.mark.parametrize(("severity", "reach"), [("medium", "request"), ("critical", "option")])
def test_a_finding_is_printed_and_the_policy_refuses_it(
    project: FixtureProject, severity: str, reach: str
) -> None:
    project.advise(severity, reach)
    warned = project.recipes("build")
    assert warned.status == 0, warned.err
    assert f"warning: fixture: squares-are-round ({severity}, {reach}): squares come out round" in warned.err
    for options, environ in (
        (["--refuse-known-issues"], {}),
        ([], {"PINNED_LLAMA_POLICY": "refuse-known-issues"}),
    ):
        refused = project.recipes("build", *options, **environ)
        assert refused.status == PolicyError.exit_code
        assert "where:    manifests/recipes/fixture.yaml: advisories" in refused.err
        assert "found:    squares-are-round" in refused.err


def test_a_grave_finding_is_refused_unless_it_is_permitted_by_name(project: FixtureProject) -> None:
    project.advise("high", "request")
    for session in (
        ("build",),
        ("build", "--archive", str(project.root / "out")),
        ("serve",),
        ("ask", "What?"),
    ):
        refused = project.recipes(*session)
        assert refused.status == KnownVulnerabilityError.exit_code, refused.err
        assert "where:    manifests/recipes/fixture.yaml: advisories" in refused.err
        assert "squares-are-round, high: squares come out round" in refused.err
        assert "--permit squares-are-round" in refused.err
    assert not (project.root / "out").exists()
    unknown = project.recipes("build", "--permit", "squares-are-rund")
    assert unknown.status == UsageError.exit_code
    assert "did you mean `squares-are-round`?" in unknown.err
    for options, environ in (
        (["--permit", "squares-are-round"], {}),
        (["--permit=CVE-2000-0002"], {}),
        ([], {"PINNED_LLAMA_PERMIT": "CVE-2000-0002 squares-are-round"}),
    ):
        permitted = project.recipes("build", *options, **environ)
        assert permitted.status == 0, permitted.err
        assert "permitted by name: squares-are-round" in permitted.err


def test_what_is_permitted_is_recorded_of_the_build_that_it_was_permitted_for(
    project: FixtureProject,
) -> None:
    project.number()
    first = project.recipes("build")
    said = re.search(r"^record: +(.+)$", first.out, re.MULTILINE)
    assert said, first.err
    record = Path(said[1])
    assert recorded_permissions(record) == ()
    project.advise("high", "request")
    again = project.recipes("build", "--permit", "squares-are-round")
    assert again.status == 0, again.err
    assert "out again for its provenance: squares-are-round was not permitted when it was built" in again.err
    assert recorded_permissions(record) == ("squares-are-round",)
    recorded = record.read_bytes()
    for change in (("severity: high", "severity: low"), ("severity: low", "severity: critical")):
        path = project.root / "manifests" / "advisories" / "squares-are-round.yaml"
        path.write_text(path.read_text().replace(*change))
        later = project.recipes("build", "--permit", "squares-are-round")
        assert (later.status, record.read_bytes() == recorded) == (0, True), later.err


def test_a_patch_that_is_not_the_pinned_one_is_refused(project: FixtureProject) -> None:
    path = project.root / "patches" / PATCH
    pinned = hashlib.sha256(path.read_bytes()).hexdigest()
    path.write_text(path.read_text().replace("name a shape", "name a form"))
    project.edit("commit: 0123", "commit: 1123")  # another plan, so that no bundle is there already
    project.edit(f"tree_sha256: {patched_tree(project)}", f"tree_sha256: {'0' * 64}")
    answer = project.recipes("patch")
    assert answer.status == VerifyError.exit_code
    assert "where:    manifests/recipes/fixture.yaml: patches[0].sha256" in answer.err
    assert f"with sha256:{pinned}" in answer.err
    assert "fix:      git checkout" in answer.err


def patched_tree(project: FixtureProject) -> str:
    text = project.manifest.read_text()
    return text[text.index("tree_sha256:", text.index("patches:")) :].split()[1]


def test_a_patch_that_fits_only_with_fuzz_is_refused_and_nothing_is_stored(project: FixtureProject) -> None:
    path = project.root / "patches" / PATCH
    before = hashlib.sha256(path.read_bytes()).hexdigest()
    path.write_text(
        path.read_text().replace(" std::cout << embedded_words();", " std::cout << embedded_word();")
    )
    project.edit(before, hashlib.sha256(path.read_bytes()).hexdigest())
    project.edit(f"tree_sha256: {patched_tree(project)}", f"tree_sha256: {'1' * 64}")
    kept = snapshot(project.store)
    answer = project.recipes("patch")
    assert answer.status == 15
    assert "src/main.cpp" in answer.err
    assert not {name for name in snapshot(project.store) - kept if "1" * 32 in name}


def test_another_tree_than_the_pinned_one_is_refused(project: FixtureProject) -> None:
    project.edit(f"tree_sha256: {patched_tree(project)}", f"tree_sha256: {'2' * 64}")
    answer = project.recipes("patch")
    assert answer.status == 13
    assert "where:    manifests/recipes/fixture.yaml: patches[0].tree" in answer.err
    assert f"expected: sha256:{'2' * 64} after patches/{PATCH}" in answer.err


def test_a_wheel_that_was_tampered_with_in_the_store_is_refused(
    project: FixtureProject, tmp_path: Path, shared_store: Path
) -> None:
    copy = FixtureProject(project.root, project.archive, tmp_path / "copy")
    blobs = copy.store / "v1" / "blobs" / "sha256"
    blobs.mkdir(parents=True)
    ninja = "65a24341b5ac09fcadcc37082660be40a94174e51a937fabf6e2cae26225fa2c"
    shutil.copyfile(shared_store / "v1" / "blobs" / "sha256" / ninja, blobs / ninja)
    with (blobs / ninja).open("r+b") as file:
        file.seek(1000)
        file.write(b"tampered")
    answer = copy.recipes("verify", PINNED_LLAMA_OFFLINE="1")
    assert answer.status == 20
    assert f"BAD      ninja 1.13.2                                    sha256:{ninja}" in answer.out
    assert f"where:    {blobs / ninja}" in answer.err
    assert "gc -- --damaged" in answer.err
    assert (blobs / ninja).exists()
    assert "1 damaged" in copy.recipes("gc", "--damaged").out or not (blobs / ninja).exists()


def test_without_a_network_each_origin_says_why(own_store: FixtureProject) -> None:
    answer = own_store.recipes("fetch")
    assert answer.status == 12
    assert "where:    manifests/recipes/fixture.yaml: source.origins" in answer.err
    assert "http://127.0.0.1:9/fixture-1.0.tar.gz" in answer.err
    assert "Traceback" not in answer.err
    assert snapshot(own_store.store) == set()


def test_offline_says_what_is_missing(own_store: FixtureProject) -> None:
    answer = own_store.recipes("fetch", PINNED_LLAMA_OFFLINE="1")
    assert answer.status == 12
    assert "PINNED_LLAMA_OFFLINE" in answer.err


def test_a_web_page_instead_of_the_archive_is_told_apart(own_store: FixtureProject) -> None:
    page = b"<!DOCTYPE html><html><body>Sign in to continue</body></html>"
    with Server() as server:
        url = server.serve(f"/{own_store.archive.name}", page, sends(page))
        own_store.edit(f"http://127.0.0.1:9/{own_store.archive.name}", url)
        answer = own_store.recipes("patch")
    assert answer.status in {12, 13}
    assert "Traceback" not in answer.err
    assert not [name for name in snapshot(own_store.store) if "entries/source" in name]


def test_the_source_comes_from_an_origin_on_loopback(own_store: FixtureProject) -> None:
    with Server() as server:
        url = server.serve(f"/{own_store.archive.name}", own_store.archive.read_bytes())
        own_store.edit(f"http://127.0.0.1:9/{own_store.archive.name}", url)
        answer = own_store.recipes("patch")
    assert answer.status == 0, answer.err
    provide_source(own_store)
