"""The compiled stage: another packaging compiles nothing, and nothing is taken for what it is not."""

from __future__ import annotations

import hashlib
import json
import re
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from recipes.build.compile_record import parse_record, shipped_inputs
from recipes.store.store import Store

if TYPE_CHECKING:
    from tests.support.fixture_project import Answer, FixtureProject

DIGEST = re.compile(r"^digest: +sha256:([0-9a-f]{64})", re.MULTILINE)
COMPILED, REUSED = "compile fixture@linux-x86_64-cpu (", "compiled before, at 20"


def built(project: FixtureProject, *options: str, **environ: str) -> Answer:
    answer = project.recipes("build", *options, **environ)
    assert answer.status == 0, answer.err
    assert "built now" in answer.out
    return answer


def digest_of(answer: Answer) -> str:
    found = DIGEST.search(answer.out)
    assert found, answer.out
    return found[1]


def entries(project: FixtureProject, kind: str) -> set[str]:
    folder = Store.open(project.store).entries
    return {path.name for path in folder.iterdir() if path.name.startswith(f"{kind}-") and path.is_dir()}


def made_by(project: FixtureProject, *options: str) -> tuple[Answer, Path]:
    """Build, and return the answer and the folder of the one compiled entry that it made."""
    before = entries(project, "compiled")
    answer = built(project, *options)
    (name,) = entries(project, "compiled") - before
    return answer, Store.open(project.store).entries / name


def forget_bundle(project: FixtureProject, answer: Answer) -> None:
    path = re.search(r"^bundle: +(.+)$", answer.out, re.MULTILINE)
    assert path
    Store.open(project.store).discard(path[1].rpartition("/")[2])


def test_another_packaging_is_laid_out_without_compiling(project: FixtureProject) -> None:
    project.number()
    first = built(project)
    assert (COMPILED in first.err, REUSED in first.err) == (True, False)
    project.edit("      licences: [LICENSE]", "      licences: [LICENSE, src/words.txt]")
    project.edit("licence: MIT", "licence: ISC")
    second = built(project)
    assert (COMPILED in second.err, REUSED in second.err) == (False, True)
    assert "licences/src/words.txt" in second.out
    assert digest_of(first) != digest_of(second)


def test_another_option_is_compiled_and_the_same_files_laid_out_again_are_the_same_bytes(
    project: FixtureProject,
) -> None:
    project.number()
    first = built(project)
    forget_bundle(project, first)
    again = built(project)
    assert REUSED in again.err
    assert digest_of(again) == digest_of(first)
    project.edit("CMAKE_INSTALL_PREFIX: /prefix", "CMAKE_INSTALL_PREFIX: /elsewhere")
    assert COMPILED in built(project).err


def test_the_record_of_a_build_leads_from_each_shipped_file_to_sources_and_names_no_machine(
    project: FixtureProject,
) -> None:
    project.number()
    _, entry = made_by(project)
    record = parse_record(lambda name: (entry / "record" / name).read_bytes())
    sources = {command.output: command.file for command in record.commands}

    def sources_of(name: str) -> set[str]:
        linked = (entry / "bin" / name).resolve().name
        return {sources[output] for output in shipped_inputs(record, [f"{{build}}/bin/{linked}"])[1]}

    shapes = {"{source}/src/shapes.cpp", "{source}/src/embedded.S"}
    assert sources_of("libshapes.so.0") == shapes
    assert sources_of("libmodule-avx2.so") == {"{source}/variants/module.cpp", *shapes}
    assert sources_of("fixture-tool") == {"{source}/src/tool.c"}
    assert "{source}/src/words.txt" in record.headers.files  # embedded by the assembler
    assert any(file.startswith("{toolchain}/ziglang/ziglang/lib/libcxx/") for file in record.headers.files)
    assert all(file.startswith("{") for file in record.headers.files)


def test_a_part_has_compiled_files_of_its_own(project: FixtureProject) -> None:
    project.number()
    _, whole = made_by(project)
    answer, part = made_by(project, "--target", "fixture-tool")
    assert COMPILED in answer.err
    assert [path.name for path in (part / "bin").iterdir()] == ["fixture-tool"]
    assert whole != part


@pytest.mark.parametrize("change", ["removed", "edited"])
def test_files_that_were_compiled_in_unknown_circumstances_are_compiled_again(
    project: FixtureProject, change: str
) -> None:
    project.number()
    answer, entry = made_by(project)
    path = Store.open(project.store).evidence / entry.name / "compile.json"
    said = json.loads(path.read_text())
    path.unlink()
    if change == "edited":
        path.write_text(json.dumps({**said, "isolation": "isolated by magic"}))
    forget_bundle(project, answer)
    again = built(project)
    assert "again: the record of how it was compiled is gone or changed" in again.err
    assert COMPILED in again.err
    assert json.loads(path.read_text())["isolation"] == said["isolation"]


def test_what_was_compiled_without_isolation_is_not_enough_where_isolation_is_demanded(
    project: FixtureProject,
) -> None:
    project.number()
    answer, entry = made_by(project)
    forget_bundle(project, answer)
    store = Store.open(project.store)
    path = store.evidence / entry.name / "compile.json"
    before = path.read_bytes()
    path.write_text(
        json.dumps({**json.loads(before), "isolated": False, "isolation": "not isolated: a test"})
    )
    record = store.record_path(entry.name)
    text = record.read_text().replace(
        hashlib.sha256(before).hexdigest(), hashlib.sha256(path.read_bytes()).hexdigest()
    )
    record.chmod(0o644)
    record.write_text(text)
    reused = built(project)
    assert REUSED in reused.err
    forget_bundle(project, reused)
    demanded = built(project, "--require-isolation")
    assert "it was compiled not isolated: a test" in demanded.err
    assert COMPILED in demanded.err


def test_compiled_files_that_were_changed_are_refused(project: FixtureProject) -> None:
    project.number()
    answer, entry = made_by(project)
    forget_bundle(project, answer)
    program = entry / "bin" / "fixture-tool"
    program.chmod(0o755)
    with program.open("ab") as file:
        file.write(b"\0")
    refused = project.recipes("build")
    assert refused.status == 20
    assert (f"where:    {entry}" in refused.err, "bin/fixture-tool" in refused.err) == (True, True)


def test_the_provenance_of_a_bundle_that_is_laid_out_again_has_the_times_of_the_compile(
    project: FixtureProject,
) -> None:
    project.number()
    first, entry = made_by(project)
    compiled = json.loads((Store.open(project.store).evidence / entry.name / "compile.json").read_text())
    forget_bundle(project, first)
    again = built(project)
    path = re.search(r"^record: +(.+)$", again.out, re.MULTILINE)
    assert path
    details = json.loads(Path(path[1]).read_text())["predicate"]["runDetails"]
    assert details["metadata"]["startedOn"].removesuffix("+00:00") == compiled["started"].removesuffix("Z")
    said = {item["name"]: item["content"] for item in details["byproducts"]}
    assert said["isolation"] == compiled["isolation"]
    assert said["compiled"].removesuffix("+00:00") == compiled["finished"].removesuffix("Z")
