"""The compiled stage: another packaging compiles nothing, and nothing is taken for what it is not."""

from __future__ import annotations

import hashlib
import json
import re
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from recipes.build.components.compile_record import parse_record, shipped_inputs
from recipes.build.plan.plan import narrow
from recipes.store.store import Store

if TYPE_CHECKING:
    from tests.support.fixture_project import Answer, FixtureProject

PLATFORM = "linux-x86_64-cpu"
DIGEST = re.compile(r"^digest: +sha256:([0-9a-f]{64})", re.MULTILINE)
COMPILED, REUSED = "build steps are isolated", "compiled before, at 20"
TABLE = """\
components:
  - {name: fixture, licence: MIT, files: [src/*], text: [[{file: LICENSE}]]}
targets: ["""


def built(project: FixtureProject, *options: str, **environ: str) -> Answer:
    answer = project.recipes("build", *options, **environ)
    assert answer.status == 0, answer.err
    assert "built now" in answer.out
    return answer


def digest_of(answer: Answer) -> str:
    found = DIGEST.search(answer.out)
    assert found, answer.out
    return found[1]


def compiled_of(project: FixtureProject, *targets: str) -> Path:
    """Return the folder of what a project's plan compiles."""
    plan = project.plan()
    key = (narrow(plan, targets) if targets else plan).compiled_key
    return Store.open(project.store).entry_path(key)


def circumstances_of(project: FixtureProject) -> Path:
    return Store.open(project.store).evidence / compiled_of(project).name / "compile.json"


def forget_bundle(project: FixtureProject, answer: Answer) -> None:
    path = re.search(r"^bundle: +(.+)$", answer.out, re.MULTILINE)
    assert path
    Store.open(project.store).discard(path[1].rpartition("/")[2])


def test_another_packaging_is_laid_out_without_compiling_and_a_file_of_nobody_is_refused(
    project: FixtureProject,
) -> None:
    project.number()
    first = built(project)
    assert (COMPILED in first.err, REUSED in first.err) == (True, False)
    project.edit("libmodule-plain.so, libmodule-avx2.so]", "libmodule-plain.so]")
    project.edit("licence: MIT", "licence: ISC")
    second = built(project)
    assert (COMPILED in second.err, REUSED in second.err) == (False, True)
    assert ("libmodule-avx2.so" in first.out, "libmodule-avx2.so" in second.out) == (True, False)
    assert digest_of(first) != digest_of(second)
    project.edit("targets: [", TABLE)
    refused = project.recipes("build")
    assert (refused.status, COMPILED in refused.err) == (18, False)
    assert "where:    fixture@linux-x86_64-cpu: bundle: components" in refused.err
    assert "{source}/include/shapes.h" in refused.err


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
    built(project)
    entry = compiled_of(project)
    record = parse_record(lambda name: (entry / "record" / name).read_bytes())
    sources = {command.output: command.file for command in record.commands}

    def sources_of(name: str) -> set[str]:
        linked = (entry / "bin" / name).resolve().name
        return {sources[output] for output in shipped_inputs(record, [f"{{build}}/bin/{linked}"])[1]}

    assert sources_of("libshapes.so.0") == {"{source}/src/shapes.cpp", "{source}/src/embedded.S"}
    assert sources_of("libmodule-avx2.so") == {"{source}/variants/module.cpp"}
    assert sources_of("fixture-tool") == {"{source}/src/tool.c"}
    assert "{source}/src/words.txt" in record.headers.files  # embedded by the assembler
    assert any(file.startswith("{toolchain}/ziglang/ziglang/lib/libcxx/") for file in record.headers.files)
    assert all(file.startswith("{") for file in record.headers.files)


def test_a_part_has_compiled_files_of_its_own(project: FixtureProject) -> None:
    project.number()
    assert COMPILED in built(project, "--target", "fixture-tool").err
    part = compiled_of(project, "fixture-tool")
    assert [path.name for path in (part / "bin").iterdir()] == ["fixture-tool"]
    assert part != compiled_of(project)
    assert not compiled_of(project).exists()


def test_files_that_were_compiled_in_unknown_circumstances_are_compiled_again(
    project: FixtureProject,
) -> None:
    project.number()
    answer = built(project)
    path = circumstances_of(project)
    said = json.loads(path.read_text())
    path.unlink()
    forget_bundle(project, answer)
    again = built(project)
    assert "again: the record of how it was compiled is gone or changed" in again.err
    assert COMPILED in again.err
    assert json.loads(path.read_text())["isolation"] == said["isolation"]
    path.write_text(json.dumps({**said, "isolation": "isolated by magic"}))
    forget_bundle(project, again)
    assert COMPILED in built(project).err
    assert json.loads(path.read_text())["isolation"] == said["isolation"]


def test_what_was_compiled_without_isolation_is_not_enough_where_isolation_is_demanded(
    project: FixtureProject,
) -> None:
    project.number()
    answer = built(project)
    forget_bundle(project, answer)
    path = circumstances_of(project)
    before = path.read_bytes()
    path.write_text(
        json.dumps({**json.loads(before), "isolated": False, "isolation": "not isolated: a test"})
    )
    record = Store.open(project.store).record_path(compiled_of(project).name)
    old, new = (hashlib.sha256(data).hexdigest() for data in (before, path.read_bytes()))
    text = record.read_text().replace(old, new)
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
    forget_bundle(project, built(project))
    program = compiled_of(project) / "bin" / "fixture-tool"
    program.chmod(0o755)
    with program.open("ab") as file:
        file.write(b"\0")
    refused = project.recipes("build")
    assert refused.status == 20
    assert f"where:    {compiled_of(project)}" in refused.err
    assert "bin/fixture-tool" in refused.err


@pytest.mark.skipif(not Path("/usr/bin/c++").exists(), reason="this machine has no compiler of its own")
def test_files_of_the_machines_own_compiler_name_no_licence_of_ours_and_are_on_record(
    project: FixtureProject,
) -> None:
    project.number()
    answer = built(project, "--platform", "linux-x86_64-own")
    path = re.search(r"^bundle: +(.+)$", answer.out, re.MULTILINE)
    assert path
    table = (Path(path[1]) / "licences" / "COMPONENTS.txt").read_text()
    assert [line.split()[0] for line in table.splitlines()] == ["component", "fixture", "machine"]


def test_a_provenance_that_is_gone_or_changed_is_said_and_written_again_of_the_same_compile(
    project: FixtureProject,
) -> None:
    project.number()
    first = built(project)
    said = re.search(r"^record: +(.+)$", first.out, re.MULTILINE)
    assert said
    path = Path(said[1])
    before = json.loads(path.read_text())
    path.unlink()
    verified = project.recipes("verify")
    assert (verified.status != 0, "BAD      provenance of fixture@" in verified.out) == (True, True)
    again = built(project)
    assert "laying fixture@linux-x86_64-cpu out again for its provenance: there is none" in again.err
    assert (REUSED in again.err, digest_of(again)) == (True, digest_of(first))
    after = json.loads(path.read_text())
    metadata = [each["predicate"]["runDetails"]["metadata"] for each in (before, after)]
    assert metadata[0]["startedOn"] == metadata[1]["startedOn"]
    path.write_text(path.read_text().replace("isolated", "Isolated", 1))
    assert project.recipes("verify").status != 0
    assert "was changed since" in built(project).err
    assert project.recipes("verify").status == 0
