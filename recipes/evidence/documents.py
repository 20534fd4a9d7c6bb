"""The documents beside a bundle: whether each is there, whole, signed as demanded, and about this bundle. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from recipes.build.evidence_files import CONFORMANCE, PROVENANCE, signed_name
from recipes.core.digest import Sha256
from recipes.core.filesystem import shown
from recipes.evidence.envelope import EnvelopeError, Opened, open_envelope
from recipes.evidence.json_document import list_at, read_object, text_at, value_at
from recipes.evidence.judgement import Judgement, State, fails, holds, missing
from recipes.evidence.material import DOCUMENTS, REBUILD_PREFIX, DocumentKind, Subject
from recipes.evidence.statement import FILE, GIT_TREE, Statement, parse_statement

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from securesystemslib.signer import SSlibKey


@dataclass(frozen=True)
class Document:
    """One document: what it says, None where that cannot be used, and what was judged of it."""

    kind: DocumentKind
    content: Mapping[str, object] | None
    judgements: tuple[Judgement, ...]


def read_document(  # noqa: PLR0913 - one document, and what is demanded of it
    kind: DocumentKind,
    files: Mapping[str, bytes],
    subject: Subject,
    keys: Sequence[SSlibKey],
    signatures: int,
    *,
    is_demanded: bool,
) -> Document:
    """Read a document and its envelope; `signatures` is how many of the keys must have signed it.

    What is signed is what counts: the document beside an envelope must be the same. Content that is damaged, of another
    bundle, or contradicts itself is given to nobody.
    """
    plain, sealed = files.get(kind.file), files.get(signed_name(kind.file))
    if plain is None and sealed is None:
        row = missing(kind.file, "the document, or its signed form", "neither")
        return Document(kind, None, (row,) if is_demanded else ())
    rows: list[Judgement] = []
    try:
        beside = None if plain is None else _content_of_plain(kind, plain, subject)
        rows.append(_signatures(kind, sealed, keys, signatures))
        if sealed is None:
            rows.append(holds(kind.file, "a whole document", "not signed"))
            return Document(kind, _usable(beside, rows), tuple(rows))
        said = _statement_of(kind, open_envelope(sealed, keys), subject)
        content = _content_of_signed(kind, said, plain, beside)
    except EnvelopeError as error:
        rows = [fails(signed_name(kind.file), "a whole envelope", str(error))]
        return Document(kind, None, tuple(rows))
    except ValueError as error:
        return Document(kind, None, (fails(kind.file, f"about {subject.tree}", str(error)),))
    return Document(kind, _usable(content, rows), tuple(rows))


def judge_documents(files: Mapping[str, bytes], subject: Subject) -> Iterator[Judgement]:
    """Judge what is said of a bundle by itself, whoever signed it: each document whole, and about this bundle alone."""
    for kind in DOCUMENTS:
        yield from read_document(kind, files, subject, (), 0, is_demanded=False).judgements
    yield from unknown_files(files)


def unknown_files(files: Mapping[str, bytes]) -> Iterator[Judgement]:
    """Judge each file that is no document of a bundle: nobody vouches for it."""
    known = {kind.file for kind in DOCUMENTS} | {signed_name(kind.file) for kind in DOCUMENTS}
    for name in sorted(files):
        if name not in known and not is_rebuild(name):
            expected = "documents and their signed forms alone"
            yield fails(f"file {shown(name)}", expected, "a file that nobody signs or asks for")


def is_rebuild(name: str) -> bool:
    """Whether a file is called as what a rebuilder signed."""
    return name.startswith(REBUILD_PREFIX) and name.endswith(signed_name(""))


def check_type(said: Statement, predicate_type: str) -> None:
    """Demand that a statement is of a type; raises ValueError, which says of which it is."""
    if said.predicate_type != predicate_type:
        raise ValueError(f"a statement of another type: {said.predicate_type[:100]}")


def check_about(said: Statement, subject: Subject) -> None:
    """Demand that a statement is about a bundle, and about its archive where it names one of that kind.

    Raises ValueError, which says what it is about instead.
    """
    if not said.is_about(GIT_TREE, subject.tree):
        trees = [each.digest[GIT_TREE] for each in said.subjects if GIT_TREE in each.digest]
        raise ValueError(f"a statement about another bundle: {', '.join(trees)[:200] or 'none'}")
    if len([each for each in said.subjects if GIT_TREE in each.digest]) > 1:
        raise ValueError("a statement about several bundles at once")
    if subject.archive and any(FILE in each.digest for each in said.subjects):
        name, digest = subject.archive
        if not said.is_about(FILE, digest):
            raise ValueError(f"a statement about another archive than {shown(name)}, {digest}")


def _signatures(
    kind: DocumentKind, sealed: bytes | None, keys: Sequence[SSlibKey], signatures: int
) -> Judgement:
    what, expected = f"{kind.file}: signatures", f"{signatures} of {len(keys)} trusted keys"
    if sealed is None:
        return (
            missing(what, expected) if signatures else Judgement(what, State.HOLDS, "none demanded", "none")
        )
    opened = open_envelope(sealed, keys)
    by = ", ".join(sorted(each[:16] for each in opened.signed_by)) or "none of them"
    unknown = f"; and {len(opened.unknown)} by keys that nobody asked for" if opened.unknown else ""
    if len(opened.signed_by) >= signatures:
        return holds(what, expected if signatures else "none demanded", by + unknown)
    return fails(what, expected, by + unknown)


def _statement_of(kind: DocumentKind, opened: Opened, subject: Subject) -> Statement:
    said = parse_statement(opened.payload)
    check_type(said, kind.predicate_type)
    check_about(said, subject)
    return said


def _content_of_plain(kind: DocumentKind, data: bytes, subject: Subject) -> Mapping[str, object]:
    if kind.file != PROVENANCE:
        return read_object(data)
    said = parse_statement(data)
    check_type(said, kind.predicate_type)
    check_about(said, subject)
    return said.predicate


def _content_of_signed(
    kind: DocumentKind, said: Statement, plain: bytes | None, beside: Mapping[str, object] | None
) -> Mapping[str, object] | None:
    """Return what a document says; the signed form of conformance binds the document's digest alone."""
    if kind.file == CONFORMANCE:
        if plain is None:
            raise ValueError("the document that was signed is not there")
        if Sha256.of_bytes(plain).hex not in conformance_digests(said.predicate):
            raise ValueError("another document than the one that was signed")
        return beside
    if beside is not None and beside != said.predicate:
        raise ValueError("another document than the one that was signed")
    return said.predicate


def conformance_digests(predicate: Mapping[str, object]) -> list[str]:
    """Return the SHA-256 of each conformance document that a test result is about."""
    return [
        text_at(value_at(each, "digest"), "sha256")
        for each in list_at(predicate, "configuration")
        if text_at(each, "name") == CONFORMANCE
    ]


def _usable(content: Mapping[str, object] | None, rows: Sequence[Judgement]) -> Mapping[str, object] | None:
    return content if all(row.state is State.HOLDS for row in rows) else None
