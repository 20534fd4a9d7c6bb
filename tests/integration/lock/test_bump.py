"""`bump` with real git and servers on loopback: what a newer source makes of a recipe, its patches and its findings."""

from __future__ import annotations

import gzip
import json
import os
import shutil
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from recipes.build.gc_roots import find_reachable
from recipes.build.webpage.build_page import page_key
from recipes.core.digest import Sha1, Sha256, hash_tree
from recipes.core.errors import (
    FetchError,
    ManifestError,
    PatchError,
    PinMissingError,
    UsageError,
    VerifyError,
)
from recipes.lock import bump as session
from recipes.lock.proposal import PAGE_UNPINNED
from recipes.lock.transaction import replace_files
from recipes.manifest.load import Manifests
from recipes.patches.apply import apply_patch
from recipes.patches.parse import parse_patch
from tests.support import paths
from tests.support.fixture_project import ADVISORY
from tests.support.http_server import Behaviour, Server
from tests.support.lock_project import (
    NEW,
    OLD,
    PLATFORM,
    RECIPE,
    SERIES,
    WHO,
    Upstream,
    Workshop,
    git,
    lines,
    make_upstream,
    make_workshop,
    sdist,
    snapshot,
    tar_of,
    write_tree,
)
from tests.support.model_manifests import HUB
from tests.support.npm_page import page_files

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from recipes.lock.proposal import Change

AGAIN = "python3 noxfile.py -s bump -- --recipe small"
FITTING = ("exact", "moved", "fuzzy", "applied")
CMAKE_OLD = 'option(OUR_OLD "old" ON)\noption(BUILD_SHARED_LIBS "named" ON)\n'
CMAKE_NEW = CMAKE_OLD + '# option(OUR_DREAM "")\nset(OUR_FAST 1\n    CACHE STRING "(fast)")\n'


@pytest.fixture(scope="module")
def upstream(tmp_path_factory: pytest.TempPathFactory) -> Upstream:
    return make_upstream(tmp_path_factory.mktemp("upstream"))


@pytest.fixture
def workshop(
    tmp_path: Path, upstream: Upstream, capsys: pytest.CaptureFixture[str], request: pytest.FixtureRequest
) -> Iterator[Workshop]:
    with Server() as server:
        shop = make_workshop(tmp_path, server, upstream, capsys, getattr(request, "param", FITTING))
        shop.tag("b8")
        yield shop


def a_workshop(
    place: Path, server: Server, capsys: pytest.CaptureFixture[str], upstream: Upstream
) -> Workshop:
    shop = make_workshop(place, server, upstream, capsys, ("exact",))
    shop.tag("b8")
    return shop


def an_upstream(place: Path, old: dict[str, str], new: dict[str, str]) -> Upstream:
    (place / "own-upstream").mkdir()
    return make_upstream(place / "own-upstream", old, new)


# --- a dry run ---


@pytest.mark.parametrize("workshop", [SERIES], indirect=True)
def test_a_dry_run_says_what_becomes_of_each_patch_and_changes_nothing(workshop: Workshop) -> None:
    before = snapshot(workshop.project)
    table, said = workshop.bump("--to", "b8")
    assert snapshot(workshop.project) == before
    fates = [
        line.split(None, 2)[2].split("  ")[0] for line in table.splitlines() if line.startswith("  patch")
    ]
    assert fates == ["kept", "rebased", "rebased", "upstream's", "in conflict"]
    assert "conflict.c:17: hunk 1 does not apply" in table
    assert "CONFLICT (content): Merge conflict in conflict.c" in table
    assert workshop.upstream.commits["b8"] in table
    assert "patches/b7/0005-conflict.patch: in conflict" in said
    assert "\n  file " not in table
    error = workshop.refuse_bump("--to", "b8", "--write", kind=PatchError, tables=True)
    assert "0005-conflict" in error.found
    assert f"{AGAIN} --to b8 --leave-out NUMBER" in error.fix


def test_upstreams_newest_build_is_the_default_by_number_not_by_text(
    workshop: Workshop, tmp_path: Path
) -> None:
    clone = tmp_path / "clone"
    git("clone", "-q", "--bare", str(workshop.upstream.repository), str(clone), at=tmp_path)
    for name in ("b10", "b9-rc", "nightly"):
        git(*WHO, "tag", name, at=clone)
    workshop.replace(workshop.upstream.url, clone.as_uri())
    workshop.server.serve("/up/archive/b10.tar.gz", workshop.upstream.archives["b8"])
    table, _ = workshop.bump()
    assert "b10 of 2023-11-15" in table


def test_options_that_the_new_source_declares_and_the_recipe_does_not_name_are_listed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    old = OLD | {"CMakeLists.txt": CMAKE_OLD + 'option(OUR_BUILD_NUMBER "gone" 0)\n', "sub/x.cmake": "\n"}
    new = NEW | {"CMakeLists.txt": CMAKE_NEW, "sub/x.cmake": "\noption(OUR_SUB sub)\n"}
    with Server() as server:
        table, _ = a_workshop(tmp_path, server, capsys, an_upstream(tmp_path, old, new)).bump("--to", "b8")
    found = [line.split(None, 1)[1] for line in table.splitlines() if line.startswith("  cmake")]
    assert [" ".join(line.split()) for line in found] == [
        "new, not named OUR_FAST (CMakeLists.txt:4)",
        "new, not named OUR_SUB (sub/x.cmake:2)",
        "named, and gone OUR_BUILD_NUMBER (CMakeLists.txt:3)",
        "not named, in both OUR_OLD",
    ]


def test_all_that_an_archive_does_not_say_is_asked_for_at_once(workshop: Workshop) -> None:
    workshop.publish("0.2.0", sdist("small_source-0.2.0", NEW))
    error = workshop.refuse_bump("--to", "small-source==0.2.0", kind=UsageError)
    assert error.where == "--to small-source==0.2.0"
    assert f"{AGAIN} --to small-source==0.2.0 --commit ID --build-number N" in error.fix
    extra = ("--commit", workshop.upstream.commits["b8"], "--build-number", "8")
    assert "small-source==0.2.0" in workshop.bump("--to", "small-source==0.2.0", *extra)[0]


def test_a_commit_is_a_source_by_its_full_id(workshop: Workshop) -> None:
    commit = workshop.upstream.commits["b8"]
    workshop.server.serve(f"/up/archive/{commit}.tar.gz", gzip.compress(tar_of("up-8/", NEW)))
    error = workshop.refuse_bump("--to", commit, kind=UsageError)
    assert f"--to {commit} --build-number N" in error.fix
    assert commit in workshop.bump("--to", commit, "--build-number", "8")[0]


# --- writing ---


def test_what_is_written_is_whole_and_lock_has_nothing_to_add(workshop: Workshop, tmp_path: Path) -> None:
    changelog = workshop.project / "CHANGELOG.md"
    changelog.write_text("# Changelog\n\n## [Unreleased]\n\n### Changed\n\n- What.\n")
    workshop.replace("# why patch 1 is here", "# a person's own words")
    workshop.bump("--to", "b8", "--write")
    recipe = Manifests(workshop.project).recipe("small")  # strictly
    assert recipe.source.commit.hex == workshop.upstream.commits["b8"]
    assert [patch.file for patch in recipe.patches] == [
        f"b7/000{n}-{FITTING[n - 1]}.patch" for n in (1, 2, 3)
    ]
    assert not (workshop.project / "patches/b7/0004-applied.patch").exists()
    assert recipe.platforms[PLATFORM].output is None
    assert "# a person's own words" in workshop.text
    tree = tmp_path / "expected"
    write_tree(tree, NEW | {
        "exact.c": lines((1, "another first line"), (20, "fixed")),
        "moved.c": "a new line\na second one\n" + lines((20, "fixed")),
        "fuzzy.c": lines((17, "another line 17"), (20, "fixed")),
    })  # fmt: skip
    assert recipe.patches[-1].tree == hash_tree(tree, Sha1)
    assert recipe.patches[-1].tree_sha256 == hash_tree(tree, Sha256)
    line = (
        "- Pins: `small`: llama.cpp b8 of 2023-11-15, commit {}; patches: 1 kept, 2 rebased, 1 upstream's.\n"
    )
    commit = workshop.upstream.commits["b8"][:12]
    assert f"### Changed\n\n{line.format(commit)}- What.\n" in changelog.read_text()
    assert workshop.lock()[1].endswith("nothing to propose")
    assert "pins b8 already" in workshop.bump("--to", "b8", "--write")[1]
    assert not [path for path in workshop.project.rglob(".*") if path.name != ".gitkeep"]


def test_a_rebased_patch_keeps_its_message_and_gets_a_new_table_of_files(
    workshop: Workshop, tmp_path: Path
) -> None:
    place = workshop.project / "patches/b7/0002-moved.patch"
    head = b"From 0 Mon Sep 17 00:00:00 2001\nSubject: [PATCH] why\n\nIts reason.\n---\n moved.c | 99 +\n\n"
    place.write_bytes(head + place.read_bytes())
    workshop.lock("--write")
    workshop.bump("--to", "b8", "--write")
    data = place.read_bytes()
    assert data.startswith(
        b"From 0 Mon Sep 17 00:00:00 2001\nSubject: [PATCH] why\n\nIts reason.\n---\n moved.c | 2 +-\n"
    )
    assert b"99" not in data
    write_tree(tmp_path / "new", NEW)
    apply_patch(parse_patch(data, "moved"), tmp_path / "new")
    assert (tmp_path / "new/moved.c").read_text() == "a new line\na second one\n" + lines((20, "fixed"))


def test_a_recipe_that_is_named_after_its_build_gets_a_successor_and_stays(workshop: Workshop) -> None:
    workshop.name_after_build()
    before = snapshot(workshop.project)
    table, _ = workshop.bump("--to", "b8", "--write", recipe="b7")
    assert table.startswith("b7 -> b8, a new recipe beside it\n")
    manifests = Manifests(workshop.project)
    assert before.items() <= snapshot(workshop.project).items()
    old, new = manifests.recipe("b7"), manifests.recipe("b8")
    assert (old.source.build_number, new.source.build_number) == (7, 8)
    assert [patch.file for patch in new.patches] == [f"b8/000{n}-{FITTING[n - 1]}.patch" for n in (1, 2, 3)]
    assert "is there already" in workshop.bump("--to", "b8", "--write", recipe="b7")[1]


@pytest.mark.parametrize("workshop", [SERIES], indirect=True)
def test_a_patch_in_conflict_can_be_made_by_hand_or_left_out(workshop: Workshop, tmp_path: Path) -> None:
    workshop.name_after_build()
    for side, text in (("a", NEW["conflict.c"]), ("b", lines((20, "both")))):
        write_tree(tmp_path / side, {"conflict.c": text})
    done = subprocess.run(
        ["git", "diff", "--no-index", "--no-prefix", "a/conflict.c", "b/conflict.c"],
        cwd=tmp_path, capture_output=True, check=False,
    )  # fmt: skip
    place = workshop.project / "patches/b8/0005-conflict.patch"
    place.parent.mkdir()
    place.write_bytes(done.stdout.replace(b"-rewritten", b"-something else"))
    table, _ = workshop.bump("--to", "b8", recipe="b7")
    assert "in conflict" in table
    assert "made by hand" in table
    place.write_bytes(done.stdout)
    assert "in conflict" not in workshop.bump("--to", "b8", recipe="b7")[0]
    left_out = ("--to", "b8", "--leave-out", "5", "--leave-out", "1")
    assert f"{' '.join(left_out)} --write" in workshop.bump(*left_out, recipe="b7")[1]
    workshop.bump(*left_out, "--write", recipe="b7")
    assert [patch.file for patch in Manifests(workshop.project).recipe("b8").patches] == [
        "b8/0002-moved.patch",
        "b8/0003-fuzzy.patch",
    ]
    assert place.read_bytes() == done.stdout


@pytest.mark.parametrize("workshop", [("applied",)], indirect=True)
def test_the_last_patch_can_be_upstreams(workshop: Workshop) -> None:
    workshop.bump("--to", "b8", "--write")
    assert Manifests(workshop.project).recipe("small").patches == ()
    assert workshop.lock()[1].endswith("nothing to propose")


def test_a_patch_of_which_a_merge_leaves_nothing_is_upstreams(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    new = OLD | {"exact.c": lines((18, "other"), (20, "fixed"), (22, "other"))}
    with Server() as server:
        table, _ = a_workshop(tmp_path, server, capsys, an_upstream(tmp_path, OLD, new)).bump("--to", "b8")
    assert "upstream's" in table
    assert "nothing is left of it" in table


def test_all_bumps_every_recipe_and_of_those_named_after_a_build_the_newest(workshop: Workshop) -> None:
    text = workshop.text
    for name in ("b7", "b6"):
        made = text.replace("name: small", f"name: {name}", 1).replace("number: 7", f"number: {name[1:]}", 1)
        workshop.manifest.with_name(f"{name}.yaml").write_text(made)
    table, said = workshop.bump("--all", "--write")
    assert "b6 keeps its source" in said
    assert {path.stem for path in workshop.manifest.parent.glob("*.yaml")} == {"b6", "b7", "b8", "small"}
    manifests = Manifests(workshop.project)
    assert [manifests.recipe(name).source.build_number for name in manifests.recipe_names()] == [6, 7, 8, 8]
    # what b6 and b7 pin too is left to them
    assert [patch.file for patch in manifests.recipe("small").patches][1] == "small/0002-moved.patch"
    assert table.count("rebased  ") == 4


def test_all_bumps_models_too_and_one_that_cannot_be_asked_keeps_all_as_it_was(workshop: Workshop) -> None:
    folder = workshop.project / "manifests/models"
    folder.mkdir()
    model = folder / "hub.yaml"
    model.write_text(HUB.replace("https://hub.example", workshop.server.base))
    asked = "/api/models/someone/Some-GGUF?blobs=true"
    workshop.server.serve(asked, b"", Behaviour(status=503, body=b"later"))
    workshop.refuse_bump("--all", "--write", kind=FetchError)
    siblings = [
        {"rfilename": name, "size": lfs["size"], "blobId": "0" * 40, "lfs": {**lfs, "pointerSize": 131}}
        for name, lfs in (
            ("model.gguf", {"sha256": "d4" * 32, "size": 4321}),
            ("mmproj.gguf", {"sha256": "c3" * 32, "size": 4}),
        )
    ]
    answer = {"_id": "1", "id": "someone/Some-GGUF", "sha": "c3" * 20, "siblings": siblings, "tags": []}
    kind = Behaviour(headers=(("Content-Type", "application/json"),))
    workshop.server.serve(asked, json.dumps(answer).encode(), kind)
    table, _ = workshop.bump("--all", "--write")
    manifests = Manifests(workshop.project)
    assert manifests.recipe("small").source.build_number == 8
    assert manifests.model("hub").revision == Sha1("c3" * 20)
    assert f"other bytes: mmproj.gguf: pinned {'b2' * 32}, the hub has {'c3' * 32}" in table


def test_a_loader_that_reads_in_an_unknown_form_keeps_all_as_it_was(workshop: Workshop) -> None:
    folder = workshop.project / "manifests/loaders"
    folder.mkdir()
    (folder / "small.json").write_text("{}\n")
    error = workshop.refuse_bump("--to", "b8", "--write", kind=VerifyError, tables=True)
    assert "manifests/loaders/small.json" in error.found
    assert "derive.py" in error.fix


def test_findings_that_must_be_looked_at_are_said_and_follow_their_patches(workshop: Workshop) -> None:
    folder = workshop.project / "manifests/advisories"
    folder.mkdir()
    for name in ("one", "two", "three"):
        text = ADVISORY.format(severity="low", reach="file").replace("squares-are-round", name)
        (folder / f"{name}.yaml").write_text(text)
    workshop.replace(
        "targets:",
        "advisories:\n  one: {status: affected, evidence: seen, action: wait}\n".replace("{", "\n    ")
        .replace("}", "")
        .replace(", ", "\n    ")
        + "  two:\n    status: fixed\n    patch: 3\n    evidence: tried\n"
        + "  three:\n    status: fixed\n    patch: 4\n    evidence: tried\ntargets:",
    )
    table, _ = workshop.bump("--to", "b8", "--leave-out", "1", "--write")
    standings = Manifests(workshop.project).recipe("small").advisories
    assert {name: (one.status, one.patch) for name, one in standings.items()} == {
        "one": ("affected", None),
        "two": ("fixed", 2),
        "three": ("under_investigation", None),
    }
    assert "one: look again: is it still?" in table
    assert "two: look again: patch 3, which fixes it, is rebased" in table
    assert "three: look again: patch 4, which fixed it, is upstream's" in table


# --- a recipe with a page ---

PAGE = """\
page:
  folder: ui
  toolchain: node-24.19.0
  command: [run, build]
  environment:
    OUT: "{page}"
    UI_VERSION: b7 # what the page calls itself
    UI_NUMBER: "7"
    UI_NAME: seven
  into: ui/dist
  tree_sha256: %s # of the machine at work
targets:""" % ("d2" * 32)
UI = {f"ui/{name}": text for name, text in page_files("http://127.0.0.1:9/tiny.tgz").items()}


def with_page(
    place: Path, server: Server, capsys: pytest.CaptureFixture[str], new: dict[str, str]
) -> Workshop:
    """Return a project whose recipe builds a page, and an upstream whose new source has these files besides."""
    shop = a_workshop(place, server, capsys, an_upstream(place, OLD, NEW | new))
    shop.replace("targets:", PAGE)
    shutil.copy(
        paths.PROJECT / "manifests/toolchains/node-24.19.0.yaml", shop.project / "manifests/toolchains"
    )
    return shop


def test_a_page_is_called_after_the_new_build_and_unpinned_until_it_is_built(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with Server() as server:
        shop = with_page(tmp_path, server, capsys, UI)
        table, _ = shop.bump("--to", "b8")
        rows = [" ".join(line.split()) for line in table.splitlines() if line.startswith("  page")]
        assert rows == [
            "page packages 1, each by digest in ui/package-lock.json",
            "page UI_VERSION b8",
            "page UI_NUMBER 8",
            f"page unpinned its tree: {PAGE_UNPINNED}",
        ]
        diff, _ = shop.lock("--source", "b8")  # proposes the same
        shop.bump("--to", "b8", "--write")
    wanted = PAGE.replace("b7 # what", "b8 # what").replace('"7"', '"8"')
    assert wanted.replace(f"tree_sha256: {'d2' * 32}", f"tree_unpinned: {PAGE_UNPINNED}") in shop.text
    assert f"+  tree_unpinned: {PAGE_UNPINNED} # of the machine at work\n" in diff
    manifests = Manifests(shop.project)
    recipe = manifests.recipe("small")
    assert recipe.page is not None
    node = manifests.toolchain(recipe.page.toolchain)
    assert page_key(recipe, recipe.page, node) in find_reachable(manifests, shop.root).keys  # gc keeps it
    with pytest.raises(PinMissingError) as caught:
        shop.job().plan()
    assert PAGE_UNPINNED in caught.value.found
    assert caught.value.fix.startswith("python3 noxfile.py -s lock -- --recipe small --page --write")


@pytest.mark.parametrize(
    ("new", "kind", "found"),
    [
        ({}, PinMissingError, "no package.json and no package-lock.json there"),
        ({"ui/package.json": "{}"}, PinMissingError, "no package-lock.json there"),
        ({"ui/package.json": "{}", "ui/package-lock.json": "[]"}, VerifyError, "another file"),
        (
            {f"ui/{name}": text for name, text in page_files("x", pinned=False).items()},
            VerifyError,
            "page: package-lock.json: node_modules/tiny: none",
        ),
    ],
    ids=["no folder", "no lock", "another file", "no digest"],
)
def test_a_new_source_whose_page_cannot_be_built_of_pins_keeps_all_as_it_was(
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    new: dict[str, str],
    kind: type[PinMissingError | VerifyError],
    found: str,
) -> None:
    with Server() as server:
        shop = with_page(tmp_path, server, capsys, new)
        table, said = shop.bump("--to", "b8")
        assert f"{RECIPE}: page" in said
        assert found in said
        assert "patch in conflict" not in said  # of which there is none
        assert "each by digest" not in table
        error = shop.refuse_bump("--to", "b8", "--write", kind=kind, tables=True)
    assert found in error.found


# --- what is refused ---


def test_an_upstream_that_cannot_be_reached_is_named_with_the_way_around_it(workshop: Workshop) -> None:
    gone = (workshop.root / "gone").as_uri()
    workshop.replace(workshop.upstream.url, gone)
    error = workshop.refuse_bump("--write", kind=FetchError)
    assert gone.removeprefix("file://") in error.where + error.found
    assert f"{AGAIN} --to PROJECT==VERSION" in error.fix
    error = workshop.refuse_bump("--to", "b9", "--write", kind=FetchError)
    assert error.where == "--to b9"


def test_a_tag_that_moved_is_refused(workshop: Workshop, tmp_path: Path) -> None:
    workshop.tag("b7", workshop.upstream.archives["b8"])
    error = workshop.refuse_bump("--to", "b7", "--write", kind=VerifyError)
    assert workshop.upstream.commits["b7"] in error.expected
    assert workshop.upstream.commits["b8"] in error.found
    # the archive was made before the tag was moved
    clone = tmp_path / "clone"
    git("clone", "-q", "--bare", str(workshop.upstream.repository), str(clone), at=tmp_path)
    git(*WHO, "tag", "-f", "-a", "-m", "moved", "b8", workshop.upstream.commits["b7"], at=clone)
    workshop.replace(workshop.upstream.url, clone.as_uri())
    error = workshop.refuse_bump("--to", "b8", "--write", kind=VerifyError)
    assert clone.as_uri() in error.expected


def test_an_archive_with_another_tree_than_its_commit_is_refused(workshop: Workshop) -> None:
    workshop.tag("b8", gzip.compress(tar_of("up-8/", dict(NEW, LICENSE="mine\n"))))
    error = workshop.refuse_bump("--to", "b8", "--write", kind=VerifyError)
    assert workshop.upstream.trees["b8"] in error.expected


def test_a_patch_that_is_not_the_pinned_one_is_refused_and_kept(workshop: Workshop) -> None:
    place = workshop.project / "patches/b7/0001-exact.patch"
    place.write_bytes(place.read_bytes() + b"\n")
    error = workshop.refuse_bump("--to", "b8", "--write", kind=VerifyError)
    assert error.where == "patches/b7/0001-exact.patch"
    assert "lock -- --recipe small" in error.fix


def test_a_malformed_patch_is_refused(workshop: Workshop) -> None:
    place = workshop.project / "patches/b7/0002-moved.patch"
    pinned = Sha256.of_bytes(place.read_bytes()).hex
    place.write_bytes(b"no patch\n")
    workshop.replace(pinned, Sha256.of_bytes(b"no patch\n").hex)
    assert workshop.refuse_bump("--to", "b8", "--write", kind=PatchError).where.startswith("patches/b7/0002")


def test_pins_of_another_series_are_refused(workshop: Workshop) -> None:
    tree = workshop.job().recipe.patches[0].tree.hex
    workshop.replace(tree, "1" * 40)
    error = workshop.refuse_bump("--to", "b8", "--write", kind=VerifyError)
    assert error.where == f"{RECIPE}: patches[0].tree"
    assert tree in error.found


def test_a_patch_that_git_does_not_have_is_not_replaced(workshop: Workshop) -> None:
    git("init", "-q", at=workshop.project)
    git("add", "--all", at=workshop.project)
    git(*WHO, "commit", "-q", "-m", "all", at=workshop.project)
    place = workshop.project / "patches/b7/0002-moved.patch"
    place.write_bytes(b"A person's own words.\n\n" + place.read_bytes())
    workshop.lock("--write")
    error = workshop.refuse_bump("--to", "b8", "--write", kind=ManifestError, tables=True)
    assert error.where == "patches/b7/0002-moved.patch"
    git("add", "--all", at=workshop.project)
    git(*WHO, "commit", "-q", "-m", "mine", at=workshop.project)
    workshop.bump("--to", "b8", "--write")
    assert place.read_bytes().startswith(b"A person's own words.\n\ndiff --git ")


def test_an_edit_made_meanwhile_is_not_lost(workshop: Workshop, monkeypatch: pytest.MonkeyPatch) -> None:
    def edit_and_write(changes: Sequence[Change], project: Path) -> None:
        workshop.replace("one of everything", "an edit")
        replace_files(changes, project)

    monkeypatch.setattr(session, "replace_files", edit_and_write)
    patches = snapshot(workshop.project / "patches")
    with pytest.raises(ManifestError) as caught:
        workshop.bump("--to", "b8", "--write")
    assert (caught.value.where, "an edit" in workshop.text) == (RECIPE, True)
    assert snapshot(workshop.project / "patches") == patches


def test_of_two_bumps_at_once_one_writes_and_the_other_says_so(workshop: Workshop) -> None:
    environment = {"PATH": os.environ["PATH"], "HOME": str(workshop.root), "PIP_CONFIG_FILE": os.devnull}
    environment["PINNED_LLAMA_STORE"] = str(workshop.root)
    words = ["bump", "--project", str(workshop.project), "--recipe", "small", "--to", "b8", "--write"]
    running = [
        subprocess.Popen(
            [sys.executable, "-m", "recipes", *words], cwd=paths.PROJECT, env=environment,
            stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True,
        )
        for _ in range(2)
    ]  # fmt: skip
    said = [process.communicate()[1] for process in running]
    codes = [process.returncode for process in running]
    assert codes == [0, 0], said
    assert sum("written: " in text for text in said) == 1, said
    assert Manifests(workshop.project).recipe("small").source.build_number == 8
    assert workshop.lock()[1].endswith("nothing to propose")


@pytest.mark.parametrize(
    "words",
    [
        ("--commit", "0" * 40),
        ("--all", "--leave-out", "1"),
        ("--to", "b8", "--build"),
        ("--to", "b8", "--leave-out", "9"),
        ("--to", "b 8"),
    ],
)
def test_options_that_have_no_effect_or_no_sense_are_refused(
    workshop: Workshop, words: Sequence[str]
) -> None:
    chosen = () if "--all" in words else ("--recipe", "small")
    done = subprocess.run(
        [sys.executable, "-m", "recipes", "bump", "--project", str(workshop.project), *chosen, *words],
        cwd=paths.PROJECT, env={**os.environ, "PINNED_LLAMA_STORE": str(workshop.root)},
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert (done.returncode, "Traceback" in done.stderr) == (UsageError.exit_code, False), done.stderr
