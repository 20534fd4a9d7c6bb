"""Reads what a user gives: bundles, archives, the documents beside them, keys."""

from __future__ import annotations

import os
import tempfile
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from recipes.build.advisories import findings
from recipes.build.evidence_files import checksum_of_archive, evidence_of_archive
from recipes.build.plan.plan import make_plan
from recipes.core.digest import Sha256, hash_file
from recipes.core.errors import EvidenceError, UsageError
from recipes.core.filesystem import shown, storage_errors
from recipes.evidence.bundle_judgements import read_record
from recipes.evidence.json_document import text_at
from recipes.evidence.keys import KeyFileError, read_public_key, read_signer
from recipes.evidence.material import Expectation, Material, Subject
from recipes.evidence.subject import read_document, read_subject
from recipes.fetch.archives.unpack import unpack

if TYPE_CHECKING:
    from collections.abc import Iterator

    from securesystemslib.signer import CryptoSigner, SSlibKey

    from recipes.manifest.load import Manifests

MOST_DOCUMENTS = 1000
MOST_KEY_BYTES = 10_000
OTHERS = 0o077  # permissions of all users but the owner
NO_FILE = "the archive or the folder of a bundle, as `build` writes it"


@contextmanager
def opened_bundle(path: Path) -> Iterator[tuple[Path, Subject]]:
    """Yield the folder of a bundle, unpacked where it is an archive, and what it is; every byte is hashed.

    Raises UsageError where there is nothing, ArchiveError where an archive is not safe, and EvidenceError where it is
    not one bundle.
    """
    if path.is_dir():
        yield path, subject_of(path, path)
        return
    if not path.is_file():
        found = "neither a file nor a folder" if os.path.lexists(path) else "nothing there"
        raise UsageError(where=shown(str(path)), expected=NO_FILE, found=found, fix="name one that is there")
    with tempfile.TemporaryDirectory(prefix="pinned-llama-") as work, storage_errors(Path(work)):
        digest = hash_file(path)
        unpack(path, Path(work) / "all", subdirectory=".", drop=(), where=shown(str(path)))
        tops = sorted((Path(work) / "all").iterdir())
        if len(tops) != 1 or not tops[0].is_dir() or tops[0].is_symlink():
            raise EvidenceError(
                where=shown(str(path)),
                expected="one folder at the top, and the bundle in it",
                found=", ".join(shown(top.name) for top in tops[:5]) or "nothing",
                fix="do not use it: `build -- --archive` writes no such archive",
            )
        yield tops[0], subject_of(tops[0], path, (path.name, digest))


def subject_of(folder: Path, named: Path, archive: tuple[str, Sha256] | None = None) -> Subject:
    """Return what a bundle's folder is; raises EvidenceError where it holds a device or the like."""
    with storage_errors(folder):
        try:
            return read_subject(folder, shown(str(named)), archive)
        except ValueError as error:
            raise EvidenceError(
                where=shown(str(named)),
                expected="files and folders alone",
                found=shown(str(error)),
                fix="unpack the archive again, into an empty folder",
            ) from error


def material_of(subject: Subject, path: Path, evidence: Path | None, manifests: Manifests) -> Material:
    """Return all that a verification looks at; the documents lie in `evidence`, or where `build` puts them."""
    folder = evidence or evidence_beside(path)
    checksum = checksum_of_archive(path) if subject.archive else None
    return Material(
        subject,
        read_documents(folder),
        expectation(manifests, read_record(subject.record)),
        read_document(checksum) if checksum and checksum.is_file() else None,
    )


def evidence_beside(path: Path) -> Path:
    """Return where the documents of a bundle lie: of the store, of an archive, or beside an unpacked folder."""
    path = path.absolute()
    if path.is_dir() and path.parent.name == "entries":
        return path.parent.parent / "evidence" / path.name
    return path.with_name(f"{path.name}.evidence") if path.is_dir() else evidence_of_archive(path)


def read_documents(folder: Path) -> dict[str, bytes]:
    """Return the files of a folder by name; what is none, or too large to be a document, is empty and so no document.

    Raises EvidenceError where there are too many.
    """
    if not folder.is_dir():
        return {}
    with storage_errors(folder):
        names = sorted(item.name for item in folder.iterdir())
        if len(names) > MOST_DOCUMENTS:
            raise EvidenceError(
                where=shown(str(folder)),
                expected=f"at most {MOST_DOCUMENTS} files",
                found=str(len(names)),
                fix="remove what is no document of the bundle",
            )
        return {name: read_document(folder / name) for name in names}


def expectation(manifests: Manifests, record: object) -> Expectation | str:
    """Return what the manifests say of the bundle with a record, or why they say nothing."""
    recipe_name, platform_name = text_at(record, "recipe"), text_at(record, "platform")
    if recipe_name not in manifests.recipe_names():
        return f"no recipe {shown(recipe_name)} in this checkout" if recipe_name else "no record"
    recipe = manifests.recipe(recipe_name)
    platform = recipe.platforms.get(platform_name)
    if platform is None:
        return f"no platform {shown(platform_name)} in the recipe {recipe_name}"
    plan = make_plan(recipe, platform_name, manifests.toolchain(platform.toolchain))
    return Expectation(
        name=plan.name,
        output=platform.output,
        unpinned=platform.output_unpinned or "",
        plan_sha256=plan.digest.hex,
        commit=recipe.source.commit.hex,
        findings=findings(recipe, manifests.advisories()),
    )


def read_keys(paths: list[Path]) -> tuple[SSlibKey, ...]:
    """Return public keys by their files; raises UsageError where one is none."""
    return tuple(_public_key(path) for path in paths)


def read_private_key(path: Path) -> CryptoSigner:
    """Return the signer of a private key's file, which only its owner may read; raises UsageError where it is none."""
    try:
        return read_signer(_read_key(path, forbidden=OTHERS))
    except KeyFileError as error:
        raise UsageError(
            where=f"--key {shown(str(path))}",
            expected="an ed25519 private key in PEM that only its owner can read",
            found=str(error),
            fix="python3 noxfile.py -s attest -- --new-key FILE makes one",
        ) from error


def _public_key(path: Path) -> SSlibKey:
    try:
        return read_public_key(_read_key(path))
    except KeyFileError as error:
        raise UsageError(
            where=f"--key {shown(str(path))}",
            expected="an ed25519 public key: a PEM file, or its 64 digits in a file",
            found=str(error),
            fix="name the file FILE.pub that `attest -- --new-key FILE` wrote, as its owner published it",
        ) from error


def _read_key(path: Path, *, forbidden: int = 0) -> bytes:
    try:
        with path.open("rb") as file:
            mode, data = os.fstat(file.fileno()).st_mode, file.read(MOST_KEY_BYTES)
    except OSError as error:
        raise KeyFileError(error.strerror or str(error)) from error
    if mode & forbidden:
        raise KeyFileError(f"a file that other users have permissions on: chmod 600 {shown(str(path))}")
    return data
