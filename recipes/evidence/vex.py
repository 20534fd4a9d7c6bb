"""What is known against a recipe, for other programs: CycloneDX VEX and OpenVEX. Pure: equal findings, equal bytes.

CycloneDX 1.6, cyclonedx.org/docs/1.6/json, "vulnerabilities"; OpenVEX 0.2.0, github.com/openvex/spec, OPENVEX-SPEC.md.
"""

from __future__ import annotations

import hashlib
import json
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any
from uuid import NAMESPACE_URL, uuid5

from recipes.build.evidence_files import VEX_CYCLONEDX, VEX_OPENVEX
from recipes.manifest.affected import component_version, package_urls

if TYPE_CHECKING:
    from collections.abc import Sequence

    from recipes.build.advisories import Finding
    from recipes.manifest.schema import Advisory, Recipe

AUTHOR = "pinned-llama"
OPENVEX_CONTEXT = "https://openvex.dev/ns/v0.2.0"
# OpenVEX's justifications, in CycloneDX's words
JUSTIFICATIONS = {
    "component_not_present": "code_not_present",
    "vulnerable_code_not_present": "code_not_present",
    "vulnerable_code_not_in_execute_path": "code_not_reachable",
    "vulnerable_code_cannot_be_controlled_by_adversary": "code_not_reachable",
    "inline_mitigations_already_exist": "protected_by_mitigating_control",
}
STATES = {
    "affected": "exploitable",
    "not_affected": "not_affected",
    "under_investigation": "in_triage",
    "fixed": "resolved",
}
WITH_PATCH = "resolved_with_pedigree"  # the SBOM's pedigree has the patch
METHODS = {"CVSS:3.0": "CVSSv3", "CVSS:3.1": "CVSSv31", "CVSS:4.0": "CVSSv4"}


def vex_documents(recipe: Recipe, found: Sequence[Finding]) -> dict[str, bytes]:
    """Return both documents by their file names; none where nothing is known, of which neither form can speak."""
    if not found:
        return {}
    return {VEX_CYCLONEDX: cyclonedx_vex(recipe, found), VEX_OPENVEX: openvex(recipe, found)}


def product_url(recipe: Recipe) -> str:
    """Return the package URL that the documents know a recipe's bundles by, on any platform."""
    return f"pkg:generic/{AUTHOR}/llama.cpp@{recipe.name}"


def component_url(recipe: Recipe, advisory: Advisory) -> str:
    """Return the package URL of what a finding is about, with the version that the recipe carries."""
    return package_urls(recipe).get(advisory.component, f"pkg:generic/{advisory.component}")


def openvex(recipe: Recipe, found: Sequence[Finding]) -> bytes:
    """Return the findings as an OpenVEX document. Its time is the last day on which the sources were looked at."""
    statements = [_statement(recipe, one) for one in found]
    digest = hashlib.sha256(json.dumps(statements, sort_keys=True).encode()).hexdigest()
    document = {
        "@context": OPENVEX_CONTEXT,
        "@id": f"urn:{AUTHOR}:openvex:{recipe.name}:{digest[:32]}",
        "author": AUTHOR,
        "timestamp": _midnight(_last_day(found)),
        "version": 1,
        "statements": statements,
    }
    return json.dumps(document, indent=2, ensure_ascii=False).encode() + b"\n"


def _statement(recipe: Recipe, one: Finding) -> dict[str, Any]:
    advisory, standing = one.advisory, one.standing
    product = {
        "@id": product_url(recipe),
        "identifiers": {"purl": product_url(recipe)},
        "subcomponents": [{"@id": component_url(recipe, advisory)}],
    }
    statement: dict[str, Any] = {
        "vulnerability": {"name": advisory.id, "description": advisory.summary},
        "timestamp": _midnight(advisory.checked),
        "products": [product],
        "status": one.status,
        "status_notes": one.evidence,
    }
    if advisory.aliases:
        statement["vulnerability"]["aliases"] = list(advisory.aliases)
    if one.justification:
        statement["justification"] = one.justification
    if standing is not None and standing.action is not None:
        statement["action_statement"] = standing.action
    return statement


def cyclonedx_vex(recipe: Recipe, found: Sequence[Finding]) -> bytes:
    """Return the findings as a CycloneDX document, about the recipe and the components that it carries."""
    from cyclonedx.model.bom import Bom, BomMetaData
    from cyclonedx.model.component import Component, ComponentType
    from cyclonedx.output.json import JsonV1Dot6
    from packageurl import PackageURL

    def component(name: str, url: str, kind: ComponentType, version: str | None) -> Component:
        return Component(name=name, type=kind, version=version, bom_ref=url, purl=PackageURL.from_string(url))

    product = component("llama.cpp", product_url(recipe), ComponentType.APPLICATION, recipe.name)
    carried = package_urls(recipe)
    named = {one.advisory.component for one in found}
    bom = Bom(
        serial_number=uuid5(NAMESPACE_URL, hashlib.sha256(openvex(recipe, found)).hexdigest()),
        metadata=BomMetaData(component=product, timestamp=_day(_last_day(found))),
        components=[
            component(name, url, ComponentType.LIBRARY, component_version(recipe, name))
            for name, url in carried.items()
            if name in named
        ],
        vulnerabilities=[_vulnerability(recipe, one) for one in found],
    )
    bom.register_dependency(product, list(bom.components))
    return JsonV1Dot6(bom).output_as_string(indent=2).encode() + b"\n"


def _vulnerability(recipe: Recipe, one: Finding) -> Any:  # noqa: ANN401 - the library is imported where it is used
    from cyclonedx.model import XsUri
    from cyclonedx.model.impact_analysis import (
        ImpactAnalysisAffectedStatus,
        ImpactAnalysisJustification,
        ImpactAnalysisState,
    )
    from cyclonedx.model.vulnerability import (
        BomTarget,
        BomTargetVersionRange,
        Vulnerability,
        VulnerabilityAdvisory,
        VulnerabilityAnalysis,
        VulnerabilityReference,
        VulnerabilitySource,
    )

    advisory, standing = one.advisory, one.standing
    state = WITH_PATCH if standing is not None and standing.patch is not None else STATES[one.status]
    justification = JUSTIFICATIONS[one.justification] if one.justification else None
    version = component_version(recipe, advisory.component)
    in_range = {"affected": "affected", "under_investigation": "unknown"}.get(one.status, "unaffected")
    source = VulnerabilitySource(name=_publisher(advisory.id), url=XsUri(advisory.links[0]))
    return Vulnerability(
        bom_ref=advisory.id,
        id=advisory.id,
        source=source,
        references=[
            VulnerabilityReference(id=alias, source=VulnerabilitySource(name=_publisher(alias)))
            for alias in advisory.aliases
        ],
        ratings=_ratings(advisory),
        cwes=[int(name.removeprefix("CWE-")) for name in advisory.weaknesses],
        description=advisory.summary,
        detail=f"{advisory.says}. Affects {advisory.affects}.",
        recommendation=standing.action if standing else None,
        advisories=[VulnerabilityAdvisory(url=XsUri(link)) for link in advisory.links],
        analysis=VulnerabilityAnalysis(
            state=ImpactAnalysisState(state),
            justification=ImpactAnalysisJustification(justification) if justification else None,
            detail=one.evidence,
            last_updated=_day(advisory.checked),
        ),
        affects=[
            BomTarget(
                ref=package_urls(recipe).get(advisory.component, product_url(recipe)),
                versions=[
                    BomTargetVersionRange(version=version, status=ImpactAnalysisAffectedStatus(in_range))
                ]
                if version
                else None,
            )
        ],
    )


def _ratings(advisory: Advisory) -> list[Any]:
    from cyclonedx.model.vulnerability import (
        VulnerabilityRating,
        VulnerabilityScoreSource,
        VulnerabilitySeverity,
    )

    severity = VulnerabilitySeverity(advisory.severity)
    rated = [
        VulnerabilityRating(
            severity=severity,
            method=VulnerabilityScoreSource(METHODS.get(vector[:8], "other")),
            vector=vector,
        )
        for vector in advisory.cvss
    ]
    return rated or [VulnerabilityRating(severity=severity)]


def _publisher(name: str) -> str:
    return {"CVE": "NVD", "GHSA": "GitHub"}.get(name.partition("-")[0], AUTHOR)


def _last_day(found: Sequence[Finding]) -> str:
    return max(one.advisory.checked for one in found)


def _day(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def _midnight(day: str) -> str:
    return f"{day}T00:00:00Z"
