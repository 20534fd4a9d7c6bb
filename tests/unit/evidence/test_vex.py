"""CycloneDX VEX and OpenVEX: each fits its standard, says what the manifests say, and is the same each time."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import msgspec
import pytest
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator
from vexipy.document import Document

from recipes.build.advisories import Finding, findings
from recipes.build.evidence_files import VEX_CYCLONEDX, VEX_OPENVEX
from recipes.evidence.vex import JUSTIFICATIONS, STATES, vex_documents
from recipes.manifest.load import Manifests
from recipes.manifest.schema import Advisory, AffectedRange, Standing
from tests.support.standards import openvex_faults

if TYPE_CHECKING:
    from collections.abc import Callable

MANIFESTS = Manifests()
RECIPE = MANIFESTS.recipe("b11312")
ADVISORY = Advisory(
    schema="advisory/1",
    id="CVE-2000-0001",
    aliases=("GHSA-0000",),
    component="cpp-httplib",
    summary="it ends",
    severity="high",
    cvss=(
        "CVSS:3.1/AV:N/AC:L/PR:N/UI:N/S:U/C:N/I:N/A:H",
        "CVSS:4.0/AV:N/AC:L/AT:N/PR:N/UI:N/VC:H/VI:H/VA:H/SC:N/SI:N/SA:N",
    ),
    reach="request",
    affects="all",
    affected=(AffectedRange(fixed="0.59.0"),),
    weaknesses=("CWE-20",),
    links=("https://example.org/1",),
    says="it was read",
    checked="2026-02-03",
)
STANDINGS = {
    "affected": Standing(status="affected", evidence="line 1", action="do not"),
    "fixed": Standing(status="fixed", evidence="line 2"),
    "patched": Standing(status="fixed", evidence="line 3", patch=4),
    "under_investigation": Standing(status="under_investigation", evidence="nobody looked"),
    **{
        name: Standing(status="not_affected", evidence="line 5", justification=name)
        for name in JUSTIFICATIONS
    },
}


def finding(name: str, **changes: object) -> Finding:
    standing = STANDINGS[name]
    advisory = msgspec.structs.replace(ADVISORY, **changes)
    return Finding(advisory, standing.status, standing.evidence, standing)


def documents(*found: Finding) -> tuple[dict[str, Any], dict[str, Any]]:
    """Both documents, each checked against its standard."""
    made = vex_documents(RECIPE, found)
    assert made == vex_documents(RECIPE, found)
    cyclonedx, openvex = made[VEX_CYCLONEDX], made[VEX_OPENVEX]
    assert JsonStrictValidator(SchemaVersion.V1_6).validate_str(cyclonedx.decode()) is None
    parsed = json.loads(openvex)
    assert openvex_faults(parsed) == []
    assert Document.from_json(openvex.decode()).id == parsed["@id"]
    return json.loads(cyclonedx), parsed


@pytest.mark.parametrize("name", MANIFESTS.recipe_names())
def test_the_documents_of_each_committed_recipe_fit_their_standards_and_speak_of_all(name: str) -> None:
    recipe = MANIFESTS.recipe(name)
    found = findings(recipe, MANIFESTS.advisories())
    made = vex_documents(recipe, found)
    assert JsonStrictValidator(SchemaVersion.V1_6).validate_str(made[VEX_CYCLONEDX].decode()) is None
    openvex = json.loads(made[VEX_OPENVEX])
    assert openvex_faults(openvex) == []
    statuses = {one.advisory.id: one.status for one in found}
    assert {each["vulnerability"]["name"]: each["status"] for each in openvex["statements"]} == statuses
    said = json.loads(made[VEX_CYCLONEDX])
    states = {each["id"]: each["analysis"]["state"].partition("_with")[0] for each in said["vulnerabilities"]}
    assert states == {one.advisory.id: STATES[one.status] for one in found}


@pytest.mark.parametrize("name", STANDINGS)
def test_each_status_is_said_in_both_forms(name: str) -> None:
    one = finding(name)
    cyclonedx, openvex = documents(one)
    (said,), (stated,) = cyclonedx["vulnerabilities"], openvex["statements"]
    assert (said["id"], stated["vulnerability"]["name"]) == ("CVE-2000-0001", "CVE-2000-0001")
    assert said["analysis"]["detail"] == stated["status_notes"] == one.evidence
    expected = "resolved_with_pedigree" if name == "patched" else STATES[one.status]
    assert (said["analysis"]["state"], stated["status"]) == (expected, one.status)
    assert said["analysis"].get("justification") == JUSTIFICATIONS.get(name)
    assert stated.get("justification") == (name if name in JUSTIFICATIONS else None)
    assert said.get("recommendation") == stated.get("action_statement") == STANDINGS[name].action


def test_what_a_finding_is_about_is_named_by_package_urls() -> None:
    cyclonedx, openvex = documents(finding("affected"))
    url = "pkg:github/yhirose/cpp-httplib@0.58.0"
    (affects,) = cyclonedx["vulnerabilities"][0]["affects"]
    assert affects == {"ref": url, "versions": [{"version": "0.58.0", "status": "affected"}]}
    assert [each["purl"] for each in cyclonedx["components"]] == [url]
    (product,) = openvex["statements"][0]["products"]
    assert product["@id"] == cyclonedx["metadata"]["component"]["purl"]
    assert product["subcomponents"] == [{"@id": url}]
    methods = {each["method"] for each in cyclonedx["vulnerabilities"][0]["ratings"]}
    assert methods == {"CVSSv31", "CVSSv4"}


def test_a_component_that_is_not_there_is_not_among_the_components() -> None:
    cyclonedx, openvex = documents(finding("component_not_present", component="minja"))
    assert "components" not in cyclonedx
    product = cyclonedx["metadata"]["component"]["bom-ref"]
    assert [each["ref"] for each in cyclonedx["vulnerabilities"][0]["affects"]] == [product]
    assert openvex["statements"][0]["products"][0]["subcomponents"] == [{"@id": "pkg:generic/minja"}]


def test_what_a_recipe_does_not_name_has_the_reason_of_its_range() -> None:
    old = msgspec.structs.replace(ADVISORY, affected=(AffectedRange(fixed="0.1"),))
    gone = msgspec.structs.replace(ADVISORY, id="CVE-2000-0002", component="minja")
    found = findings(msgspec.structs.replace(RECIPE, advisories={}), {each.id: each for each in (old, gone)})
    _, openvex = documents(*found)
    reasons = [each["justification"] for each in openvex["statements"]]
    assert reasons == ["vulnerable_code_not_present", "component_not_present"]


def test_time_is_the_last_day_on_which_the_sources_were_read() -> None:
    found = (finding("fixed"), finding("affected", id="CVE-2000-0002", checked="2026-05-06"))
    cyclonedx, openvex = documents(*found)
    assert openvex["timestamp"] == "2026-05-06T00:00:00Z"
    assert [each["timestamp"][:10] for each in openvex["statements"]] == ["2026-02-03", "2026-05-06"]
    assert cyclonedx["metadata"]["timestamp"].startswith("2026-05-06T00:00:00")


def test_another_status_gives_other_identifiers() -> None:
    (one, other), (again, _) = documents(finding("fixed")), documents(finding("affected"))
    assert one["serialNumber"] != again["serialNumber"]
    assert other["@id"] != documents(finding("affected"))[1]["@id"]


def test_nothing_known_gives_no_document() -> None:
    assert vex_documents(RECIPE, ()) == {}


@pytest.mark.parametrize(
    "spoil",
    [
        lambda each: each.pop("action_statement"),
        lambda each: each.update(status="not_affected"),
        lambda each: each.update(status="safe"),
        lambda each: each.update(colour="red"),
        lambda each: each["vulnerability"].pop("name"),
        lambda each: each["products"][0].update({"@id": "a product"}),
        lambda each: each.update(timestamp="today"),
    ],
)
def test_the_rules_of_openvex_find_a_spoiled_statement(spoil: Callable[[dict[str, Any]], object]) -> None:
    _, openvex = documents(finding("affected"))
    spoil(openvex["statements"][0])
    assert openvex_faults(openvex) != []
