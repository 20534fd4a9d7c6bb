"""Where the documents of a bundle lie, and their names: files of one folder, beside the bundle and never in it."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

    from recipes.store.store import Store

PROVENANCE = "provenance.json"  # in-toto Statement v1, SLSA Provenance v1
SBOM = "sbom.cdx.json"  # CycloneDX
VEX_CYCLONEDX = "vex.cdx.json"
VEX_OPENVEX = "vex.openvex.json"
CONFORMANCE = "conformance.json"  # the result file of the command `conformance`
SIGNED = ".dsse.json"  # what the name of a signed one ends in, in the place of .json
ARCHIVE = ".tar.zst"


def evidence_folder(store: Store, bundle_key: str) -> Path:
    """Return the folder that holds the documents of a bundle in the store."""
    return store.evidence / bundle_key


def evidence_of_archive(archive: Path) -> Path:
    """Return the folder that holds the documents of a packed bundle: A.evidence beside A.tar.zst."""
    return archive.with_name(archive.name.removesuffix(ARCHIVE) + ".evidence")


def checksum_of_archive(archive: Path) -> Path:
    """Return the file that holds an archive's SHA-256, in the format of sha256sum."""
    return archive.with_name(archive.name + ".sha256")


def signed_name(document: str) -> str:
    """Return the name of a document's signed form: provenance.json is signed in provenance.dsse.json."""
    return document.removesuffix(".json") + SIGNED
