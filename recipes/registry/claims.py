"""Claims: how workers that share a registry, and nothing else, agree who makes a stage. Pure.

A registry has no lock, and its specification no way to create a tag only where there is none. So each worker has a
tag of its own for each stage that it wants, which nobody else writes, and decides by what all the tags say once its own
is there. Of two workers that want one stage, at least the one that wrote later sees the other. docs/decisions/0037.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum
from typing import TYPE_CHECKING, Annotated

import msgspec
from msgspec import Meta, Struct

from recipes.registry.documents import EMPTY, EMPTY_TYPE, Manifest, describe, make_manifest
from recipes.registry.names import WORKER_DIGITS, Kind, claim_tag, parse_tag

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from recipes.core.digest import Sha256

CLAIM_TYPE = "application/vnd.pinned-llama.claim.v1"
FACTS = "pinned-llama.claim"  # the annotation that holds a claim's facts
LEASE_S = 120.0  # docs/decisions/0037 says why
SHORTEST_LEASE_S, MOST_LEASE_S = 1.0, 86_400.0
BEATS = 6  # of a lease: so many may be lost in a row, but one


class State(Enum):
    """What a worker says of a stage: that it wants it, that it makes it, or that it does neither any more."""

    WANTED = "wanted"
    HELD = "held"
    RELEASED = "released"


class Claim(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One worker's word on one stage. `beat` counts its words, so that each differs from the one before."""

    stage: str
    worker: Annotated[str, Meta(pattern=f"^[0-9a-f]{{{WORKER_DIGITS}}}$")]
    state: State
    beat: Annotated[int, Meta(ge=0, lt=1 << 53)]
    lease_s: Annotated[float, Meta(gt=0, le=MOST_LEASE_S)]

    @property
    def tag(self) -> str:
        """The tag that this worker, and nobody else, writes for this stage."""
        return claim_tag(self.stage, self.worker)


class Verdict(Enum):
    """What a worker does that wants a stage."""

    HOLD = "hold"
    WAIT = "wait"
    YIELD = "yield"


def encode_claim(claim: Claim) -> bytes:
    """Return a claim as a manifest without content; equal ones have equal bytes."""
    empty = describe(EMPTY, EMPTY_TYPE)
    facts = msgspec.json.encode(claim, order="deterministic").decode()
    return make_manifest(empty, (empty,), CLAIM_TYPE, {FACTS: facts})


def decode_claim(document: object, tag: str) -> Claim | None:
    """Read the claim of a tag; None where it is none, or says that it is another's: then it claims nothing."""
    if not isinstance(document, Manifest) or document.type_text != CLAIM_TYPE:
        return None
    try:
        claim = msgspec.json.decode(document.annotations.get(FACTS, ""), type=Claim)
    except (msgspec.DecodeError, RecursionError):
        return None
    return claim if claim.tag == tag else None


def decide(worker: str, others: Iterable[Claim]) -> Verdict:
    """Decide what a worker does with a stage: `others` are all live claims on it but its own, read after its own was.

    | the others                        | it     |
    |-----------------------------------|--------|
    | there is none                     | holds  |
    | one of them holds the stage       | yields |
    | one with a lower name wants it    | yields |
    | all that want it have higher ones | waits: each of them yields, or has seen nobody else, and holds |

    Two never hold: who holds had no other claim before its eyes after it had written its own.
    """
    live = [each for each in others if each.state is not State.RELEASED]
    if not live:
        return Verdict.HOLD
    if any(each.state is State.HELD or each.worker < worker for each in live):
        return Verdict.YIELD
    return Verdict.WAIT


@dataclass
class Watch:
    """When one worker saw each claim change, by its own clock: no worker's clock is compared with another's.

    A claim is dead where nothing about it changed for the whole of its lease, while this worker looked on.
    """

    _seen: dict[str, tuple[Sha256, float]] = field(default_factory=dict)

    def is_dead(self, claim: Claim, digest: Sha256, now_s: float) -> bool:
        """Note what a claim's manifest is now, and return whether its worker is to be taken for dead."""
        before = self._seen.get(claim.tag)
        if before is None or before[0] != digest:
            self._seen[claim.tag] = (digest, now_s)
            return False
        return now_s - before[1] >= claim.lease_s


def claims_by_stage(tags: Iterable[str]) -> Mapping[str, tuple[str, ...]]:
    """Return the workers that have a claim's tag for each stage."""
    found: dict[str, tuple[str, ...]] = {}
    for name in map(parse_tag, sorted(tags)):
        if name.kind is Kind.CLAIM:
            stage, worker = name.words
            found[stage] = (*found.get(stage, ()), worker)
    return found
