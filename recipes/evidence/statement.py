"""In-toto statements, version 1: which bytes a document is about, and what it says of them. Pure.

The specification: github.com/in-toto/attestation, spec/v1. Predicate types: slsa.dev/spec/v1.0/provenance,
in-toto's test-result, cyclonedx.org/specification/overview (attestations), github.com/openvex/spec.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from recipes.evidence.json_document import read_object, write_object

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from recipes.core.digest import Sha256

STATEMENT = "https://in-toto.io/Statement/v1"
SLSA_PROVENANCE = "https://slsa.dev/provenance/v1"
CYCLONEDX_BOM = "https://cyclonedx.org/bom"
OPENVEX = "https://openvex.dev/ns"
TEST_RESULT = "https://in-toto.io/attestation/test-result/v0.1"
STAGE = "urn:pinned-llama:stage:1"  # which tree a stage of a build has that nothing pins
REBUILD = "urn:pinned-llama:rebuild:1"  # what a rebuilder saw, recipes/evidence/rebuild.py

GIT_TREE, FILE = "gitTree", "sha256"  # kinds of digest: of a bundle, of its archive


@dataclass(frozen=True)
class Subject:
    """Bytes that a statement is about: a name for people, and digests by kind."""

    name: str
    digest: Mapping[str, str]


@dataclass(frozen=True)
class Statement:
    """What is said of which bytes."""

    subjects: tuple[Subject, ...]
    predicate_type: str
    predicate: Mapping[str, object]

    def is_about(self, kind: str, digest: Sha256) -> bool:
        """Return whether a subject has this digest of this kind."""
        return any(subject.digest.get(kind) == digest.hex for subject in self.subjects)


def subjects_of(name: str, tree: Sha256, archive: tuple[str, Sha256] | None = None) -> tuple[Subject, ...]:
    """Return the subjects of every statement about a bundle, or about a bundle in an archive of that name."""
    bundle = Subject(name, {GIT_TREE: tree.hex})
    return (bundle,) if archive is None else (bundle, Subject(archive[0], {FILE: archive[1].hex}))


def statement(subjects: Iterable[Subject], predicate_type: str, predicate: Mapping[str, object]) -> bytes:
    """Return a statement; equal ones have equal bytes."""
    return write_object(
        {
            "_type": STATEMENT,
            "subject": [{"name": each.name, "digest": dict(each.digest)} for each in subjects],
            "predicateType": predicate_type,
            "predicate": predicate,
        }
    )


def parse_statement(data: bytes) -> Statement:
    """Return a statement that somebody made; raises ValueError, in words, where it is none."""
    content = read_object(data)
    if content.get("_type") != STATEMENT:
        raise ValueError("no in-toto statement of version 1")
    predicate, kind, subjects = (content.get(name) for name in ("predicate", "predicateType", "subject"))
    if not isinstance(predicate, dict) or not isinstance(kind, str):
        raise ValueError("a statement without predicateType or predicate")  # noqa: TRY004 - of others' bytes
    if not isinstance(subjects, list) or not subjects:
        raise ValueError("a statement about nothing: it has no subject")
    return Statement(tuple(map(_subject, subjects)), kind, predicate)


def _subject(content: object) -> Subject:
    digest = content.get("digest") if isinstance(content, dict) else None
    if not isinstance(content, dict) or not isinstance(digest, dict) or not digest:
        raise ValueError("a subject without a digest")
    if not all(isinstance(each, str) for each in (content.get("name", ""), *digest.values())):
        raise ValueError("a subject whose name or digest is not text")
    return Subject(content.get("name", ""), digest)
