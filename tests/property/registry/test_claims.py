"""Claims, whatever the order in which several workers' requests reach the registry, and whoever dies in between."""

from __future__ import annotations

import random
from pathlib import Path
from typing import TYPE_CHECKING

from hypothesis import given
from hypothesis import strategies as st

from recipes.core.digest import Sha256
from recipes.core.settings import Settings
from recipes.registry.claims import (
    Claim,
    State,
    Verdict,
    Watch,
    decide,
    decode_claim,
    encode_claim,
)
from recipes.registry.documents import parse_document
from recipes.registry.names import Kind, Name, claim_tag, parse_tag
from recipes.store.context import Context
from recipes.store.store import Store
from tests.support.claim_steps import Order, worker_of
from tests.support.registry_scene import Listening

if TYPE_CHECKING:
    from recipes.registry.workers import Worker

STAGE = "plan-0a"
NAMES = st.text("0123456789abcdef", min_size=16, max_size=16)
SEEDS = st.integers(0, (1 << 32) - 1)  # of the order in which requests arrive
STATES = st.sampled_from(State)
CLAIMS = st.builds(
    Claim,
    stage=st.sampled_from([STAGE, "source-1", "page-a-b"]),
    worker=NAMES,
    state=STATES,
    beat=st.integers(0, 1 << 40),
    lease_s=st.floats(1, 86_400),
)


def context() -> Context:
    nowhere = Path("/nowhere")  # nothing of a claim touches the disk
    return Context(Store(nowhere), Listening(), Settings(nowhere))


@given(SEEDS, st.lists(NAMES, min_size=2, max_size=4, unique=True))
def test_one_at_a_time_holds_a_stage_and_it_is_made_once(seed: int, names: list[str]) -> None:
    order = Order(random.Random(seed).choice)
    holders: set[str] = set()
    most, made = [0], list[str]()

    def act(worker: Worker) -> None:
        while not made:
            held = worker._win(STAGE)
            if held is None:
                worker.rest(0)
                continue
            holders.add(worker.name)
            held = worker._again(worker._client, held)  # a beat, while the others go on
            most[0] = max(most[0], len(holders))
            if not made:
                made.append(worker.name)
            worker._release(worker._client, held)
            holders.remove(worker.name)

    # no lease ends: whoever sleeps does it as often as the others let it
    order.run(act, (worker_of(order, name, context(), lease_s=86_400) for name in names))
    assert most == [1]
    assert len(made) == 1
    assert order.manifests == {}


@given(SEEDS, st.lists(NAMES, min_size=2, max_size=3, unique=True), st.integers(0, 12))
def test_a_worker_that_dies_anywhere_keeps_nobody_from_its_stage(
    seed: int, names: list[str], after: int
) -> None:
    chance, victim, left = random.Random(seed), names[0], [after]

    def draw(waiting: list[str]) -> str:
        chosen = chance.choice(waiting)
        left[0] -= chosen == victim
        if left[0] < 0:
            order.killed.add(victim)
        return chosen

    order, made = Order(draw), list[str]()

    def act(worker: Worker) -> None:
        while (held := worker._win(STAGE)) is None:
            worker.sleep(0.5)
        made.append(worker.name)
        worker._release(worker._client, held)

    order.run(act, (worker_of(order, name, context(), lease_s=1.0) for name in names))
    assert set(names) - {victim} <= set(made)


@given(NAMES, st.lists(CLAIMS, max_size=5))
def test_who_holds_sees_nobody_and_of_two_that_wait_for_each_other_one_yields(
    worker: str, others: list[Claim]
) -> None:
    others = [each for each in others if each.worker != worker]
    verdict = decide(worker, others)
    live = [each for each in others if each.state is not State.RELEASED]
    assert (verdict is Verdict.HOLD) == (not live)
    own = Claim(stage=STAGE, worker=worker, state=State.WANTED, beat=0, lease_s=1)
    if verdict is Verdict.WAIT:
        assert all(decide(each.worker, [own]) is Verdict.YIELD for each in live)


@given(CLAIMS)
def test_a_claim_is_read_as_it_was_written_and_under_its_own_tag_only(claim: Claim) -> None:
    document = parse_document(encode_claim(claim))
    assert decode_claim(document, claim.tag) == claim
    assert decode_claim(document, claim_tag(claim.stage, "f" * 15 + "x")) is None
    assert parse_tag(claim.tag) == Name(Kind.CLAIM, (claim.stage, claim.worker))


@given(CLAIMS, st.lists(st.tuples(st.integers(0, 1), st.floats(0, 1e5)), min_size=1, max_size=20))
def test_only_a_whole_lease_of_silence_is_death_by_the_watchers_own_clock(
    claim: Claim, looks: list[tuple[int, float]]
) -> None:
    watch, now_s, since_s, before = Watch(), 0.0, 0.0, -1
    for version, passed_s in looks:
        now_s += passed_s
        if version != before:
            since_s, before = now_s, version
        digest = Sha256.of_bytes(bytes([version]))
        assert watch.is_dead(claim, digest, now_s) == (now_s - since_s >= claim.lease_s and since_s < now_s)
