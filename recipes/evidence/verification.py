"""Verification: from a bundle, what lies beside it, this checkout and a policy to a list of judgements. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

from recipes.build.evidence_files import CONFORMANCE, PROVENANCE, SBOM
from recipes.evidence.bundle_judgements import judge_bundle, plan_digest, read_record
from recipes.evidence.conformance_judgements import judge_conformance
from recipes.evidence.documents import read_document, unknown_files
from recipes.evidence.findings_judgements import judge_findings, judge_vex
from recipes.evidence.json_document import text_at, value_at
from recipes.evidence.keys import distinct, public_key
from recipes.evidence.material import DOCUMENTS, Material
from recipes.evidence.provenance_judgements import judge_provenance
from recipes.evidence.rebuild import judge_rebuilds
from recipes.evidence.sbom_judgements import judge_sbom

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from securesystemslib.signer import SSlibKey

    from recipes.evidence.judgement import Judgement
    from recipes.manifest.policy import Policy


def verify(
    material: Material, policy: Policy, keys: Sequence[SSlibKey], now: datetime
) -> tuple[Judgement, ...]:
    """Return what was looked at and what came of it; the bundle is as the policy demands only if all of it holds.

    1. The bundle: its files, record and archive, and this checkout's pin.
    2. Each document: there, whole, signed as demanded, about this bundle; and no file that nobody vouches for.
    3. What provenance, SBOM, conformance and VEX say.
    4. The rebuilders.

    `keys` are trusted besides the policy's signers; where there are any, each statement must be signed by one.
    """
    subject, record = material.subject, read_record(material.subject.record)
    signers = distinct((*(public_key(each.key) for each in policy.signers), *keys))
    signatures = max(policy.signatures, 1 if keys else 0)
    is_nothing_known = not isinstance(material.expected, str) and not material.expected.findings
    # 1. The bundle.
    rows = list(judge_bundle(material, policy))
    # 2. The documents.
    said = {}
    for kind in DOCUMENTS:
        is_demanded = kind.demand in policy.statements and not (kind.demand == "vex" and is_nothing_known)
        document = read_document(
            kind, material.documents, subject, signers, signatures, is_demanded=is_demanded
        )
        rows += document.judgements
        said[kind.file] = document.content
    rows += unknown_files(material.documents)
    # 3. What they say.
    if (provenance := said[PROVENANCE]) is not None:
        rows += judge_provenance(provenance, record, material.expected, policy, now)
    if (sbom := said[SBOM]) is not None:
        rows += judge_sbom(sbom, subject, record)
    if (conformance := said[CONFORMANCE]) is not None:
        rows += judge_conformance(conformance, subject, text_at(record, "platform"), policy)
    rows += judge_vex(said, material.expected)
    rows += judge_findings(provenance, material.expected, policy)
    # 4. The rebuilders.
    named = policy.rebuilders
    rebuilders = [public_key(each.key) for each in named.of] if named else []
    plan, at_least = plan_digest(value_at(record, "plan")), named.at_least if named else 0
    rows += judge_rebuilds(material.documents, subject, plan, rebuilders, at_least)
    return tuple(rows)
