"""Provenance: in-toto's own types read it, it says what was chosen and read, and a change of it is noticed."""

from __future__ import annotations

import base64
import json
import subprocess
from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import msgspec
import pytest

from recipes.build.compiled import Circumstances
from recipes.build.plan.host_override import on_host
from recipes.build.plan.plan import Plan, make_plan, narrow
from recipes.build.project_commit import ProjectCommit, find_commit
from recipes.build.provenance import (
    PROVENANCE_INPUT,
    Occasion,
    check_statement,
    encode,
    find_fault,
    provenance_path,
    recorded_output,
    recorded_tools,
    statement,
    write_statement,
)
from recipes.core.digest import Sha256
from recipes.manifest.load import Manifests
from recipes.store.entry import Entry
from recipes.store.store import Store

if TYPE_CHECKING:
    from pathlib import Path

MANIFESTS = Manifests()
RECIPE = MANIFESTS.recipe("b11312")
ZIG = MANIFESTS.toolchain("zig-0.17.1")
PLAN = make_plan(RECIPE, "linux-x86_64-cpu", ZIG)
TREE = "ab" * 32
COMPILED = Circumstances(
    started=datetime(2026, 11, 30, 8, 0, 1, tzinfo=UTC),
    finished=datetime(2026, 11, 30, 8, 40, tzinfo=UTC),
    isolation="isolated by own namespaces",
    isolated=True,
    jobs=2,
    umask="0022",
    machine="Linux 6 x86_64",
    cores=2,
    tools={},
)
OCCASION = Occasion(
    COMPILED,
    datetime(2026, 12, 1, tzinfo=UTC),
    ProjectCommit("c" * 40),
    {ZIG.name: ZIG.hosts["linux-x86_64"]},
    ("CVE-1",),
)


def said_of(plan: Plan, occasion: Occasion = OCCASION) -> dict[str, Any]:
    return dict(json.loads(encode(statement(plan, TREE, occasion))))


def test_times_have_a_z_and_are_those_of_the_compile_and_of_the_bundle() -> None:
    details = said_of(PLAN)["predicate"]["runDetails"]
    assert details["metadata"] == {"startedOn": "2026-11-30T08:00:01Z", "finishedOn": "2026-12-01T00:00:00Z"}
    said = {each["name"]: base64.b64decode(each["content"]).decode() for each in details["byproducts"]}
    assert (said["compiled"], said["isolation"]) == ("2026-11-30T08:40:00Z", COMPILED.isolation)


def test_the_builder_says_which_kind_it_is_and_which_commit_of_the_project() -> None:
    def builder(plan: Plan, *, isolated: bool) -> dict[str, Any]:
        compiled = msgspec.structs.replace(COMPILED, isolated=isolated, tools={"cc --version": "1"})
        return dict(
            said_of(plan, replace(OCCASION, circumstances=compiled))["predicate"]["runDetails"]["builder"]
        )

    host = make_plan(on_host(RECIPE, "macos-arm64-metal"), "macos-arm64-metal", MANIFESTS.toolchain("host"))
    ids = [builder(plan, isolated=isolated)["id"] for plan in (PLAN, host) for isolated in (True, False)]
    assert [each.split(":")[-2:] for each in ids] == [
        [compiler, isolated]
        for compiler in ("pinned-compiler", "host-compiler")
        for isolated in ("isolated", "not-isolated")
    ]
    made = builder(PLAN, isolated=True)
    assert made["version"] == {"cc --version": "1"}
    assert made["builderDependencies"] == [{"name": "pinned-llama", "digest": {"gitCommit": "c" * 40}}]


def test_all_that_was_chosen_is_an_external_parameter() -> None:
    chosen = said_of(PLAN)["predicate"]["buildDefinition"]["externalParameters"]
    assert chosen == {
        "recipe": "b11312",
        "platform": "linux-x86_64-cpu",
        "toolchain": "zig-0.17.1",
        "targets": [],
        "architectures": [],
        "cmake": {},
        "permitted": ["CVE-1"],
    }
    part = narrow(PLAN, ("llama-server", "ggml-base"), cmake={"GGML_CPU": "OFF"})
    chosen = said_of(part)["predicate"]["buildDefinition"]["externalParameters"]
    assert (chosen["targets"], chosen["cmake"]) == (["llama-server", "ggml-base"], {"GGML_CPU": "OFF"})
    cuda = make_plan(RECIPE, "linux-x86_64-cuda", MANIFESTS.toolchain("host-cuda"))
    assert said_of(cuda)["predicate"]["buildDefinition"]["externalParameters"]["architectures"]


def test_every_pin_is_a_dependency_with_its_digest_and_the_source_is_the_first() -> None:
    found = said_of(PLAN)["predicate"]["buildDefinition"]["resolvedDependencies"]
    assert found[0] == {
        "name": "source",
        "uri": f"git+{RECIPE.source.repository}@{RECIPE.source.commit.hex}",
        "digest": {"gitCommit": RECIPE.source.commit.hex, "gitTree": RECIPE.source.tree.hex},
    }
    assert all(each["digest"] for each in found)
    digests = {digest for each in found for digest in each["digest"].values()}
    assert RECIPE.page is not None
    assert RECIPE.page.tree_sha256 is not None
    assert digests >= {
        *(patch.sha256.hex for patch in RECIPE.patches),
        *(wheel.sha256.hex for wheel in ZIG.hosts["linux-x86_64"]),
        *(tree.hex for tree in ZIG.trees.values()),
        RECIPE.patches[-1].tree_sha256.hex,
        RECIPE.page.tree_sha256.hex,
    }
    uris = [each["uri"] for each in found if each["name"].startswith("zig-0.17.1: ")]
    assert uris[0].startswith("pkg:pypi/ziglang@0.17.1?file_name=ziglang-0.17.1-")


@pytest.mark.parametrize("key", ["subject", "predicate", "predicateType"])
def test_what_in_totos_types_do_not_take_is_not_written(key: str) -> None:
    whole = said_of(PLAN)
    check_statement(whole)
    with pytest.raises(ValueError, match=r".+"):
        check_statement({name: value for name, value in whole.items() if name != key})
    with pytest.raises(ValueError, match="SLSA"):
        check_statement({**whole, "predicate": {**whole["predicate"], "builder": {}}})


def test_a_provenance_that_is_gone_or_changed_is_found(tmp_path: Path) -> None:
    store, data = Store.open(tmp_path), encode(statement(PLAN, TREE, OCCASION))
    inputs = {PROVENANCE_INPUT: str(Sha256.of_bytes(data))}
    bundle = Entry(PLAN.bundle_key, "bundle", Sha256(TREE), inputs, tmp_path)
    path = provenance_path(store, PLAN)
    assert "there is none" in (find_fault(store, PLAN, bundle) or "")
    write_statement(path, data)
    assert find_fault(store, PLAN, bundle) is None
    assert (recorded_output(path), recorded_tools(path)) == (TREE, {})
    path.write_bytes(data.replace(b"isolated", b"Isolated", 1))
    assert "was changed" in (find_fault(store, PLAN, bundle) or "")
    path.unlink()
    path.symlink_to("/etc/hostname")
    assert "there is none" in (find_fault(store, PLAN, bundle) or "")
    assert recorded_output(path) == ""


def git(folder: Path, *words: str) -> None:
    names = ("-c", "user.name=n", "-c", "user.email=e@example.invalid")
    subprocess.run(("git", "-C", str(folder), *names, *words), check=True, capture_output=True)


def test_the_commit_of_the_project_is_its_own_or_none(tmp_path: Path) -> None:
    assert find_commit(tmp_path).as_dependency() == {"name": "pinned-llama, no git"}
    git(tmp_path, "init")
    (tmp_path / "file").write_text("1")
    git(tmp_path, "add", "file")
    git(tmp_path, "commit", "-m", "one")
    clean = find_commit(tmp_path)
    assert (len(clean.commit), clean.changed) == (40, False)
    (tmp_path / "file").write_text("2")
    assert find_commit(tmp_path) == ProjectCommit(clean.commit, changed=True)
    (tmp_path / "inner").mkdir()
    assert find_commit(tmp_path / "inner").commit == ""  # the commit is of another project
