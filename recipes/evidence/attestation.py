"""From the documents of a bundle to the statements that are signed: each is checked before anybody signs it. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

from recipes.build.evidence_files import CONFORMANCE, PROVENANCE
from recipes.core.digest import Sha256
from recipes.evidence.bundle_judgements import name_of, read_record
from recipes.evidence.documents import check_about, check_type
from recipes.evidence.json_document import list_at, read_object, text_at
from recipes.evidence.sbom_judgements import judge_sbom
from recipes.evidence.statement import parse_statement, statement, subjects_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    from recipes.evidence.material import DocumentKind, Subject

PASSED, WARNED, FAILED = "PASSED", "WARNED", "FAILED"  # results of in-toto's test-result
RESULTS = {"passed": "passedTests", "deviates": "warnedTests", "failed": "failedTests"}


def statement_of(kind: DocumentKind, data: bytes, subject: Subject) -> bytes:
    """Return the statement that says of a bundle what one of its documents says.

    Raises ValueError, in words, where the document is none of its kind, or of another bundle.
    """
    name = name_of(read_record(subject.record))
    subjects = subjects_of(name, subject.tree, subject.archive)
    if kind.file == PROVENANCE:
        said = parse_statement(data)
        check_type(said, kind.predicate_type)
        check_about(said, subject)
        return statement(subjects, kind.predicate_type, said.predicate)
    content = read_object(data)
    if kind.file == CONFORMANCE:
        if text_at(content, "digest") != str(subject.tree):
            raise ValueError(f"the result of another bundle: {text_at(content, 'digest') or 'none'}")
        return statement(subjects, kind.predicate_type, test_result(content, data))
    if kind.demand == "sbom":
        for row in judge_sbom(content, subject, read_record(subject.record)):
            if not row.holds:
                raise ValueError(f"{row.what}: {row.found}, not {row.expected}")
    return statement(subjects, kind.predicate_type, content)


def test_result(content: Mapping[str, object], data: bytes) -> dict[str, object]:
    """Return a result of conformance as in-toto's test-result, which names the document by its digest.

    https://github.com/in-toto/attestation/blob/main/spec/predicates/test-result.md
    """
    names: dict[str, list[str]] = {key: [] for key in RESULTS.values()}
    for outcome in list_at(content, "outcomes"):
        if (key := RESULTS.get(text_at(outcome, "verdict"))) is not None:
            names[key].append(f"{text_at(outcome, 'part')}: {text_at(outcome, 'name')}")
    passes = text_at(content, "verdict") == "passes" and not names["failedTests"]
    models = [
        {"name": text_at(each, "name"), "digest": {"sha256": text_at(each, "digest").removeprefix("sha256:")}}
        for each in list_at(content, "files")
    ]
    document = {"name": CONFORMANCE, "digest": {"sha256": Sha256.of_bytes(data).hex}}
    return {
        "result": (WARNED if names["warnedTests"] else PASSED) if passes else FAILED,
        "configuration": [document, *models],
        **names,
    }
