"""What a verification looks at, read already: a bundle, its documents, and what this checkout says of both. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from recipes.build.evidence_files import (
    CONFORMANCE,
    PROVENANCE,
    SBOM,
    VEX_CYCLONEDX,
    VEX_OPENVEX,
)
from recipes.evidence.statement import CYCLONEDX_BOM, OPENVEX, SLSA_PROVENANCE, TEST_RESULT

if TYPE_CHECKING:
    from collections.abc import Mapping

    from recipes.build.advisories import Finding
    from recipes.core.digest import Sha256, TreeEntry


@dataclass(frozen=True)
class DocumentKind:
    """A document of a bundle: its file, what a policy calls it, and the type of the predicate that it is signed as."""

    file: str
    demand: str
    predicate_type: str


DOCUMENTS = (
    DocumentKind(PROVENANCE, "provenance", SLSA_PROVENANCE),
    DocumentKind(SBOM, "sbom", CYCLONEDX_BOM),
    DocumentKind(VEX_CYCLONEDX, "vex", CYCLONEDX_BOM),
    DocumentKind(VEX_OPENVEX, "vex", OPENVEX),
    DocumentKind(CONFORMANCE, "conformance", TEST_RESULT),
)
REBUILD_PREFIX = "rebuild-"  # rebuild-NAME.dsse.json: what one rebuilder says


@dataclass(frozen=True)
class Subject:
    """The bytes that are verified.

    Parameters
    ----------
    where
        The file or folder, as the user named it.
    tree, files
        The bundle's tree digest, and each of its files.
    record, components
        The bytes of build.json, and of the table of what is in it; None where it has none.
    archive
        The archive's name and digest, where it is one.
    """

    where: str
    tree: Sha256
    files: Mapping[str, TreeEntry]
    record: bytes | None
    archive: tuple[str, Sha256] | None = None
    components: bytes | None = None


@dataclass(frozen=True)
class Expectation:
    """What this checkout's manifests say of a recipe and platform; `output` is None where nothing is pinned.

    `findings` is what is known against the recipe, and how it stands to each.
    """

    name: str
    output: Sha256 | None
    unpinned: str
    plan_sha256: str
    commit: str
    findings: tuple[Finding, ...] = ()


@dataclass(frozen=True)
class Material:
    """All that is looked at: the bundle, the files beside it by name, and what this checkout expects, or why nothing.

    `checksum` is the line of the archive's .sha256 file.
    """

    subject: Subject
    documents: Mapping[str, bytes]
    expected: Expectation | str
    checksum: bytes | None = None
