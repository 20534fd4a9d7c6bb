"""What a registry does wrong while something is published: refused exactly, nothing half there, nothing lost."""

from __future__ import annotations

import json
import threading
from dataclasses import replace

import pytest

from recipes.core.errors import UsageError
from recipes.registry import upload
from recipes.registry.publish import Publication, publish
from recipes.registry.reference import parse_repository
from tests.support.oci_registry import (
    PASSWORD,
    Answer,
    Asked,
    FakeRegistry,
    Rule,
    digest_of,
    error,
)
from tests.support.registry_scene import TAG, Scene, publication

UPLOADS = r"/blobs/uploads/[0-9a-f]{32}"


@pytest.mark.parametrize("auth", ["", "basic", "bearer"])
def test_a_registry_gets_what_it_demands_and_has_the_tree_its_documents_and_an_index(
    scene: Scene, tree: Publication, auth: str
) -> None:
    scene.registry.auth = auth
    scene.log_in()
    (done,) = scene.send(tree)
    assert scene.is_whole(tree)
    assert scene.registry.tags == {TAG, "r", f"sha256-{done.manifest.sha256.hex}"}
    assert scene.clock.slept == []


def test_the_api_of_referrers_is_used_where_there_is_one(scene: Scene, tree: Publication) -> None:
    scene.registry.has_referrers = True
    scene.send(tree)
    assert scene.registry.tags == {TAG, "r"}


@pytest.mark.parametrize(
    ("auth", "password", "word"),
    [
        ("basic", None, "asked without a login"),
        ("basic", "wrong", "asked with the login of"),
        ("bearer", None, "401 Unauthorized: UNAUTHORIZED no token; asked without a login"),
        ("bearer", "wrong", "gives no token, with the login of"),
    ],
)
def test_a_wrong_login_is_refused_and_its_secret_is_not_shown(
    scene: Scene,
    tree: Publication,
    auth: str,
    password: str | None,
    word: str,
) -> None:
    scene.registry.auth = auth
    if password:
        scene.log_in(password)
    found = scene.refused(tree)
    assert word in found.found
    assert f"docker login {scene.registry.host}" in found.fix
    assert PASSWORD not in str(found)
    assert (scene.registry.blobs, scene.registry.manifests) == ({}, {})


@pytest.mark.parametrize("after", range(2, 12, 2))
def test_a_token_that_ends_in_the_middle_is_renewed(scene: Scene, tree: Publication, after: int) -> None:
    scene.registry.auth = "bearer"
    scene.log_in()

    def forget(_registry: FakeRegistry, _asked: Asked, _data: bytes) -> None:
        scene.registry.forget_tokens()

    scene.registry.rules.append(Rule("*", "/v2/", forget, times=1, skip=after))
    scene.send(tree)
    assert scene.is_whole(tree)
    assert len(scene.registry.asked("GET", "/token")) == 2


def test_a_token_is_renewed_before_it_ends(scene: Scene, tree: Publication) -> None:
    scene.registry.auth, scene.registry.token_fields = "bearer", {"expires_in": 60}
    scene.log_in()

    def pass_time(_registry: FakeRegistry, _asked: Asked, _data: bytes) -> None:
        scene.clock.now_s += 100

    scene.registry.rules.append(Rule("PUT", UPLOADS, pass_time, times=1))
    scene.send(tree)
    assert len(scene.registry.asked("GET", "/token")) == 2
    assert [each.status for each in scene.registry.log].count(401) == 1  # only the first


@pytest.mark.parametrize(
    ("status", "headers", "waits"),
    [(429, {"Retry_After": "7"}, [7.0]), (503, {}, [1.0]), (500, {"Retry_After": "3"}, [3.0])],
)
def test_a_registry_that_asks_for_time_gets_it(
    scene: Scene,
    tree: Publication,
    status: int,
    headers: dict[str, str],
    waits: list[float],
) -> None:
    scene.registry.rules.append(Rule("POST", "/blobs/uploads/", error(status, **headers), times=1))
    scene.send(tree)
    assert scene.is_whole(tree)
    assert scene.clock.slept == waits


REFUSALS = (
    (error(429, "TOOMANYREQUESTS", "slow down", Retry_After="3600"), "TOOMANYREQUESTS slow down", "goes on"),
    (error(500, "UNKNOWN", "no space left on device"), "no space left on device", "goes on"),
    (error(507, "DENIED", "quota exceeded"), "quota exceeded", "make room"),
    (error(413, "SIZE_INVALID", "too large"), "too large", "make room"),
    (
        error(403, "DENIED", "read only"),
        "403 Forbidden: DENIED read only; asked without a login",
        "docker login",
    ),
    (error(405, "UNSUPPORTED", "a mirror"), "UNSUPPORTED a mirror", "correct the cause"),
)


@pytest.mark.parametrize("refusal", REFUSALS)
@pytest.mark.parametrize(
    "place", [("POST", "/blobs/uploads/"), ("PUT", UPLOADS), ("PUT", "/manifests/sha256:")]
)
def test_a_registry_that_does_not_take_it_has_no_name_of_it(
    scene: Scene, tree: Publication, refusal: tuple[Answer, str, str], place: tuple[str, str]
) -> None:
    answer, word, fix = refusal
    scene.registry.rules.append(Rule(*place, answer))
    found = scene.refused(tree)
    assert word in found.found
    assert fix in found.fix
    assert scene.registry.tags == set()
    scene.registry.rules.clear()
    scene.send(tree)
    assert scene.is_whole(tree)


def test_an_upload_that_has_no_address_is_refused(scene: Scene, tree: Publication) -> None:
    scene.registry.rules.append(Rule("POST", "/blobs/uploads/", Answer(202)))
    assert "does not say where the upload goes on" in scene.refused(tree).found


def cut(registry: FakeRegistry, asked: Asked, data: bytes) -> Answer:
    """Take what came into the upload, and close the connection."""
    number = asked.path.rpartition("/")[2].partition("?")[0]
    registry.uploads[number] += data
    return Answer(0)


def forget(registry: FakeRegistry, asked: Asked, data: bytes) -> Answer:
    """Lose the upload, as docker-registry 2.8.2 does with one whose chunk was cut."""
    registry.uploads.pop(asked.path.rpartition("/")[2].partition("?")[0])
    assert data
    return Answer(0)


@pytest.mark.parametrize("chunk_bytes", [1 << 20, 1 << 30])
def test_a_cut_upload_goes_on_where_it_was_cut(
    scene: Scene,
    tree: Publication,
    monkeypatch: pytest.MonkeyPatch,
    chunk_bytes: int,
) -> None:
    monkeypatch.setattr(upload, "CHUNK_BYTES", chunk_bytes)
    method = "PATCH" if chunk_bytes < 3_000_000 else "PUT"
    scene.registry.rules.append(Rule(method, UPLOADS, cut, times=2, reads=400_000))
    scene.send(tree)
    assert scene.is_whole(tree)
    # the layer, one byte once; the rest is configurations and documents
    assert sum(each.body_bytes for each in scene.registry.log if each.method in {"PATCH", "PUT"}) < 3_010_000


def test_an_upload_that_the_registry_forgets_starts_over(
    scene: Scene, tree: Publication, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(upload, "CHUNK_BYTES", 1 << 20)
    scene.registry.rules.append(Rule("PATCH", UPLOADS, forget, times=1, skip=1, reads=1000))
    scene.send(tree)
    assert scene.is_whole(tree)


def test_the_next_command_goes_on_with_an_upload(
    scene: Scene, tree: Publication, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(upload, "CHUNK_BYTES", 1 << 20)
    scene.registry.rules.append(Rule("PATCH", UPLOADS, error(500), skip=1))
    scene.refused(tree)
    assert len(list(scene.context.store.partial.iterdir())) == 1
    scene.registry.rules.clear()
    before = len(scene.registry.log)
    scene.send(tree)
    assert scene.is_whole(tree)
    assert (
        sum(each.body_bytes for each in scene.registry.log[before:] if each.method in {"PATCH", "PUT"})
        < 2_010_000
    )
    assert list(scene.context.store.partial.iterdir()) == []


def test_a_blob_of_another_repository_is_mounted(scene: Scene, tree: Publication) -> None:
    publish(
        scene.context,
        parse_repository(scene.registry.repository("other/llama")),
        [tree],
        (),
        scene.clock.tempo(),
    )
    before = len(scene.registry.log)
    scene.send(tree, others=("other/llama",))
    assert scene.is_whole(tree)
    sent = [each.body_bytes for each in scene.registry.log[before:] if each.method in {"PATCH", "PUT"}]
    assert max(sent) < 10_000


def test_a_registry_that_forgets_is_found_out(scene: Scene, tree: Publication) -> None:
    scene.registry.rules.append(Rule("GET", f"/manifests/{TAG}", error(404)))
    assert "forgotten" in scene.refused(tree).found


def test_a_blob_that_the_registry_collected_is_sent_again(scene: Scene, tree: Publication) -> None:
    (first,) = scene.send(tree)
    scene.registry.blobs.clear()
    (second,) = scene.send(tree)
    assert scene.is_whole(tree)
    assert second.is_new
    assert second.manifest.digest == first.manifest.digest


def test_two_that_built_the_same_plan_differently_are_an_alarm_where_nothing_is_pinned(
    scene: Scene, tree: Publication
) -> None:
    scene.send(replace(tree, pinned=False))
    before = dict(scene.registry.manifests)
    other = replace(publication(scene.folder / "other", seed=2), pinned=False)
    found = scene.refused(other)
    assert tree.facts.tree in found.found
    assert other.facts.tree in found.found
    assert "two builders disagree" in found.found
    assert scene.registry.manifests == before


def test_what_is_pinned_takes_the_place_of_another_tree(
    scene: Scene,
    tree: Publication,
) -> None:
    scene.send(publication(scene.folder / "other", seed=2))
    scene.send(tree)
    assert scene.is_whole(tree)
    assert tree.facts.tree in next(line for line in scene.console.lines if "is replaced" in line)


def test_two_publishers_at_once_lose_nothing(scene: Scene) -> None:
    names = [f"platform-{number}" for number in range(4)]
    trees = [
        publication(scene.folder / name, seed, platform=name, tag=f"plan-{name}")
        for seed, name in enumerate(names)
    ]
    threads = [threading.Thread(target=scene.send, args=(each,)) for each in trees]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    index = json.loads(scene.registry.manifests["team/llama", "r"][1])
    listed = {each["annotations"]["pinned-llama.platform"] for each in index["manifests"]}
    # the last writer sees whether its own is there; an earlier one's may be lost only after it had looked
    assert listed <= set(names)
    assert all(scene.is_whole(each) for each in trees)
    again = scene.send(*trees)
    assert not any(each.is_new for each in again)
    index = json.loads(scene.registry.manifests["team/llama", "r"][1])
    assert {each["annotations"]["pinned-llama.platform"] for each in index["manifests"]} == set(names)


def test_an_entry_that_another_publisher_overwrote_is_added_again(scene: Scene, tree: Publication) -> None:
    theirs = b'{"schemaVersion":2,"mediaType":"application/vnd.oci.image.index.v1+json","manifests":[]}'

    def overwrite(owner: FakeRegistry, _asked: Asked, data: bytes) -> Answer:
        owner.manifests["team/llama", "r"] = ("application/vnd.oci.image.index.v1+json", theirs)
        return Answer(201, headers={"Docker-Content-Digest": digest_of(data)})

    scene.registry.rules.append(Rule("PUT", "/manifests/r$", overwrite, times=2))
    scene.send(tree)
    assert len(json.loads(scene.registry.manifests["team/llama", "r"][1])["manifests"]) == 1
    scene.registry.rules.append(Rule("PUT", "/manifests/r$", overwrite))
    scene.registry.manifests.pop(("team/llama", "r"))
    assert "changed by others all the time" in scene.refused(tree).found


def test_an_upload_that_is_sent_to_another_host_goes_there_without_the_token(
    scene: Scene, tree: Publication
) -> None:
    scene.registry.auth = "bearer"
    scene.log_in()
    with FakeRegistry() as storage:

        def elsewhere(owner: FakeRegistry, asked: Asked, _data: bytes) -> Answer | None:
            if "authorization" not in asked.headers:
                return None
            number = str(len(owner.log))
            storage.uploads[number] = bytearray()
            return Answer(202, headers={"Location": f"{storage.base}/v2/team/llama/blobs/uploads/{number}"})

        scene.registry.rules.append(Rule("POST", "/blobs/uploads/", elsewhere))
        storage.blobs = scene.registry.blobs
        scene.send(tree)
        assert scene.is_whole(tree)
        assert storage.log
        assert not any("authorization" in each.headers for each in storage.log)


def test_a_config_of_docker_that_cannot_be_read_is_named(scene: Scene, tree: Publication) -> None:
    scene.registry.auth = "basic"
    (scene.folder / "no-docker").mkdir()
    path = scene.folder / "no-docker" / "config.json"
    for text in ("{", "[]", '{"auths": []}', json.dumps({"auths": {scene.registry.host: {"auth": "!"}}})):
        path.write_text(text)
        with pytest.raises(UsageError) as caught:
            scene.send(tree)
        assert caught.value.where == str(path)
