"""Workers and takers with a registry that does what registries do wrong: exact refusals, and nothing is lost."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from recipes.core.digest import Sha256
from recipes.core.errors import RegistryError
from recipes.fetch.http.network_errors import OriginError
from recipes.registry.caches import Wanted, take_from
from recipes.registry.claims import CLAIM_TYPE, FACTS, Claim, State, encode_claim
from recipes.registry.division import divide
from recipes.registry.documents import INDEX_TYPE, MANIFEST_TYPE, make_index
from recipes.registry.names import Kind, claim_tag
from recipes.registry.tree import BUNDLE
from recipes.registry.workers import Worker
from tests.support.oci_registry import Answer, FakeRegistry, Rule, error

if TYPE_CHECKING:
    from pathlib import Path

    from recipes.registry.publish import Publication
    from tests.support.registry_scene import Scene

STAGE, OTHER = "plan-1", "0123456789abcdef"
TAG = claim_tag(STAGE, OTHER)
HELD = Claim(stage=STAGE, worker=OTHER, state=State.HELD, beat=3, lease_s=60.0)


def worker_of(scene: Scene, lease_s: float = 60.0) -> Worker:
    clock = scene.clock
    return Worker(
        scene.context,
        scene.repository,
        lease_s,
        tempo=clock.tempo(),
        sleep=clock.sleep,
        clock=lambda: clock.now_s,
    )


def put(scene: Scene, data: bytes, media_type: str = MANIFEST_TYPE) -> None:
    scene.registry.manifests["team/llama", TAG] = (media_type, data)


def claims(scene: Scene) -> list[str]:
    return [tag for tag in scene.registry.tags if tag.startswith(Kind.CLAIM.value)]


def changed(**facts: object) -> bytes:
    """Return a claim's manifest with other facts."""
    document = json.loads(encode_claim(HELD))
    said = json.loads(document["annotations"][FACTS])
    document["annotations"][FACTS] = json.dumps({**said, **facts})
    return json.dumps(document).encode()


def test_a_claim_of_somebody_alive_is_respected(scene: Scene) -> None:
    put(scene, encode_claim(HELD))
    with worker_of(scene) as worker, worker.claim(STAGE) as held:
        assert held is None
    assert claims(scene) == [TAG]


@pytest.mark.parametrize(
    ("data", "media_type"),
    [
        (changed(stage="plan-2"), MANIFEST_TYPE),  # another's word under this tag
        (changed(worker="f" * 16), MANIFEST_TYPE),
        (changed(lease_s=1e300), MANIFEST_TYPE),  # one that would never end
        (changed(lease_s=-1), MANIFEST_TYPE),
        (changed(state="eternal"), MANIFEST_TYPE),
        (changed(more="x"), MANIFEST_TYPE),
        (encode_claim(HELD).replace(b'{\\"', b'[[[{\\"'), MANIFEST_TYPE),
        (encode_claim(HELD).replace(CLAIM_TYPE.encode(), b"application/x"), MANIFEST_TYPE),
        (make_index(()), INDEX_TYPE),
    ],
)
def test_what_is_no_claim_claims_nothing(scene: Scene, data: bytes, media_type: str) -> None:
    put(scene, data, media_type)
    with worker_of(scene) as worker, worker.claim(STAGE) as held:
        assert held


@pytest.mark.parametrize(
    "fault",
    [
        error(429, "TOOMANYREQUESTS", "slow down", Retry_After="7"),
        error(503, "UNAVAILABLE", "a moment"),
        Answer(0),
        Answer(502, b"<html>bad gateway</html>"),
    ],
)
@pytest.mark.parametrize("method", ["PUT", "GET", "DELETE"])
def test_a_registry_that_asks_for_time_gets_it_from_a_worker(
    scene: Scene, method: str, fault: Answer
) -> None:
    with worker_of(scene) as worker:
        scene.registry.rules.append(Rule(method, "/(manifests|tags)/", fault, times=2))
        with worker.claim(STAGE) as held:
            assert held
        assert scene.clock.slept
    assert claims(scene) == []


@pytest.mark.parametrize(
    ("fault", "word"),
    [
        (error(401, "UNAUTHORIZED", "who are you"), "docker login"),
        (error(403, "DENIED", "you may pull"), "docker login"),
        (error(507, "FULL", "no room"), "make room"),
        (error(429, "TOOMANYREQUESTS", "tomorrow", Retry_After="86400"), "goes on"),
        (Answer(200, b"{}"), "correct the cause"),
    ],
)
def test_a_worker_that_may_not_claim_is_told_why_and_makes_nothing(
    scene: Scene, fault: Answer, word: str
) -> None:
    scene.registry.rules.append(Rule("PUT", f"/manifests/{Kind.CLAIM.value}-", fault))
    made: list[str] = []
    with worker_of(scene) as worker, pytest.raises(RegistryError) as caught:
        divide(worker, {STAGE: STAGE}, lambda _: False, made.append, lambda _: None)
    assert caught.value.where == scene.registry.repository()
    assert word in caught.value.fix
    assert made == []
    assert claims(scene) == []


def test_an_error_of_what_is_made_is_the_one_that_is_raised_and_the_claim_is_taken_back(scene: Scene) -> None:
    def fail(_: str) -> None:
        scene.registry.rules.append(Rule("DELETE", "/manifests/", error(500), times=1))
        raise ZeroDivisionError

    with worker_of(scene) as worker, pytest.raises(ZeroDivisionError):
        divide(worker, {STAGE: STAGE}, lambda _: False, fail, lambda _: None)
    assert claims(scene) == []


def test_a_registry_that_fails_while_a_stage_is_made_costs_no_claim(scene: Scene) -> None:
    with Worker(scene.context, scene.repository, 0.12, tempo=scene.clock.tempo()) as worker:
        with worker.claim(STAGE) as held:
            assert held
            before = held.digest
            scene.registry.rules.append(
                Rule("PUT", f"/manifests/{Kind.CLAIM.value}-", error(403, "DENIED"), times=3)
            )
            while held.digest == before:  # it beats again once the registry lets it
                held.ended.wait(0.01)
            assert not held.is_lost
        assert claims(scene) == []


def test_a_registry_that_forgets_a_claim_lets_another_worker_have_the_stage(scene: Scene) -> None:
    with worker_of(scene) as first, worker_of(scene) as second, first.claim(STAGE):
        with second.claim(STAGE) as held:
            assert held is None
        scene.registry.manifests.clear()
        with second.claim(STAGE) as held:
            assert held


# who takes


def wanted_of(tree: Publication) -> Wanted:
    return Wanted(BUNDLE, tree.tag, Sha256(tree.facts.tree), "a test", tree.facts.platform)


def take(scene: Scene, tree: Publication) -> Path:
    into = scene.folder / "into"
    into.mkdir()
    assert take_from(scene.context, scene.repository, wanted_of(tree), into, scene.clock.tempo())
    return into


@pytest.mark.parametrize("auth", ["basic", "bearer"])
def test_a_login_is_shown_where_it_is_demanded_and_a_scope_is_asked_for(
    scene: Scene, tree: Publication, auth: str
) -> None:
    scene.send(tree)
    scene.registry.auth = auth
    scene.log_in()
    take(scene, tree)
    asked = scene.registry.asked("GET", "^/token")
    assert all("scope=repository%3Ateam%2Fllama%3Apull" in each.path for each in asked)
    assert bool(asked) == (auth == "bearer")


def test_wrong_credentials_are_refused_by_name_and_not_shown(scene: Scene, tree: Publication) -> None:
    scene.send(tree)
    scene.registry.auth = "basic"
    scene.log_in("wrong horse")
    (scene.folder / "into").mkdir()
    with pytest.raises(OriginError, match="401") as caught:
        take_from(
            scene.context, scene.repository, wanted_of(tree), scene.folder / "into", scene.clock.tempo()
        )
    assert "config.json" in str(caught.value)
    assert "wrong horse" not in str(caught.value)
    assert list((scene.folder / "into").iterdir()) == []


def test_a_token_that_ends_before_the_layer_is_renewed(scene: Scene, tree: Publication) -> None:
    scene.send(tree)
    scene.registry.auth = "bearer"
    scene.log_in()
    layer = json.loads(scene.registry.manifests["team/llama", tree.tag][1])["layers"][0]["digest"]

    def forget(registry: FakeRegistry, *_: object) -> None:
        registry.forget_tokens()

    scene.registry.rules.append(Rule("GET", f"/blobs/{layer}", forget, times=1))
    take(scene, tree)
    assert len(scene.registry.asked("GET", "^/token")) == 2


@pytest.mark.parametrize(
    "fault", [error(429, "TOOMANYREQUESTS", "slow down", Retry_After="9"), error(503), Answer(0)]
)
@pytest.mark.parametrize("place", ["/manifests/", "/blobs/"])
def test_a_registry_that_asks_for_time_gets_it_from_a_taker(
    scene: Scene, tree: Publication, place: str, fault: Answer
) -> None:
    scene.send(tree)
    scene.registry.rules.append(Rule("GET", place, fault, times=2))
    take(scene, tree)
    asks = fault.headers.get("Retry-After")
    assert not asks or max(scene.clock.slept) >= float(asks)


def test_a_full_registry_has_half_of_nothing(scene: Scene, tree: Publication) -> None:
    scene.registry.rules.append(Rule("PUT", "/manifests/plan-", error(507, "FULL", "no room")))

    def make(each: Publication) -> None:
        scene.send(each)

    with worker_of(scene) as worker, pytest.raises(RegistryError, match="507"):
        divide(
            worker,
            {tree.tag: tree},
            lambda each: worker.find(wanted_of(each)) is not None,
            make,
            lambda _: None,
        )
    assert not [tag for tag in scene.registry.tags if tag.startswith("plan-")]
    assert claims(scene) == []
