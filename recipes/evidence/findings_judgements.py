"""What is judged of known vulnerabilities: that VEX speaks of each, and that no grave one passes unsaid. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

from recipes.build.evidence_files import VEX_CYCLONEDX, VEX_OPENVEX
from recipes.evidence.json_document import list_at, text_at, value_at
from recipes.evidence.judgement import Judgement, judge

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from recipes.build.advisories import Finding
    from recipes.evidence.material import Expectation
    from recipes.manifest.policy import Policy


def judge_vex(
    documents: Mapping[str, Mapping[str, object] | None], expected: Expectation | str
) -> Iterator[Judgement]:
    """Judge that each VEX document speaks of every finding that this checkout knows of the recipe."""
    if isinstance(expected, str):
        return
    for file, spoken in ((VEX_CYCLONEDX, spoken_in_cyclonedx), (VEX_OPENVEX, spoken_in_openvex)):
        if (said := documents.get(file)) is None:
            continue
        unsaid = sorted({finding.advisory.id for finding in expected.findings} - spoken(said))
        found = f"none about {', '.join(unsaid[:5])}" if unsaid else f"all {len(expected.findings)}"
        yield judge(
            f"{file}: findings", not unsaid, "a word about each finding that this checkout knows", found
        )


def judge_findings(
    provenance: Mapping[str, object] | None, expected: Expectation | str, policy: Policy
) -> Iterator[Judgement]:
    """Judge what is known against the recipe: what is grave must be permitted, and recorded where it was."""
    if isinstance(expected, str) or policy.findings == "any":
        return
    grave = [finding for finding in expected.findings if finding.is_grave]
    allowed = policy.permits if policy.findings == "permitted" else ()
    refused = [finding for finding in grave if finding.advisory.id not in allowed]
    what, wanted = "policy: findings", "nothing of high severity within reach"
    yield judge(
        what, not refused, wanted + (f", but {', '.join(allowed)}" if allowed else ""), _words(refused)
    )
    if provenance is not None and allowed:
        unrecorded = [finding for finding in grave if finding.advisory.id not in permitted_in(provenance)]
        found = f"not recorded: {_words(unrecorded)}" if unrecorded else "all"
        yield judge("provenance: permitted", not unrecorded, "each finding that was permitted", found)


def spoken_in_cyclonedx(said: Mapping[str, object]) -> set[str]:
    """Return the identifier of each vulnerability that a CycloneDX document analyses."""
    return {
        text_at(each, "id") for each in list_at(said, "vulnerabilities") if text_at(each, "analysis", "state")
    }


def spoken_in_openvex(said: Mapping[str, object]) -> set[str]:
    """Return the name of each vulnerability that an OpenVEX document has a status of."""
    return {
        text_at(each, "vulnerability", "name")
        for each in list_at(said, "statements")
        if text_at(each, "status")
    }


def permitted_in(provenance: Mapping[str, object]) -> set[str]:
    """Return the findings that a build was told to live with, as provenance records them."""
    found = list_at(value_at(provenance, "buildDefinition", "externalParameters"), "permitted")
    return {each for each in found if isinstance(each, str)}


def _words(found: Sequence[Finding]) -> str:
    named = ((one.advisory.id, one.advisory.severity, one.advisory.reach) for one in found)
    return ", ".join(f"{name} ({severity}, by a {reach})" for name, severity, reach in named) or "nothing"
