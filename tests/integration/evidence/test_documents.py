"""Every document that `build` and `attest` write of a bundle is taken by its standard, and no broken one is.

Of the pinned recipes themselves: tests/unit/build/test_provenance.py, tests/unit/evidence.
"""

from __future__ import annotations

import base64
import json
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from recipes.build.evidence_files import (
    CONFORMANCE,
    PROVENANCE,
    SBOM,
    VEX_CYCLONEDX,
    VEX_OPENVEX,
    evidence_of_archive,
    signed_name,
)
from recipes.cli.build import is_whole_sbom
from recipes.conformance.report.json_record import to_json
from recipes.core.digest import Sha256
from recipes.evidence.material import DOCUMENTS
from recipes.evidence.rebuild import Seen, rebuild_statement
from tests.support.release import BUILT, Release, conformance, make_release, sign_payload
from tests.support.standards import fault_of

if TYPE_CHECKING:
    from tests.support.fixture_project import FixtureProject

REBUILD_FILE = "rebuild-me.dsse.json"


@pytest.fixture(scope="module")
def release(tmp_path_factory: pytest.TempPathFactory) -> Release:
    release = make_release(tmp_path_factory.mktemp("release") / "release")
    release.learn("CVE-2000-0003")
    key = release.new_key("release.key")
    assert release.attest(key) == 0
    seen = Seen(release.plan.digest.hex, release.tree, (), "isolated", "a machine", BUILT)
    payload = rebuild_statement(release.plan.name, release.tree, seen)
    sign_payload(payload, key, release.document(REBUILD_FILE))
    return release


def test_each_document_and_each_signed_form_is_taken_by_its_standard(release: Release) -> None:
    written = {path.name for path in release.evidence.iterdir()}
    plain = {kind.file for kind in DOCUMENTS}
    assert written == plain | set(map(signed_name, plain)) | {REBUILD_FILE}
    found = {name: fault_of(name, release.document(name).read_bytes()) for name in sorted(written)}
    assert set(found.values()) == {None}, found


def test_a_bill_that_is_not_whole_is_not_kept(release: Release, tmp_path: Path) -> None:
    path = tmp_path / SBOM
    for data, is_whole in (
        (release.document(SBOM).read_bytes(), True),
        (release.document(SBOM).read_bytes().replace(b"bin/fixture", b"bin/fixturf"), False),
        (b"[]", False),
    ):
        path.write_bytes(data)
        assert is_whole_sbom(path, release.bundle) == is_whole


def test_an_archive_comes_with_all_that_is_said_of_its_bundle(
    project: FixtureProject, tmp_path: Path
) -> None:
    """Of a real build, whose finding VEX speaks of; conformance is the one document that `build` does not write."""
    project.advise("medium", "request")
    built = project.recipes("build")
    record = re.search(r"^record: +(.+)$", built.out, re.MULTILINE)
    assert record, built.err
    digest = re.search(r"^digest: +sha256:([0-9a-f]{64})", built.out, re.MULTILINE)
    assert digest
    Path(record[1]).with_name(CONFORMANCE).write_text(to_json(conformance(Sha256(digest[1]))))
    packed = project.recipes("build", "--archive", str(tmp_path / "out"))
    assert packed.status == 0, packed.err
    (archive,) = (tmp_path / "out").glob("*.tar.zst")
    beside = evidence_of_archive(archive)
    assert {path.name for path in beside.iterdir()} >= {kind.file for kind in DOCUMENTS}
    for path in beside.iterdir():
        assert fault_of(path.name, path.read_bytes()) is None, path.name
    assert b"squares-are-round" in (beside / VEX_CYCLONEDX).read_bytes()
    assert b"squares-are-round" in (beside / VEX_OPENVEX).read_bytes()


GONE = object()
STATEMENT = [
    (("_type",), "https://in-toto.io/Statement/v9"),
    (("subject",), []),
    (("subject", 0, "digest"), {}),
    (("predicateType",), "https://example.invalid/other"),
    (("predicateType",), GONE),
    (("more",), 1),
]
OF_PROVENANCE = [
    (("buildDefinition", "buildType"), GONE),
    (("buildDefinition", "externalParameters"), GONE),
    (("buildDefinition", "more"), 1),
    (("buildDefinition", "resolvedDependencies", 0), {"name": "no place and no digest"}),
    (("buildDefinition", "resolvedDependencies", 0, "digest"), "text"),
    (("runDetails", "builder", "id"), ""),
    (("runDetails", "builder", "id"), GONE),
    (("runDetails", "metadata", "startedOn"), "2026-11-30T08:00:00+00:00"),
    (("runDetails", "metadata", "finishedOn"), "yesterday"),
    (("runDetails", "byproducts", 0, "content"), "no base64!"),
]
OF_BILL = [
    (("bomFormat",), "SPDX"),
    (("specVersion",), "1.5"),
    (("serialNumber",), "1"),
    (("more",), 1),
    (("components", 0, "type"), "nothing"),
    (("components", 0, "name"), GONE),
    (("components", 0, "hashes"), [{"alg": "SHA-256", "content": "xyz"}]),
    (("components", 0, "licenses"), [{"license": {"id": "no such licence"}}]),
]
OF_VEX = [
    (("bomFormat",), GONE),
    (("vulnerabilities", 0, "analysis", "state"), "fine"),
    (("vulnerabilities", 0, "ratings", 0, "severity"), "huge"),
]
OF_OPENVEX = [
    (("@context",), "https://example.invalid"),
    (("author",), GONE),
    (("timestamp",), "yesterday"),
    (("statements",), []),
    (("statements", 0, "status"), "fine"),
    (("statements", 0, "status"), "not_affected"),  # without a reason
    (("statements", 0, "vulnerability"), {}),
    (("more",), 1),
]
OF_RESULT = [
    (("result",), "FINE"),
    (("result",), GONE),
    (("configuration",), []),
    (("configuration", 0), {"name": "no digest"}),
    (("passedTests",), "text"),
    (("more",), 1),
]
PLAIN = {SBOM: OF_BILL, VEX_CYCLONEDX: OF_VEX, VEX_OPENVEX: OF_OPENVEX}
PREDICATES = {PROVENANCE: OF_PROVENANCE, CONFORMANCE: OF_RESULT, **PLAIN}
INSIDE = [
    (name, path, value)
    for name, changes in PREDICATES.items()
    for path, value in (*STATEMENT, *((("predicate", *path), value) for path, value in changes))
]


def changed(content: Any, path: tuple[str | int, ...], value: object) -> Any:  # noqa: ANN401 - JSON
    inner = content
    for step in path[:-1]:
        inner = inner[step]
    if value is GONE:
        del inner[path[-1]]
    else:
        inner[path[-1]] = value
    return content


@pytest.mark.parametrize(
    ("name", "path", "value"),
    [
        *((name, path, value) for name, changes in PLAIN.items() for path, value in changes),
        *((PROVENANCE, path, value) for path, value in STATEMENT),
        *((PROVENANCE, ("predicate", *path), value) for path, value in OF_PROVENANCE),
    ],
)
def test_a_broken_document_is_not_taken(
    release: Release, name: str, path: tuple[str | int, ...], value: object
) -> None:
    content = changed(json.loads(release.document(name).read_bytes()), path, value)
    assert fault_of(name, json.dumps(content).encode()) is not None


@pytest.mark.parametrize(("name", "path", "value"), INSIDE)
def test_a_broken_statement_in_an_envelope_is_not_taken(
    release: Release, name: str, path: tuple[str | int, ...], value: object
) -> None:
    envelope = json.loads(release.signed(name).read_bytes())
    said = changed(json.loads(base64.b64decode(envelope["payload"])), path, value)
    envelope["payload"] = base64.b64encode(json.dumps(said).encode()).decode()
    assert fault_of(signed_name(name), json.dumps(envelope).encode()) is not None


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (("payloadType",), "application/json"),
        (("payload",), GONE),
        (("signatures",), []),
        (("signatures", 0, "sig"), GONE),
    ],
)
def test_a_broken_envelope_is_not_taken(release: Release, path: tuple[str | int, ...], value: object) -> None:
    content = changed(json.loads(release.signed(SBOM).read_bytes()), path, value)
    assert fault_of(signed_name(SBOM), json.dumps(content).encode()) is not None
