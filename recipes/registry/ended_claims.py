"""Finds claims that nobody stands behind any more, by looking on: no clock of another machine is asked."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from recipes.core.digest import Sha256
from recipes.registry.claims import Claim, State, Watch, decode_claim
from recipes.registry.names import Kind, parse_tag
from recipes.registry.workers import LONGEST_LOOK_S, LOOKS

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from recipes.registry.client import Client

LONGEST_WATCH_S = 600.0  # a claim with a longer lease is left to its worker, and to those who want the same


def find_ended(
    client: Client,
    *,
    sleep: Callable[[float], None] = time.sleep,
    clock: Callable[[], float] = time.monotonic,
) -> Mapping[Sha256, str]:
    """Return the claims that have ended, by their manifests' digests, and why: released, or silent for their lease.

    It takes as long as the longest of these leases, but where there is no claim. Raises OriginError.
    """
    watch, ended = Watch(), dict[str, tuple[Sha256, str]]()
    first = dict[str, tuple[Sha256, Claim]]()
    for tag in client.tags():
        if parse_tag(tag).kind is not Kind.CLAIM or (seen := _read(client, tag)) is None:
            continue
        digest, claim = seen
        if claim.state is State.RELEASED:
            ended[tag] = (digest, "released")
        elif claim.lease_s <= LONGEST_WATCH_S:
            first[tag] = seen
            watch.is_dead(claim, digest, clock())
    if first:
        longest_s = max(claim.lease_s for _, claim in first.values())
        client.context.console.say(
            f"up to {longest_s:g} s: looking whether the workers of {len(first)} claims live"
        )
    while first:
        sleep(min(LONGEST_LOOK_S, min(claim.lease_s for _, claim in first.values()) / LOOKS))
        for tag, before in list(first.items()):
            digest, claim = before
            if _read(client, tag) != before:  # another word of its worker, or it let go
                del first[tag]
            elif watch.is_dead(claim, digest, clock()):
                ended[tag] = (digest, f"its worker was silent for {claim.lease_s:g} s")
                del first[tag]
    return dict(ended.values())


def _read(client: Client, tag: str) -> tuple[Sha256, Claim] | None:
    found = client.find_manifest(client.repository.at(tag))
    claim = decode_claim(found.document, tag) if found else None
    return (found.digest, claim) if found and claim else None
