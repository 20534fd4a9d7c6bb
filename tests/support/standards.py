"""What the standards take: each file of a bundle's evidence is given to the judges that its standard has.

In-toto's and SLSA's own types (in-toto-attestation), CycloneDX's own schema (cyclonedx-python-lib has it), OpenVEX's by
vexipy, DSSE's by securesystemslib. In-toto and SLSA have no JSON schema, and no package carries OpenVEX's: what their
specifications demand beyond the types stands here, in our own words.
"""

from __future__ import annotations

import base64
import json
import re
from typing import TYPE_CHECKING, Any

from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator
from google.protobuf.json_format import ParseDict
from in_toto_attestation.predicates.provenance.v1.provenance_pb2 import Provenance
from in_toto_attestation.predicates.test_result.v0.test_result_pb2 import TestResult
from in_toto_attestation.v1.resource_descriptor import ResourceDescriptor
from in_toto_attestation.v1.resource_descriptor_pb2 import ResourceDescriptor as DescriptorMessage
from in_toto_attestation.v1.statement import Statement
from in_toto_attestation.v1.statement_pb2 import Statement as StatementMessage
from securesystemslib.dsse import Envelope
from vexipy.document import Document

from recipes.build.evidence_files import CONFORMANCE, PROVENANCE, SIGNED, VEX_OPENVEX
from recipes.evidence.statement import CYCLONEDX_BOM, OPENVEX, REBUILD, SLSA_PROVENANCE, TEST_RESULT
from recipes.evidence.vex import JUSTIFICATIONS, STATES

if TYPE_CHECKING:
    from google.protobuf.message import Message

PAYLOAD = "application/vnd.in-toto+json"
IRI = re.compile(r"[a-z][a-z0-9+.-]*:\S+")
TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ")


def fault_of(name: str, data: bytes) -> str | None:
    """Return what the standard of a file of a bundle's evidence does not take, in words; None where it takes it."""
    try:
        if name.endswith(SIGNED):
            envelope = Envelope.from_dict(json.loads(data))
            demand(envelope.payload_type == PAYLOAD, "payload type")
            demand(bool(envelope.signatures), "signatures")
            check_statement(json.loads(envelope.payload))
        elif name == PROVENANCE:
            check_statement(json.loads(data))
        elif name == VEX_OPENVEX:
            check_openvex(json.loads(data))
        elif name != CONFORMANCE:  # this one's format is ours; its signed form is a test-result
            check_cyclonedx(json.loads(data))
    except Exception as error:  # noqa: BLE001 - each judge has its own
        return f"{type(error).__name__}: {error}"
    return None


def demand(is_so: bool, what: str) -> None:  # noqa: FBT001 - the outcome
    if not is_so:
        raise ValueError(what)


def check_statement(said: dict[str, Any]) -> None:
    """Demand a statement of in-toto, version 1, with a predicate that is what its type says."""
    Statement.copy_from_pb(ParseDict(said, StatementMessage())).validate()
    predicate = said["predicate"]
    match said["predicateType"]:
        case str() as kind if kind == SLSA_PROVENANCE:
            check_provenance(predicate)
        case str() as kind if kind == TEST_RESULT:
            check_test_result(predicate)
        case str() as kind if kind == CYCLONEDX_BOM:
            check_cyclonedx(predicate)
        case str() as kind if kind == OPENVEX:
            check_openvex(predicate)
        case kind:
            demand(kind == REBUILD, f"predicate type {kind}")


def check_provenance(predicate: dict[str, Any]) -> None:
    """Demand SLSA provenance, version 1: slsa.dev/spec/v1.0/provenance."""
    parsed(predicate, Provenance())
    definition, details = predicate["buildDefinition"], predicate["runDetails"]
    demand(bool(IRI.fullmatch(definition["buildType"])), "buildType")
    demand(isinstance(definition["externalParameters"], dict), "externalParameters")
    demand(bool(IRI.fullmatch(details["builder"]["id"])), "builder.id")
    for time in ("startedOn", "finishedOn"):
        demand(bool(TIME.fullmatch(details["metadata"][time])), time)
    check_resources(definition["resolvedDependencies"])
    check_resources(details["byproducts"])


def check_test_result(predicate: dict[str, Any]) -> None:
    """Demand in-toto's test-result, version 0.1."""
    parsed(predicate, TestResult())
    demand(predicate["result"] in {"PASSED", "WARNED", "FAILED"}, "result")
    demand(bool(predicate["configuration"]), "configuration")
    check_resources(predicate["configuration"])


def check_resources(found: list[dict[str, Any]]) -> None:
    """Demand that each says what it is of: a place, a digest, or the content itself."""
    for each in found:
        demand(bool({"uri", "digest", "content"} & each.keys()), f"a resource with a name alone: {each}")
        base64.b64decode(each.get("content", ""), validate=True)
        ResourceDescriptor.copy_from_pb(parsed(each, DescriptorMessage())).validate()


def parsed(content: dict[str, Any], into: Message) -> Message:
    ParseDict(content, into)
    return into


def check_cyclonedx(document: dict[str, Any]) -> None:
    """Demand CycloneDX 1.6, by its strict schema."""
    fault = JsonStrictValidator(SchemaVersion.V1_6).validate_str(json.dumps(document))
    demand(fault is None and document["specVersion"] == "1.6", str(fault)[:500])


def check_openvex(document: dict[str, Any]) -> None:
    """Demand OpenVEX 0.2.0."""
    Document.from_json(json.dumps(document))
    demand(not (faults := openvex_faults(document)), ", ".join(faults))


# The rules of OpenVEX 0.2.0: OPENVEX-SPEC.md and openvex_json_schema.json of github.com/openvex/spec, in our own words.
DOCUMENT = {"@context", "@id", "author", "timestamp", "version", "statements"}
STATEMENT = {
    *("@id", "version", "vulnerability", "timestamp", "last_updated", "products", "status", "supplier"),
    *("status_notes", "justification", "impact_statement", "action_statement", "action_statement_timestamp"),
}
VULNERABILITY = {"@id", "name", "description", "aliases"}
PRODUCT = {"@id", "identifiers", "hashes", "subcomponents"}


def openvex_faults(document: dict[str, Any]) -> list[str]:
    """What of a document breaks a rule of OpenVEX."""
    faults = [f"document: {key}" for key in DOCUMENT ^ document.keys() if key not in {"role", "tooling"}]
    faults += [key for key in ("@context", "@id") if not IRI.fullmatch(document[key])]
    if not document["@context"].startswith("https://openvex.dev/ns"):
        faults.append("context")
    if not TIME.fullmatch(document["timestamp"]) or document["version"] < 1 or not document["statements"]:
        faults.append("time, version or statements")
    seen = [json.dumps(each, sort_keys=True) for each in document["statements"]]
    if len(set(seen)) != len(seen):
        faults.append("a statement twice")
    return faults + [fault for each in document["statements"] for fault in statement_faults(each)]


def statement_faults(each: dict[str, Any]) -> list[str]:
    """What of a statement breaks a rule of OpenVEX."""
    faults = [f"statement: {key}" for key in each.keys() - STATEMENT]
    faults += [f"vulnerability: {key}" for key in each["vulnerability"].keys() - VULNERABILITY]
    if not each["vulnerability"].get("name") or not TIME.fullmatch(each["timestamp"]):
        faults.append("name or time")
    for product in each["products"]:
        faults += [f"product: {key}" for key in product.keys() - PRODUCT]
        faults += ["product's id"] * (not IRI.fullmatch(product["@id"]))
        faults += ["identifiers"] * bool(product["identifiers"].keys() - {"purl", "cpe22", "cpe23"})
    status = each["status"]
    reasons = [key for key in ("justification", "impact_statement") if key in each]
    faults += [f"status {status}"] * (status not in STATES)
    faults += [f"{status}: {reasons}"] * (len(reasons) != (status == "not_affected"))
    faults += ["justification"] * (each.get("justification", "component_not_present") not in JUSTIFICATIONS)
    return faults + [f"{status}: action"] * (("action_statement" in each) != (status == "affected"))
