"""`lock` against real servers, archives and repositories: what it proposes, refuses and writes."""

from __future__ import annotations

import gzip
import hashlib
import os
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from recipes.build.bundle.listing import digest_of_listing
from recipes.build.pipeline import UNPIN
from recipes.build.toolchain import toolchain
from recipes.cli.main import main
from recipes.cli.parser import parser
from recipes.core.digest import Sha1, Sha256, hash_tree
from recipes.core.errors import (
    ArchiveError,
    FetchError,
    ManifestError,
    PatchError,
    PinMissingError,
    StoreError,
    UsageError,
    VerifyError,
)
from recipes.lock.proposal import Change
from recipes.lock.recipe import propose
from recipes.lock.write import write_proposal
from recipes.manifest.load import Manifests
from tests.support import paths
from tests.support.http_server import WEB_PAGE, Behaviour, Server, redirects_to, sends

if TYPE_CHECKING:
    from collections.abc import Iterator
from tests.support.lock_project import (
    AGAIN,
    DAY_8,
    NEW,
    NO_GIT_CONFIG,
    OLD,
    PLATFORM,
    RECIPE,
    SERIES,
    Upstream,
    Workshop,
    lines,
    make_upstream,
    make_workshop,
    sdist,
    snapshot,
    tar_of,
    write_patch,
    write_tree,
)


@pytest.fixture(scope="module")
def upstream(tmp_path_factory: pytest.TempPathFactory) -> Upstream:
    return make_upstream(tmp_path_factory.mktemp("upstream"))


@pytest.fixture
def server() -> Iterator[Server]:
    with Server() as running:
        yield running


@pytest.fixture
def workshop(
    tmp_path: Path,
    server: Server,
    upstream: Upstream,
    capsys: pytest.CaptureFixture[str],
    request: pytest.FixtureRequest,
) -> Workshop:
    return make_workshop(tmp_path, server, upstream, capsys, getattr(request, "param", ("exact",)))


# --- a tag ---


@pytest.mark.parametrize("workshop", [SERIES], indirect=True)
def test_a_tag_is_proposed_with_its_archive_and_each_patch_is_told_its_fate(
    tmp_path: Path, workshop: Workshop
) -> None:
    upstream = workshop.upstream
    url, before = workshop.tag("b8"), snapshot(workshop.project)
    archive = upstream.archives["b8"]
    tree = tmp_path / "new"
    write_tree(tree, NEW)
    new_sha256 = hash_tree(tree, Sha256)
    diff, said = workshop.lock("--source", "b8")
    assert snapshot(workshop.project) == before
    troubled = ("0002-moved", "0003-fuzzy", "0004-applied", "0005-conflict")
    for words in (
        "warning: b8 is not pinned yet",
        f"downloaded: {url}\n  {len(archive)} bytes, {Sha256.of_bytes(archive)}\n  no second source",
        f"sha1:{upstream.trees['b8']}, {new_sha256}",
        f"  commit {upstream.commits['b8']}, as the archive says",
        f"  {upstream.url} has the same tree",
        *(f"  {RECIPE}:{number}: " for number in (2, 24, 31, 38, 45, 52)),  # they name the old source
        "0001-exact.patch: applies exactly",
        *(f"warning: patches/b7/{patch}" for patch in troubled),
        f"nothing is written; to write this: {AGAIN} --source b8 --write",
    ):
        assert words in said
    assert "warning: patches/b7/0001" not in said
    patched = tree / "exact.c"
    patched.write_text(lines((1, "another first line"), (20, "fixed")), encoding="utf-8")
    added = [line[1:].strip() for line in diff.splitlines() if line.startswith("+")]
    assert added == [
        f"++ b/{RECIPE}",
        f"commit: {upstream.commits['b8']}",
        "build_number: 8",
        f"tree: {upstream.trees['b8']}",
        f"tree_sha256: {new_sha256.hex}",
        f"epoch: {DAY_8} # 2023-11-15, midnight UTC",
        "- kind: archive",
        f'url: "{url}"',
        f"sha256: {hashlib.sha256(archive).hexdigest()}",
        f"size_bytes: {len(archive)}",
        "subdirectory: up-b8",
        f"tree: {hash_tree(tree, Sha1).hex}",
        f"tree_sha256: {hash_tree(tree, Sha256).hex}",
        f"OUR_BUILD_COMMIT: {upstream.commits['b8'][:8]} # shown by --version",
        "OUR_BUILD_NUMBER: 8",
        "output_unpinned: not built yet from these pins # of the machine at work",
    ]


def test_with_write_the_manifest_becomes_what_the_difference_says_and_then_there_is_nothing_to_propose(
    workshop: Workshop, tmp_path: Path
) -> None:
    workshop.tag("b8")
    shutil.copytree(workshop.project, copy := tmp_path / "copy")
    diff, _ = workshop.lock("--source", "b8")
    written, said = workshop.lock("--source", "b8", "--write")

    assert written == diff
    assert said.endswith(f"written: {RECIPE}")
    subprocess.run(["git", "apply"], input=diff.encode(), cwd=copy, check=True, env=NO_GIT_CONFIG)
    assert workshop.text == (copy / RECIPE).read_text(encoding="utf-8")
    assert snapshot(workshop.project).keys() == {
        str(workshop.project / path.relative_to(copy)) for path in copy.rglob("*") if path.is_file()
    }
    source = workshop.job().recipe.source
    assert (source.commit.hex, source.build_number) == (workshop.upstream.commits["b8"], 8)
    assert [type(origin).__name__ for origin in source.origins] == ["ArchiveOrigin", "GitOrigin"]
    assert workshop.lock()[1].endswith("nothing to propose")
    assert workshop.lock("--source", "b8")[0] == ""
    assert workshop.lock("--source", "b8")[1].endswith("nothing to propose")


def test_an_archive_of_the_pinned_tree_joins_the_other_origins_and_leaves_the_output_pinned(
    workshop: Workshop,
) -> None:
    workshop.tag("b7")
    workshop.manifest.chmod(0o640)
    diff, said = workshop.lock("--source", "b7", "--write")
    assert workshop.manifest.stat().st_mode & 0o777 == 0o640
    assert not [line for line in diff.splitlines()[2:] if line.startswith("-")]
    assert "old source" not in said
    recipe = workshop.job().recipe
    assert [type(origin).__name__ for origin in recipe.source.origins] == [
        "PypiOrigin",
        "ArchiveOrigin",
        "GitOrigin",
    ]
    assert recipe.platforms[PLATFORM].output == Sha256("d1" * 32)


def test_a_recipe_without_git_gets_it_with_a_tag_and_not_with_an_address(workshop: Workshop) -> None:
    git_origin = f"    - kind: git\n      url: {workshop.upstream.url}\n"
    workshop.replace(git_origin, "")
    url = workshop.tag("b8")
    assert "kind: git" not in workshop.lock("--source", url)[0]
    assert (
        f'+    - kind: git\n+      url: "{workshop.server.url("/up")}"\n'
        in workshop.lock("--source", "b8")[0]
    )


def test_an_archive_that_does_not_say_its_commit_is_asked_of_git_by_its_tag(workshop: Workshop) -> None:
    workshop.tag("b8", gzip.compress(tar_of("up-8/", NEW)))
    _, said = workshop.lock("--source", "b8")
    assert f"  commit {workshop.upstream.commits['b8']}, which {workshop.upstream.url} calls b8\n" in said
    workshop.server.serve("/up/archive/b9.tar.gz", gzip.compress(tar_of("up-9/", NEW)))
    error = workshop.refuse("--source", "b9", kind=UsageError)
    assert error.where == "--source b9"
    assert "no tag b9" in error.found
    assert error.fix.startswith(f"{AGAIN} --source b9 --commit ID")


@pytest.mark.parametrize(
    ("option", "value", "expected"),
    [("--commit", "0" * 40, "{commits[b8]}"), ("--build-number", "9", "8")],
)
def test_what_contradicts_the_archive_or_the_tag_is_refused(
    workshop: Workshop, option: str, value: str, expected: str
) -> None:
    workshop.tag("b8")
    error = workshop.refuse("--source", "b8", option, value, kind=UsageError)
    assert (error.where, error.found) == (option, value)
    assert error.expected.startswith(expected.format(commits=workshop.upstream.commits))


def test_an_archive_whose_tree_is_not_that_of_its_commit_is_refused(workshop: Workshop) -> None:
    commits, trees = workshop.upstream.commits, workshop.upstream.trees
    workshop.tag("b8", gzip.compress(tar_of("up-8/", dict(NEW, LICENSE="mine\n"))))
    error = workshop.refuse("--source", "b8", kind=VerifyError)
    assert error.expected.startswith(f"sha1:{trees['b8']}, the tree of commit {commits['b8']}")
    assert trees["b8"] not in error.found
    workshop.publish("0.2.0", sdist("small_source-0.2.0", NEW))
    wrong = ("--commit", commits["b7"], "--build-number", "8")
    error = workshop.refuse("--source", "small-source==0.2.0", *wrong, kind=VerifyError)
    assert error.expected.startswith(f"sha1:{trees['b7']}, the tree of commit {commits['b7']}")
    assert f"sha1:{trees['b8']}" in error.found


def test_where_git_cannot_be_asked_the_proposal_says_that_the_commit_was_not_compared(
    workshop: Workshop,
) -> None:
    gone = (workshop.root / "gone").as_uri()
    workshop.replace(workshop.upstream.url, gone)
    workshop.tag("b8")
    _, said = workshop.lock("--source", "b8")
    assert f"compared with {gone}: " in said


# --- an address ---


def test_an_address_is_followed_and_pinned_as_it_was_asked_for(workshop: Workshop) -> None:
    target = workshop.server.serve("/elsewhere.tgz", workshop.upstream.archives["b8"])
    url = workshop.server.serve("/moved/b8.tar.gz", b"", redirects_to(target))
    workshop.lock("--source", url, "--write")
    first = workshop.job().recipe.source.origins[0]
    assert getattr(first, "url", "") == url
    assert workshop.job().recipe.source.build_number == 8


def test_an_address_without_a_number_asks_for_it(workshop: Workshop) -> None:
    url = workshop.server.serve("/some.tar.gz", workshop.upstream.archives["b8"])
    error = workshop.refuse("--source", url, kind=UsageError)
    assert error.fix.startswith(f"{AGAIN} --source {url} --build-number N")
    diff, _ = workshop.lock("--source", url, "--build-number", "8")
    assert "+  build_number: 8\n" in diff


BAD_ARCHIVES = {
    "a web page": (WEB_PAGE, FetchError, "web page"),
    "a web page in chunks": (replace(WEB_PAGE, framing="chunked"), FetchError, "web page"),
    "nothing there": (Behaviour(status=404, body=b""), FetchError, "404"),
    "text": (sends(b"this is no archive\n"), ArchiveError, "this is no archive"),
    "a path that escapes": (sends(tar_of("../", NEW)), ArchiveError, "`..`"),
}


@pytest.mark.parametrize("name", BAD_ARCHIVES)
def test_what_is_no_safe_archive_is_refused_and_nothing_is_proposed(workshop: Workshop, name: str) -> None:
    behaviour, kind, found = BAD_ARCHIVES[name]
    url = workshop.server.serve("/up/archive/b8.tar.gz", b"", behaviour)
    error = workshop.refuse("--source", "b8", "--subdirectory", "up-b8", kind=kind)
    assert found in error.found
    assert error.where.startswith("--source b8")
    assert error.fix.startswith(f"{AGAIN} --source b8")
    assert (url in error.found) is (kind is FetchError)
    kept = [path for path in (workshop.root / "v1/rejected").rglob("archive*") if path.is_file()]
    assert [path.read_bytes() for path in kept] == ([behaviour.body] if "web page" in name else [])
    assert not list((workshop.root / "v1/tmp").iterdir())


def test_without_the_network_nothing_new_can_be_pinned(workshop: Workshop) -> None:
    workshop.tag("b8")
    error = workshop.refuse("--source", "b8", kind=FetchError, offline=True)
    assert error.fix == f"PINNED_LLAMA_OFFLINE=0 {AGAIN} --source b8"
    assert workshop.server.log == []


# --- a version ---


def test_a_version_is_proposed_in_the_place_of_the_one_before_it(workshop: Workshop) -> None:
    data = sdist("small_source-0.2.0", NEW)
    url = workshop.publish("0.2.0", data)
    error = workshop.refuse("--source", "small-source==0.2.0", kind=UsageError)  # it does not say its commit
    assert error.where == "--source small-source==0.2.0"
    assert error.fix.startswith(f"{AGAIN} --source small-source==0.2.0 --commit ID --build-number N  #")
    extra = ("--commit", workshop.upstream.commits["b8"], "--build-number", "8")
    diff, said = workshop.lock("--source", "small-source==0.2.0", *extra)
    assert f"downloaded: {url}\n  {len(data)} bytes, {Sha256.of_bytes(data)}\n  the digest that the" in said
    assert f"  commit {workshop.upstream.commits['b8']}, as you say\n" in said
    assert f"  {workshop.upstream.url} has the same tree" in said
    changed = [line[1:].strip() for line in diff.splitlines() if line.startswith("+")]
    assert changed[6:11] == [
        "version: 0.2.0",
        "file: small_source-0.2.0.tar.gz",
        f"size_bytes: {len(data)}",
        f"sha256: {hashlib.sha256(data).hexdigest()}",
        "subdirectory: small_source-0.2.0/vendor/upstream",
    ]
    assert changed[5] == f"epoch: {DAY_8 + 86400} # 2023-11-16, midnight UTC"
    assert "       drop: [.git] # a stray link\n" in diff
    assert said.endswith(f"{AGAIN} --source small-source==0.2.0 {' '.join(extra)} --write")


def test_a_version_with_the_pinned_tree_needs_no_commit_and_keeps_the_output(workshop: Workshop) -> None:
    workshop.publish("0.1.1", sdist("small_source-0.1.1", OLD), digest="")
    diff, said = workshop.lock("--source", "Small_Source == 0.1.1")
    assert "no second source" in said  # the index states no digest
    assert f"commit {workshop.upstream.commits['b7']}, which is pinned" in said
    assert "+      version: 0.1.1\n" in diff
    assert "output" not in diff


def test_bytes_that_are_not_what_the_index_states_are_refused_and_kept(workshop: Workshop) -> None:
    data = sdist("small_source-0.2.0", NEW)
    workshop.publish("0.2.0", data, digest="ab" * 32)
    error = workshop.refuse("--source", "small-source==0.2.0", kind=FetchError)
    assert error.expected == f"sha256:{'ab' * 32}"
    assert str(Sha256.of_bytes(data)) in error.found
    kept = Path(error.found.rpartition("kept in ")[2])
    assert kept.read_bytes() == data


@pytest.mark.parametrize(
    ("source", "key_words"),
    [("small-source==0.3", "newest of all: 0.2.0"), ("other==0.3", "no project other")],
)
def test_what_the_index_does_not_have_is_named(workshop: Workshop, source: str, key_words: str) -> None:
    workshop.publish("0.2.0", sdist("small_source-0.2.0", NEW))
    error = workshop.refuse("--source", source, kind=FetchError)
    assert key_words in error.found


def test_a_package_that_no_recipe_knows_asks_where_the_source_lies(workshop: Workshop) -> None:
    data = sdist("small_source-0.1.1", OLD, below="deep/er")
    workshop.publish("0.1.1", data)
    workshop.replace("project: small-source", "project: another-source")
    error = workshop.refuse("--source", "small-source==0.1.1", kind=UsageError)
    assert error.fix.startswith(f"{AGAIN} --source small-source==0.1.1 --subdirectory PATH")
    workshop.lock(
        *("--source", "small-source==0.1.1", "--subdirectory", "small_source-0.1.1/deep/er", "--write")
    )
    assert len(workshop.job().recipe.source.origins) == 3
    error = workshop.refuse(
        "--source", "small-source==0.1.1", "--subdirectory", "small_source-0.1.1/deeper", kind=ArchiveError
    )
    assert "small_source-0.1.1" in error.found
    assert "--subdirectory PATH" in error.fix


def test_a_proposal_that_would_not_be_valid_is_refused_and_nothing_is_written(workshop: Workshop) -> None:
    data = sdist("small_source-1!0", OLD)
    workshop.publish("1!0", data, name="small_source-1!0.tar.gz")
    error = workshop.refuse("--source", "small-source==1!0", "--write", kind=ManifestError)
    assert error.where == f"{RECIPE}, as proposed:18: source.origins[0].version"


def test_a_manifest_that_became_inconsistent_meanwhile_is_refused(workshop: Workshop) -> None:
    job = workshop.job()
    workshop.replace("[server]", "[server, server]")
    workshop.publish("0.1.1", sdist("small_source-0.1.1", OLD))
    with pytest.raises(ManifestError) as caught:
        propose(job, parser().parse_args(["lock", "--source", "small-source==0.1.1"]))
    assert caught.value.where.startswith(f"{RECIPE}, as proposed:")
    assert "`server`" in caught.value.found
    assert workshop.capsys.readouterr().out == ""


# --- the recipe's own patches ---


@pytest.mark.parametrize("workshop", [("exact", "moved")], indirect=True)
def test_a_changed_patch_is_pinned_again_with_all_trees_from_there_on(
    tmp_path: Path, workshop: Workshop
) -> None:
    shop = workshop
    diff, said = shop.lock()
    assert (diff, said.count("applies exactly")) == ("", 2)
    assert said.endswith("nothing to propose")
    write_patch(shop.project / "patches/b7/0001-exact.patch", "exact.c", tmp_path, "fixed well")
    before = shop.job().recipe
    diff, _ = shop.lock("--write")
    after = shop.job().recipe
    assert [line.split()[1] for line in diff.splitlines() if line.startswith("+")] == [
        f"b/{RECIPE}",
        *("sha256:", "tree:", "tree_sha256:", "tree:", "tree_sha256:", "output_unpinned:"),
    ]
    assert after.patches[1].sha256 == before.patches[1].sha256
    tree = tmp_path / "expected"
    fixed = {"exact.c": lines((20, "fixed well")), "moved.c": lines((20, "fixed"))}
    write_tree(tree, OLD | fixed)
    assert after.patches[1].tree_sha256 == hash_tree(tree, Sha256)
    assert shop.lock()[1].endswith("nothing to propose")


def test_a_patch_that_does_not_fit_its_own_source_is_refused(workshop: Workshop) -> None:
    patch = workshop.project / "patches/b7/0001-exact.patch"
    patch.write_text(patch.read_text(encoding="utf-8").replace("-line 20", "-line twenty"), encoding="utf-8")
    error = workshop.refuse("--write", kind=PatchError)
    assert error.where == f"{RECIPE}: patches[0]"
    assert "'line twenty'" in error.found
    assert error.fix.endswith(AGAIN)


@pytest.mark.parametrize("workshop", [("exact", "moved")], indirect=True)
def test_patches_that_are_listed_and_not_pinned_get_their_digests(workshop: Workshop) -> None:
    shop = workshop
    pinned = shop.job().recipe
    kept = [line for line in shop.text.splitlines(keepends=True) if not line.startswith("    tree")]
    shop.manifest.write_text(
        "".join(kept).replace(f"    sha256: {pinned.patches[1].sha256.hex}\n", ""), "utf-8"
    )
    with pytest.raises(PinMissingError) as caught:
        Manifests(shop.project).recipe("small")
    assert caught.value.fix == AGAIN
    diff, _ = shop.lock("--write")
    assert [line.split()[1] for line in diff.splitlines() if line.startswith("+    ")] == [
        *("tree:", "tree_sha256:"),
        *("sha256:", "tree:", "tree_sha256:"),
        "output_unpinned:",
    ]
    assert Manifests(shop.project).recipe("small").patches == pinned.patches


def test_a_pin_that_only_a_source_can_give_is_asked_for_by_name(workshop: Workshop) -> None:
    tree = workshop.job().recipe.source.tree.hex
    workshop.replace(f"  tree: {tree}\n", "")
    error = workshop.refuse(kind=PinMissingError)
    assert error.where == f"{RECIPE}:6: source"
    assert f"{AGAIN} --source" in error.fix
    workshop.replace("  tree_sha256:", f"  tree: {'1' * 40}\n  tree_sha256:")
    workshop.tag("b7")
    workshop.lock("--source", "b7", "--write")
    assert workshop.job().recipe.source.tree.hex == tree


# --- the output ---


def stage_bundle(shop: Workshop, platform: str = PLATFORM) -> Path:
    job = shop.job(platform=platform)
    with job.store.stage(job.plan().bundle_key, "bundle", {}) as staging:
        write_tree(staging.path, {"bin/server": "a program\n", "licences/LICENSE": "yours\n"})
        (staging.path / "bin/server").chmod(0o755)
    return staging.entry.path


@pytest.mark.parametrize("before", [f"output: {'d1' * 32}", "output_unpinned: not yet"])
def test_the_bundle_of_the_store_is_pinned_with_the_listing_of_its_files(
    workshop: Workshop, before: str
) -> None:
    workshop.replace(f"output: {'d1' * 32}", before)
    bundle = stage_bundle(workshop)
    digest = hash_tree(bundle, Sha256)
    files = snapshot(workshop.project)
    diff, said = workshop.lock("--output")
    assert snapshot(workshop.project) == files
    for words in (str(bundle), str(digest), str(workshop.job().plan().digest), f"{AGAIN} --output --write"):
        assert words in said
    listing = f"manifests/outputs/small-{PLATFORM}.txt"
    assert diff.startswith(f"--- /dev/null\n+++ b/{listing}\n@@ -0,0 +1,2 @@\n+100755 blob ")
    assert f"+    output: {digest.hex} # of the machine at work\n" in diff
    workshop.lock("--output", "--write")
    assert workshop.job().recipe.platforms[PLATFORM].output == digest
    assert digest_of_listing((workshop.project / listing).read_text(encoding="utf-8")) == digest
    assert workshop.lock("--output")[1].endswith("nothing to propose")
    assert not list(workshop.project.rglob(".lock-*"))


def test_without_a_bundle_the_command_that_builds_it_is_named(workshop: Workshop) -> None:
    build = f"python3 noxfile.py -s build -- --recipe small --platform {PLATFORM}"
    error = workshop.refuse("--output", kind=UsageError)
    assert error.fix == f"{UNPIN}, then\n{build}\n{AGAIN} --output"  # a pinned digest is given up first
    workshop.replace(f"output: {'d1' * 32}", "output_unpinned: not yet")
    error = workshop.refuse("--output", "--write", kind=UsageError)
    assert error.where == f"{RECIPE}: platforms.{PLATFORM}"
    assert str(workshop.job().plan().digest) in error.expected
    assert error.fix == build


def test_a_bundle_that_was_changed_is_not_pinned(workshop: Workshop) -> None:
    program = stage_bundle(workshop) / "bin/server"
    program.chmod(0o755)
    program.write_text("another program\n", encoding="utf-8")
    error = workshop.refuse("--output", "--write", kind=StoreError)
    assert "gc -- --damaged" in error.fix


def test_what_a_host_toolchain_makes_cannot_be_pinned(workshop: Workshop) -> None:
    stage_bundle(workshop, "macos-arm64-metal")
    error = workshop.refuse("--output", "--platform", "macos-arm64-metal", kind=UsageError)
    assert error.expected.endswith(f": {PLATFORM}")
    assert "`host`" in error.found


# --- writing ---


@pytest.mark.parametrize("is_changed", [True, False])
def test_neither_a_file_that_changed_meanwhile_nor_an_invalid_one_is_written(
    workshop: Workshop, *, is_changed: bool
) -> None:
    before, good = snapshot(workshop.project), workshop.text
    old, new = (
        ("what was read\n", good + "#\n")
        if is_changed
        else (good, good.replace("licence: MIT", "licence: MIT\n  colour: red"))
    )
    changes = (Change("manifests/outputs/new.txt", None, "new\n"), Change(RECIPE, old, new))
    with pytest.raises(ManifestError) as caught:
        write_proposal(changes, Manifests(workshop.project))
    assert caught.value.where == (RECIPE if is_changed else f"{RECIPE}, as proposed:14: source.colour")
    assert snapshot(workshop.project) == before


def test_a_project_that_cannot_be_written_to_is_named(workshop: Workshop) -> None:
    stage_bundle(workshop)
    (workshop.project / "manifests/outputs").write_text("a file in the folder's place", encoding="utf-8")
    before = snapshot(workshop.project)
    with pytest.raises(StoreError) as caught:
        workshop.lock("--output", "--write")
    assert caught.value.where == str(workshop.project / "manifests/outputs")
    assert snapshot(workshop.project) == before


def test_the_command_line_prints_the_difference_alone_to_standard_output(workshop: Workshop) -> None:
    workshop.tag("b8")
    arguments = ("--project", str(workshop.project), "--recipe", "small")
    done = run_lock(workshop, *arguments, "--source", "b8")
    assert done.returncode == 0
    assert done.stdout.startswith(f"--- a/{RECIPE}\n+++ b/{RECIPE}\n")
    again = f"python3 noxfile.py -s lock -- {' '.join(arguments)} --source b8 --write"
    assert done.stderr.endswith(f": {again}\n")
    done = run_lock(workshop, *arguments, "--source", "b 8")
    assert (done.returncode, done.stdout) == (2, "")


def test_only_an_output_needs_a_platform(workshop: Workshop, monkeypatch: pytest.MonkeyPatch) -> None:
    workshop.tag("b8")
    monkeypatch.setenv("PINNED_LLAMA_STORE", str(workshop.root))
    monkeypatch.setattr(toolchain, "host_name", lambda: "a machine of which there is none")
    words = ["lock", "--project", str(workshop.project), "--recipe", "small"]
    assert main([*words, "--source", "b8"]) == 0
    assert main([*words, "--output"]) == UsageError.exit_code
    assert main([*words, "--source", "b8", "--platform", PLATFORM]) == UsageError.exit_code


def run_lock(workshop: Workshop, *arguments: str) -> subprocess.CompletedProcess[str]:
    environment = {"PATH": os.environ["PATH"], "HOME": str(workshop.root), "PIP_CONFIG_FILE": os.devnull}
    environment |= {"PINNED_LLAMA_STORE": str(workshop.root), "PYTHONWARNINGS": "error"}
    return subprocess.run(
        [sys.executable, "-m", "recipes", "lock", *arguments],
        cwd=paths.PROJECT,
        check=False,
        capture_output=True,
        text=True,
        env=environment,
    )
