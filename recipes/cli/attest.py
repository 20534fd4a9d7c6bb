"""The session `attest`: makes keys, and signs what is said of a bundle."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from recipes.cli.job import open_manifests
from recipes.cli.options import Parser, Session
from recipes.cli.private_keys import refuse_checkout
from recipes.core.errors import EvidenceError, UsageError
from recipes.core.filesystem import shown, storage_errors, write_durably
from recipes.core.invocation import command_line

if TYPE_CHECKING:
    import argparse

    from securesystemslib.signer import CryptoSigner

    from recipes.evidence.material import DocumentKind, Subject
    from recipes.manifest.load import Manifests

PUBLIC = ".pub"


def add_options(parser: Parser) -> None:
    """Add the session's options."""
    parser.add_argument(
        "bundle", type=Path, nargs="?", metavar="BUNDLE|ARCHIVE", help="a bundle's folder or archive"
    )
    parser.add_argument(
        "--key",
        type=Path,
        metavar="FILE",
        help="the private key to sign with (default: only say what there is to sign)",
    )
    parser.add_argument(
        "--new-key",
        type=Path,
        metavar="FILE",
        help="make a key pair: FILE for the private key, outside of any checkout, FILE.pub for the public one",
    )
    parser.add_argument(
        "--evidence",
        type=Path,
        metavar="FOLDER",
        help="where the documents of the bundle lie (default: beside it, in NAME.evidence)",
    )


def run(options: argparse.Namespace) -> int:
    """Make a key, or sign the documents of a bundle."""
    if (options.bundle is None) == (options.new_key is None):
        raise UsageError(
            where="attest",
            expected="a bundle or an archive, or --new-key FILE; one of the two",
            found="neither" if options.bundle is None else "both",
            fix=command_line(["attest", "--new-key", "~/release.key"]),
        )
    if options.new_key is not None:
        return make_key(options.new_key)
    return attest(options.bundle, options.key, options.evidence, open_manifests(options))


def make_key(path: Path) -> int:
    """Write a new key pair, and print the public key."""
    from recipes.evidence.keys import digits_of, new_signer, public_pem

    refuse_checkout(path)
    signer = new_signer()
    with storage_errors(path):
        try:
            descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
        except FileExistsError as error:
            raise UsageError(
                where=f"--new-key {shown(str(path))}",
                expected="no file of that name: a key is never written over",
                found="one",
                fix="choose another name",
            ) from error
        with os.fdopen(descriptor, "wb") as file:
            file.write(signer.private_bytes)
            file.flush()
            os.fsync(file.fileno())
        public = path.with_name(path.name + PUBLIC)
        write_durably(public, public_pem(signer.public_key))
    print(f"private:  {path} (keep it to yourself: who has it signs in your name)")
    print(f"public:   {public}")
    print(f"key:      {digits_of(signer.public_key)}")
    print(f"id:       {signer.public_key.keyid}")
    return 0


def attest(path: Path, key: Path | None, evidence: Path | None, manifests: Manifests) -> int:
    """Sign each document of a bundle that is there, and name those that are not."""
    from recipes.cli.evidence_input import (
        evidence_beside,
        expectation,
        opened_bundle,
        read_documents,
        read_private_key,
    )
    from recipes.evidence.bundle_judgements import read_record
    from recipes.evidence.json_document import text_at
    from recipes.evidence.material import DOCUMENTS, Expectation
    from recipes.evidence.vex_files import write_vex

    signer = None
    if key is not None:
        refuse_checkout(key)
        signer = read_private_key(key)
    folder = evidence or evidence_beside(path)
    with opened_bundle(path) as (_, subject):
        if signer is not None:
            name = text_at(read_record(subject.record), "recipe")
            if (
                name in manifests.recipe_names()
            ):  # what is known now, in the place of what was when it was built
                write_vex(manifests.recipe(name), manifests, folder)
        files = read_documents(folder)
        statements = {kind: _statement(kind, files, subject) for kind in DOCUMENTS if kind.file in files}
    print(f"bundle:   {subject.where}")
    expected = expectation(manifests, read_record(subject.record))
    is_pinned = isinstance(expected, Expectation) and expected.output == subject.tree
    print(f"digest:   {subject.tree} ({'the pinned one' if is_pinned else 'not pinned here'})")
    is_nothing_known = isinstance(expected, Expectation) and not expected.findings
    for kind in DOCUMENTS:
        if kind not in statements:
            if kind.demand == "vex" and is_nothing_known:
                continue
            print(f"missing:  {kind.file}")
        elif signer is None:
            print(f"unsigned: {kind.file}, {kind.predicate_type}")
        else:
            print(f"signed:   {_write(folder, kind, files, statements[kind], signer)}")
    if signer is not None:
        print(f"id:       {signer.public_key.keyid}")
    return 0


def _statement(kind: DocumentKind, files: dict[str, bytes], subject: Subject) -> bytes:
    from recipes.evidence.attestation import statement_of

    try:
        return statement_of(kind, files[kind.file], subject)
    except ValueError as error:
        raise EvidenceError(
            where=f"{subject.where}: {kind.file}",
            expected=f"a document about {subject.tree}",
            found=shown(str(error)),
            fix="nothing was signed: make the document again, or remove it",
        ) from error


def _write(
    folder: Path, kind: DocumentKind, files: dict[str, bytes], statement: bytes, signer: CryptoSigner
) -> Path:
    """Sign a statement; signatures of others by an envelope of the same statement stay."""
    from recipes.build.evidence_files import signed_name
    from recipes.evidence.envelope import EnvelopeError, sign

    path = folder / signed_name(kind.file)
    before = files.get(path.name)
    try:
        data = sign(statement, signer, before=before)
    except EnvelopeError:  # of the document as it was: that word does not hold any more
        data = sign(statement, signer)
    with storage_errors(path):
        write_durably(path, data)
    return path


SESSION = Session(
    "attest",
    "Sign what is said of a bundle: provenance, bill of materials, vulnerabilities, conformance.",
    add_options,
    run,
    example="out/llama.cpp-b11312-linux-x86_64-cpu.tar.zst --key ~/release.key",
)
