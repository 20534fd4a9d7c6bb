"""Whether a bundle that nothing pins may be taken from a cache: by signatures that a policy accepts, and only so."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from recipes.build.bundle.layout import encode_record
from recipes.core.errors import ManifestError
from recipes.core.filesystem import shown
from recipes.evidence.documents import read_document
from recipes.evidence.envelope import open_envelope
from recipes.evidence.keys import distinct, public_key
from recipes.evidence.material import DOCUMENTS, Expectation, Material, Subject
from recipes.evidence.statement import GIT_TREE, STAGE, parse_statement, statement, subjects_of
from recipes.evidence.subject import read_subject
from recipes.evidence.verification import verify
from recipes.registry.attached import SIGNED

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from pathlib import Path

    from securesystemslib.signer import SSlibKey

    from recipes.build.plan.plan import Plan
    from recipes.core.digest import Sha256
    from recipes.evidence.judgement import Judgement
    from recipes.manifest.policy import Policy

SHOWN_JUDGEMENTS = 3


@dataclass(frozen=True)
class Acceptance:
    """Accepts a bundle of one plan as `recipes.registry.caches.Accept` asks: signed as the policy demands, and whole.

    The policy MUST be one that `demand_signatures` let pass.
    """

    policy: Policy
    keys: Sequence[SSlibKey]
    plan: Plan
    expected: Expectation

    def refuse_documents(self, tree: Sha256, documents: Mapping[str, bytes]) -> str | None:
        """Return what is missing of the signed statements about a tree; None where all are there, and hold."""
        subject = Subject(self.plan.name, tree, {}, encode_record(self.plan.record()))
        keys = distinct((*(public_key(each.key) for each in self.policy.signers), *self.keys))
        rows: list[Judgement] = []
        for kind in DOCUMENTS:
            if kind.demand not in self.policy.statements or (
                kind.demand == "vex" and not self.expected.findings
            ):
                continue
            document = read_document(kind, documents, subject, keys, self._signatures, is_demanded=True)
            rows += document.judgements
        return _broken(rows)

    def refuse_tree(self, folder: Path, documents: Mapping[str, bytes]) -> str | None:
        """Return what does not hold of an unpacked tree and what is said of it; None where the policy accepts it."""
        try:
            subject = read_subject(folder, self.plan.name)
        except (OSError, ValueError) as error:
            return f"no bundle: {shown(str(error))}"
        if subject.record != encode_record(self.plan.record()):
            return "it is signed, and is the bundle of another plan"
        material = Material(subject, documents, self.expected)
        return _broken(verify(material, self.policy, self.keys, datetime.now(UTC)))

    @property
    def _signatures(self) -> int:
        return max(self.policy.signatures, 1 if self.keys else 0)


@dataclass(frozen=True)
class StageAcceptance:
    """Accepts a stage that nothing pins, by its key, where signers of a policy have signed which tree it has.

    The policy MUST be one that `demand_signatures` let pass.
    """

    policy: Policy
    keys: Sequence[SSlibKey]
    stage: str

    def refuse_documents(self, tree: Sha256, documents: Mapping[str, bytes]) -> str | None:
        """Return what is missing; None where enough signers say that this stage has this tree."""
        keys = distinct((*(public_key(each.key) for each in self.policy.signers), *self.keys))
        most = max(self.policy.signatures, 1)
        signed: set[str] = set()
        for name, data in documents.items():
            if not name.endswith(SIGNED):
                continue
            try:
                opened = open_envelope(data, keys)
                said = parse_statement(opened.payload)
            except ValueError:  # of somebody who may write there
                continue
            if said.predicate_type == STAGE and said.is_about(GIT_TREE, tree):
                signed |= opened.signed_by if said.predicate.get("stage") == self.stage else set()
        if len(signed) >= most:
            return None
        return f"{len(signed)} of {most} signatures that the policy demands say that it is {self.stage}"

    def refuse_tree(self, folder: Path, documents: Mapping[str, bytes]) -> str | None:  # noqa: ARG002 - as asked
        """Return None: who signed which tree it has was judged, and the tree was hashed."""
        return None


def stage_statement(stage: str, tree: Sha256) -> bytes:
    """Return the statement that a stage has a tree."""
    return statement(subjects_of(stage, tree), STAGE, {"stage": stage})


def demand_signatures(policy: Policy, keys: Sequence[SSlibKey], where: str) -> None:
    """Demand that a policy can accept a bundle that nothing pins, and only a signed one; raises ManifestError."""
    if policy.pin == "required" or not (policy.signatures or keys):
        found = "`pin: required`" if policy.pin == "required" else "`signatures: 0`, and no key is named"
        raise ManifestError(
            where=where,
            expected="a policy by which what nothing pins can be taken: `pin: any`, and a signature demanded",
            found=found,
            fix="name another policy; without one, what nothing pins is built here",
        )


def _broken(rows: Iterable[Judgement]) -> str | None:
    broken = [row for row in rows if not row.holds]
    if not broken:
        return None
    text = "; ".join(
        f"{row.what} {row.state.value}, found {shown(row.found)}" for row in broken[:SHOWN_JUDGEMENTS]
    )
    return f"{text}; {len(broken)} in all" if len(broken) > SHOWN_JUDGEMENTS else text
