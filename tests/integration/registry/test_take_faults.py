"""What a registry does wrong while something is taken: refused exactly, nothing used that is not the pinned tree."""

from __future__ import annotations

import io
import json
import tarfile
from dataclasses import dataclass, field, replace
from http import HTTPStatus
from typing import TYPE_CHECKING

import pytest
import zstandard

from recipes.core.digest import Sha256, hash_tree
from recipes.core.errors import UsageError
from recipes.fetch.http.network_errors import OriginError
from recipes.registry import caches
from recipes.registry.caches import Taken, Wanted, take_from, take_tree
from recipes.registry.reference import parse_repository
from recipes.registry.tree import BUNDLE
from tests.support.http_server import closed_port
from tests.support.oci_registry import Answer, Asked, FakeRegistry, Rule, digest_of, error
from tests.support.registry_scene import TAG, Scene, publication

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from recipes.registry.publish import Publication

MANIFEST = "application/vnd.oci.image.manifest.v1+json"
BLOBS = "/blobs/sha256:"


@pytest.fixture
def there(scene: Scene, tree: Publication) -> Scene:
    """A registry that has the tree, and a console that has forgotten how it came there."""
    scene.send(tree)
    scene.registry.log.clear()
    scene.console.lines.clear()
    return scene


def wanted_of(tree: Publication) -> Wanted:
    return Wanted(BUNDLE, TAG, Sha256(tree.facts.tree), "a test", tree.facts.platform)


@dataclass
class Judge:
    """Says in turn what it was told to, and remembers which trees it was asked about."""

    of_documents: list[str | None]
    of_trees: list[str | None] = field(default_factory=list)
    asked: list[tuple[Sha256, Mapping[str, bytes]]] = field(default_factory=list)
    trees: list[tuple[Sha256, Mapping[str, bytes]]] = field(default_factory=list)

    def refuse_documents(self, tree: Sha256, documents: Mapping[str, bytes]) -> str | None:
        self.asked.append((tree, documents))
        return self.of_documents.pop(0)

    def refuse_tree(self, folder: Path, documents: Mapping[str, bytes]) -> str | None:
        self.trees.append((hash_tree(folder, Sha256), documents))
        return self.of_trees.pop(0)


def take(scene: Scene, wanted: Wanted) -> tuple[Taken | None, Path]:
    into = scene.folder / "into"
    into.mkdir(exist_ok=True)
    return take_from(scene.context, scene.repository, wanted, into, scene.clock.tempo()), into


def refused(scene: Scene, wanted: Wanted) -> OriginError:
    with pytest.raises(OriginError) as caught:
        take(scene, wanted)
    assert list((scene.folder / "into").iterdir()) == []
    return caught.value


def change(scene: Scene, **changes: object) -> None:
    """Change the manifest of the tag; None takes a key away."""
    media_type, data = scene.registry.manifests["team/llama", TAG]
    document = {**json.loads(data), **changes}
    data = json.dumps({name: value for name, value in document.items() if value is not None}).encode()
    scene.registry.manifests["team/llama", TAG] = (str(document.get("mediaType") or media_type), data)


def layer_of(scene: Scene) -> str:
    return str(json.loads(scene.registry.manifests["team/llama", TAG][1])["layers"][0]["digest"])


def put_layer(scene: Scene, data: bytes, size: int | None = None) -> None:
    """Make other bytes the layer, as somebody does who may write to the repository."""
    scene.registry.blobs["team/llama", digest_of(data)] = data
    layer = json.loads(scene.registry.manifests["team/llama", TAG][1])["layers"][0]
    change(scene, layers=[{**layer, "digest": digest_of(data), "size": len(data) if size is None else size}])


def packed(files: Mapping[str, bytes]) -> bytes:
    plain = io.BytesIO()
    with tarfile.open(fileobj=plain, mode="w") as tar:
        for name, data in files.items():
            header = tarfile.TarInfo(name)
            header.size = len(data)
            tar.addfile(header, io.BytesIO(data))
    return zstandard.ZstdCompressor().compress(plain.getvalue())


def test_what_is_taken_is_the_tree_with_its_documents(there: Scene, tree: Publication) -> None:
    taken, into = take(there, wanted_of(tree))
    assert taken is not None
    assert hash_tree(into, Sha256).hex == tree.facts.tree
    assert taken.documents == {"sbom.cdx.json": b"{}"}
    assert list(there.context.store.partial.iterdir()) == []


def test_what_is_not_there_is_no_fault(there: Scene, tree: Publication) -> None:
    taken, into = take(there, replace(wanted_of(tree), name="plan-of-another"))
    assert (taken, list(into.iterdir())) == (None, [])


@pytest.mark.parametrize("stop_after", [0, 1000, 2_000_000])
def test_a_broken_download_goes_on(there: Scene, tree: Publication, stop_after: int) -> None:
    layer = layer_of(there)
    data = there.registry.blobs["team/llama", layer]
    cut = Answer(206, data, {"Content-Range": f"bytes 0-{len(data) - 1}/{len(data)}"}, stop_after=stop_after)
    there.registry.rules.append(Rule("GET", layer, cut, times=1))
    taken, _ = take(there, wanted_of(tree))
    assert taken
    ranges = [each.headers["range"] for each in there.registry.asked("GET", layer)]
    assert ranges == [f"bytes=0-{len(data) - 1}", f"bytes={stop_after}-{len(data) - 1}"]


def test_the_next_command_goes_on_with_a_download(there: Scene, tree: Publication) -> None:
    layer = layer_of(there)
    data = there.registry.blobs["team/llama", layer]
    cut = Answer(206, data, {"Content-Range": f"bytes 0-{len(data) - 1}/{len(data)}"}, stop_after=2_500_000)
    there.registry.rules += [Rule("GET", layer, cut, times=1), Rule("GET", layer, error(500))]
    refused(there, wanted_of(tree))
    there.registry.rules.clear()
    there.registry.log.clear()
    taken, _ = take(there, wanted_of(tree))
    assert taken
    # whole pieces of 1 MiB stay
    assert there.registry.asked("GET", layer)[0].headers["range"].startswith(f"bytes={2 << 20}-")


def test_the_token_stays_where_a_download_is_sent_on(there: Scene, tree: Publication) -> None:
    there.registry.auth = "bearer"
    there.log_in()
    with FakeRegistry() as storage:
        storage.blobs = there.registry.blobs

        def elsewhere(_owner: FakeRegistry, asked: Asked, _data: bytes) -> Answer | None:
            if "authorization" not in asked.headers:
                return None
            return Answer(HTTPStatus.TEMPORARY_REDIRECT, headers={"Location": f"{storage.base}{asked.path}"})

        there.registry.rules.append(Rule("GET", BLOBS, elsewhere))
        taken, _ = take(there, wanted_of(tree))
        assert taken
        assert len(storage.log) >= 2  # the configuration, by a request of its own, and the layer
        assert not any("authorization" in each.headers for each in storage.log)


def test_a_blob_that_the_registry_collected_is_named(there: Scene, tree: Publication) -> None:
    layer = layer_of(there)
    del there.registry.blobs["team/llama", layer]
    assert "404 Not Found" in str(refused(there, wanted_of(tree)))
    config = json.loads(there.registry.manifests["team/llama", TAG][1])["config"]["digest"]
    del there.registry.blobs["team/llama", config]
    assert f"the blob {config}" in str(refused(there, wanted_of(tree)))


def test_other_bytes_are_kept_and_not_used(there: Scene, tree: Publication) -> None:
    layer = layer_of(there)
    data = bytearray(there.registry.blobs["team/llama", layer])
    data[1000] ^= 1
    there.registry.blobs["team/llama", layer] = bytes(data)
    found = refused(there, wanted_of(tree))
    assert found.advice
    assert "other bytes" in str(found)
    (kept,) = there.context.store.rejected.iterdir()
    assert len(list(kept.iterdir())) == 2  # the bytes, and why


@pytest.mark.parametrize(
    ("data", "word"),
    [
        (packed({"bin/program": b"of somebody else"}), "another tree"),
        (packed({"../../outside": b"x"}), "a path with `..`"),
        (b"\x28\xb5\x2f\xfd and no more", "zstd data"),
        (b"<!doctype html><html>log in</html>", "web page"),
    ],
    ids=["another tree", "a way out", "damaged", "a page"],
)
def test_a_layer_that_is_not_the_tree_is_kept_and_not_used(
    there: Scene, tree: Publication, data: bytes, word: str
) -> None:
    put_layer(there, data)
    found = refused(there, wanted_of(tree))
    assert word in str(found)
    assert found.advice
    assert len(list(there.context.store.rejected.iterdir())) == 1


def test_a_layer_that_swells_is_stopped(there: Scene, tree: Publication) -> None:
    put_layer(there, packed({"bin/program": bytes(300 << 20)}))
    assert "never ends, or is a bomb" in str(refused(there, wanted_of(tree)))


def test_100_gb_are_not_begun(there: Scene, tree: Publication) -> None:
    put_layer(there, b"x", size=100 * 10**9)
    assert "announces 100.0 GB, the most is" in str(refused(there, wanted_of(tree)))
    assert there.registry.asked("GET", digest_of(b"x")) == []


def test_a_body_without_an_end_is_stopped(there: Scene, tree: Publication) -> None:
    there.registry.rules.append(
        Rule("GET", "/manifests/", Answer(200, bytes(5 << 20), {"Content-Type": MANIFEST}))
    )
    assert "more than" in str(refused(there, wanted_of(tree)))


@pytest.mark.parametrize(
    ("changes", "word"),
    [
        ({"artifactType": "application/vnd.example.other"}, "is 'application/vnd.example.other'"),
        (
            {"artifactType": "application/vnd.pinned-llama.source.v1"},
            "is 'application/vnd.pinned-llama.source.v1'",
        ),
        ({"mediaType": "application/vnd.docker.distribution.manifest.v2+json"}, "a document of type"),
        ({"schemaVersion": 1}, "schemaVersion 1"),
        ({"layers": []}, "has 0 layers"),
        ({"layers": None}, "layers"),
        ({"config": {"mediaType": "x/y", "digest": "md5:0", "size": 1}}, "sha256"),
        ({"config": {"mediaType": "x/y", "digest": f"sha256:{'0' * 64}", "size": -1}}, "size"),
    ],
)
def test_a_manifest_of_another_type_is_refused(
    there: Scene, tree: Publication, changes: dict[str, object], word: str
) -> None:
    change(there, **changes)
    assert word in str(refused(there, wanted_of(tree)))


DEEP = b'{"schemaVersion": 2, "x": ' + b"[" * 100_000


@pytest.mark.parametrize(
    "data", [DEEP, b"", b"[]", b"{", b"\xff", b"<html>", b'{"schemaVersion": 2}', b"null"], ids=repr
)
def test_what_is_no_manifest_is_refused(there: Scene, tree: Publication, data: bytes) -> None:
    there.registry.manifests["team/llama", TAG] = (MANIFEST, data)
    assert f"{there.registry.repository()}:{TAG}" in str(refused(there, wanted_of(tree)))


def test_a_type_that_head_and_body_tell_differently_is_refused(there: Scene, tree: Publication) -> None:
    _, data = there.registry.manifests["team/llama", TAG]
    there.registry.manifests["team/llama", TAG] = ("application/json", data)
    assert "it says 'application/json'" in str(refused(there, wanted_of(tree)))


def test_a_tag_that_moved_is_another_tree_and_a_digest_has_its_own_bytes(
    there: Scene, tree: Publication, tmp_path: Path
) -> None:
    first = Sha256.of_bytes(there.registry.manifests["team/llama", TAG][1])
    there.send(publication(tmp_path / "other", seed=2))
    found = refused(there, wanted_of(tree))
    assert tree.facts.tree in str(found)
    assert found.advice
    taken, _ = take(there, replace(wanted_of(tree), name=first))
    assert taken
    assert taken.reference.name == first


def test_a_manifest_that_is_not_of_its_digest_is_refused(there: Scene, tree: Publication) -> None:
    first = Sha256.of_bytes(there.registry.manifests["team/llama", TAG][1])
    there.registry.manifests["team/llama", str(first)] = (MANIFEST, b"{}")
    assert "other bytes" in str(refused(there, replace(wanted_of(tree), name=first)))


def test_an_index_is_asked_for_the_platform(there: Scene, tree: Publication) -> None:
    taken, _ = take(there, replace(wanted_of(tree), name="r"))
    assert taken
    (there.folder / "into").rename(there.folder / "first")
    found = refused(there, replace(wanted_of(tree), name="r", platform="plan9-mips-cpu"))
    assert "nothing for plan9-mips-cpu; it has linux-x86_64-cpu" in str(found)


def test_without_a_pin_nothing_is_taken_that_no_policy_accepts(there: Scene, tree: Publication) -> None:
    unpinned = replace(wanted_of(tree), tree=None)
    assert "nothing pins it" in str(refused(there, unpinned))
    judge = Judge(["nobody signed it"])
    assert "nobody signed it" in str(refused(there, replace(unpinned, accept=judge)))
    assert judge.trees == []
    layer = json.loads(there.registry.manifests["team/llama", TAG][1])["layers"][0]["digest"]
    assert there.registry.asked("GET", layer) == []
    judge = Judge([None], ["it is another one"])
    assert "another one" in str(refused(there, replace(unpinned, accept=judge)))
    taken, into = take(there, replace(unpinned, accept=Judge([None], [None])))
    assert taken
    assert hash_tree(into, Sha256).hex == tree.facts.tree
    assert judge.asked == judge.trees == [(Sha256(tree.facts.tree), {"sbom.cdx.json": b"{}"})]


@pytest.mark.parametrize("answer", [error(500), Answer(200, b"<html>"), Answer(200, b"{}")])
def test_documents_that_cannot_be_had_do_not_keep_a_pinned_bundle_away(
    there: Scene, tree: Publication, answer: Answer
) -> None:
    there.registry.rules.append(Rule("GET", "/referrers/", answer))
    taken, _ = take(there, wanted_of(tree))
    assert taken
    assert taken.documents == {}
    assert any(line.startswith("warning: no evidence came with") for line in there.console.lines)


@pytest.fixture
def second() -> Iterator[FakeRegistry]:
    """Another cache, whole and well."""
    with FakeRegistry() as started:
        yield started


def lies(scene: Scene) -> None:
    put_layer(scene, packed({"bin/program": b"of somebody else"}))


def is_half_filled(scene: Scene) -> None:
    del scene.registry.blobs["team/llama", layer_of(scene)]


def breaks(scene: Scene) -> None:
    scene.registry.rules.append(Rule("*", "/v2/", Answer(0)))


def refuses(scene: Scene) -> None:
    scene.registry.rules.append(Rule("*", "/v2/", error(403, "DENIED", "no")))


def asks_for_an_hour(scene: Scene) -> None:
    scene.registry.rules.append(Rule("*", "/v2/", error(429, Retry_After="3600")))


def is_a_web_page(scene: Scene) -> None:
    scene.registry.rules.append(Rule("*", "/v2/", Answer(200, b"<html>", {"Content-Type": "text/html"})))


@pytest.mark.parametrize(
    "fault",
    [lies, is_half_filled, breaks, refuses, asks_for_an_hour, is_a_web_page],
    ids=lambda each: each.__name__,
)
def test_a_cache_that_fails_costs_a_line_and_the_next_one_is_asked(
    there: Scene, second: FakeRegistry, tree: Publication, fault: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(caches, "PATIENCE", replace(caches.PATIENCE, first_wait_s=0.0))
    second.blobs, second.manifests = dict(there.registry.blobs), dict(there.registry.manifests)
    assert callable(fault)
    fault(there)
    nobody = f"http://127.0.0.1:{closed_port()}/team/llama"
    addresses = (nobody, there.registry.repository(), second.repository())
    context = replace(there.context, settings=replace(there.context.settings, caches=addresses))
    for number in range(2):
        into = there.folder / f"into-{number}"
        into.mkdir()
        taken = take_tree(context, wanted_of(tree), into)
        assert taken
        assert str(taken.reference).startswith(second.repository())
        assert hash_tree(into, Sha256).hex == tree.facts.tree
    warnings = [line for line in there.console.lines if line.startswith("warning: cache skipped")]
    assert len(warnings) == 2  # one for each, once a command
    assert "connection refused" in warnings[0]
    assert "\n" not in warnings[1]


def test_a_login_that_cannot_be_read_costs_a_line_too(there: Scene, tree: Publication) -> None:
    there.registry.auth = "bearer"
    (there.folder / "no-docker").mkdir()
    (there.folder / "no-docker" / "config.json").write_text('{"credsStore": "of-nobody"}')
    settings = replace(there.context.settings, caches=(there.registry.repository(),))
    assert (
        take_tree(replace(there.context, settings=settings), wanted_of(tree), there.folder / "none") is None
    )
    assert "docker-credential-of-nobody" in there.console.lines[-1]


def test_a_cache_that_lies_alone_leaves_nothing(there: Scene, tree: Publication) -> None:
    lies(there)
    into = there.folder / "into"
    into.mkdir()
    settings = replace(there.context.settings, caches=(there.registry.repository(),))
    assert take_tree(replace(there.context, settings=settings), wanted_of(tree), into) is None
    assert list(into.iterdir()) == []


def test_offline_asks_nobody(there: Scene, tree: Publication) -> None:
    settings = replace(there.context.settings, caches=(there.registry.repository(),), offline=True)
    assert take_tree(replace(there.context, settings=settings), wanted_of(tree), there.folder) is None
    assert there.registry.log == []


def test_an_address_that_is_none_is_refused(there: Scene, tree: Publication) -> None:
    settings = replace(there.context.settings, caches=("ftp://host.example/x",))
    with pytest.raises(UsageError) as caught:
        take_tree(replace(there.context, settings=settings), wanted_of(tree), there.folder)
    assert "PINNED_LLAMA_CACHES" in caught.value.where
    assert parse_repository(there.registry.repository()) == there.repository
