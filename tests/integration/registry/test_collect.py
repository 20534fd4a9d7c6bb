"""Garbage of a repository: what no release needs goes, with what refers to it; the rest stays, whole."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import pytest

from recipes.build.releases import runtimes_of
from recipes.core.console import Silent
from recipes.core.digest import Sha256, hash_tree
from recipes.core.settings import Settings
from recipes.manifest.load import Manifests
from recipes.registry.claims import Claim, State, encode_claim
from recipes.registry.client import DELETE, Client, RegistryFaultError
from recipes.registry.collect import Pinned, choose, describe, remove
from recipes.registry.contents import read_contents
from recipes.registry.documents import (
    EMPTY,
    INDEX_TYPE,
    MANIFEST_TYPE,
    TargetPlatform,
    make_index,
)
from recipes.registry.documents import (
    describe as described,
)
from recipes.registry.ended_claims import LONGEST_WATCH_S, find_ended
from recipes.registry.names import Kind, fallback_tag, parse_tag, plan_tag, runtime_tag, stage_tag, tree_tag
from recipes.registry.publish import Publication, publish
from recipes.registry.reference import parse_repository
from recipes.registry.referrers import find_referrers
from recipes.registry.tree import PAGE, PLATFORM, RUNTIME, SCHEMA, SOURCE, TREE, TreeFacts
from recipes.registry.upload import Blob, push_blob
from recipes.registry.workers import Held as Own
from recipes.registry.workers import Worker
from recipes.serve.container.compose import Image
from recipes.serve.container.document import image_manifest
from recipes.serve.container.layers import Member, write_layer
from recipes.serve.container.push import push_images
from recipes.store.context import Context
from recipes.store.store import Store
from tests.support.docker_registry import DockerRegistry
from tests.support.oci_registry import Answer, Asked, FakeRegistry, Rule, error
from tests.support.pinned_bundle import make_pinned
from tests.support.registry_scene import Clock, Listening, Scene, publication

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from recipes.registry.collect import Choice
    from recipes.registry.contents import Contents
    from recipes.registry.reference import Repository
    from tests.support.fixture_project import Answer as Said

OTHERS = "of-somebody-else"
A, B, C = (plan_tag(Sha256.of_bytes(name)) for name in (b"a", b"b", b"c"))
NOTHING = Pinned(frozenset())


def client_of(scene: Scene) -> Client:
    return Client(scene.repository, scene.context, DELETE, tempo=scene.clock.tempo())


def decided(
    client: Client, pinned: Pinned = NOTHING, ended: Mapping[Sha256, str] | None = None
) -> tuple[Contents, tuple[Choice, ...]]:
    contents = read_contents(client)
    return contents, choose(contents, pinned, ended or {})


def going(choices: tuple[Choice, ...]) -> set[str]:
    """The tags that go, but for indexes, which follow from the others."""
    return {each.held.tag for each in choices if each.goes and not each.held.listed}


@pytest.fixture
def two(scene: Scene, tmp_path: Path) -> tuple[Publication, Publication]:
    """Two bundles of a recipe, and an artifact that is not ours."""
    first = publication(tmp_path / "first", seed=1, platform="a", tag=A)
    second = publication(tmp_path / "second", seed=2, platform="b", tag=B)
    scene.send(first, second)
    config = json.loads(scene.registry.manifests["team/llama", A][1])["config"]
    data = json.dumps({"schemaVersion": 2, "config": {**config, "mediaType": "x/y"}, "layers": []}).encode()
    scene.registry.manifests["team/llama", OTHERS] = ("application/vnd.oci.image.manifest.v1+json", data)
    return first, second


@pytest.mark.parametrize("api", ["", "referrers"])
def test_what_no_release_pins_goes_with_what_refers_to_it(scene: Scene, tmp_path: Path, api: str) -> None:
    scene.registry.has_referrers = bool(api)
    first = publication(tmp_path / "first", seed=1, platform="a", tag=A)
    second = publication(tmp_path / "second", seed=2, platform="b", tag=B)
    scene.send(first)
    kept = dict(scene.registry.manifests)
    scene.send(first, second)
    with client_of(scene) as client:
        contents, choices = decided(client, Pinned(frozenset({first.facts.tree})))
        assert going(choices) == {B}
        lines = list(describe(contents, choices))
        assert f"   3.0 MB  {B}  r@b: no release needs it" in lines
        assert "bundles:            1 of 2 would go, 3.0 MB" in lines
        assert lines[-1] == "3.0 MB would go, 3.0 MB would stay"
        assert scene.registry.tags >= {A, B}
        assert remove(client, contents, choices) == (1 if api else 2)
    # the index is written once more without a date: it is the one of the first alone
    assert {name for name in scene.registry.tags if not name.startswith("sha256-")} == {A, "r"}
    gone = scene.registry.manifests.keys() - kept.keys()
    assert all(scene.registry.manifests[key][0].endswith("index.v1+json") for key in gone)
    assert scene.registry.manifests["team/llama", "r"] == kept["team/llama", "r"]
    assert scene.is_whole(first)


def test_what_somebody_else_published_stays(scene: Scene, two: tuple[Publication, Publication]) -> None:
    assert len(two) == 2
    with client_of(scene) as client:
        contents, choices = decided(client)
        line = f"left alone, as this project did not write them: 1 ({OTHERS})"
        assert line in list(describe(contents, choices))
        remove(client, contents, choices)
    assert scene.registry.tags == {OTHERS}


def test_a_bundle_that_nothing_pins_has_two_tags_and_is_counted_once(scene: Scene, tmp_path: Path) -> None:
    scene.send(replace(publication(tmp_path / "first", tag=A), pinned=False))
    with client_of(scene) as client:
        contents, choices = decided(client)
        assert len(going(choices)) == 2
        assert list(describe(contents, choices))[-1] == "3.0 MB would go, 0 B would stay"
        remove(client, contents, choices)
    assert scene.registry.tags == set()
    assert not [line for line in scene.console.lines if "stays" in line]


def test_a_platform_without_a_pin_stays(scene: Scene, two: tuple[Publication, Publication]) -> None:
    with client_of(scene) as client:
        _, choices = decided(client, Pinned(frozenset(), frozenset({"r@b"})))
    assert going(choices) == {two[0].tag}


def test_a_tag_that_moved_meanwhile_stays(
    scene: Scene, two: tuple[Publication, Publication], tmp_path: Path
) -> None:
    with client_of(scene) as client:
        contents, choices = decided(client, Pinned(frozenset({two[1].facts.tree})))
        scene.send(publication(tmp_path / "new", seed=3, platform="a", tag=A))
        assert remove(client, contents, choices) == 0
    assert A in scene.registry.tags


def test_a_registry_with_many_tags_is_read_page_by_page(scene: Scene) -> None:
    def page(_owner: FakeRegistry, asked: Asked, _data: bytes) -> Answer:
        number = int(asked.path.partition("page=")[2] or 0)
        link = {"Link": f'</v2/team/llama/tags/list?page={number + 1}>; rel="next"'} if number < 2 else {}
        return Answer(200, json.dumps({"name": "x", "tags": [f"t{number}"]}).encode(), link)

    scene.registry.rules.append(Rule("GET", "/tags/list", page))
    with client_of(scene) as client:
        assert client.tags() == ("t0", "t1", "t2")


def test_the_command_lists_first_and_keeps_what_the_last_releases_pin(tmp_path: Path) -> None:
    old, new = make_pinned(tmp_path / "old", b"old" * 1000), make_pinned(tmp_path / "new", b"new" * 1000)
    # one project with two releases and the state between them
    project = new.project
    git = ["git", "-C", str(project.root), "-c", "user.name=x", "-c", "user.email=x@x.invalid"]
    shutil.copytree(
        old.project.root, project.root, dirs_exist_ok=True, ignore=shutil.ignore_patterns("manifests")
    )
    later = project.manifest.read_text()

    def commit(text: str, *words: str) -> None:
        project.manifest.write_text(text)
        environ = {**os.environ, "GIT_COMMITTER_DATE": f"2026-01-0{len(words) + 1}T00:00:00Z"}
        subprocess.run([*git, "add", "-A"], check=True)
        subprocess.run([*git, "commit", "-qm", "x", "--allow-empty"], check=True, env=environ)
        for word in words[-1:]:
            subprocess.run([*git, "tag", word], check=True)

    subprocess.run([*git, "init", "-q"], check=True)
    commit(old.project.manifest.read_text(), "v1")
    commit(later, "", "v2")
    with FakeRegistry() as registry:
        to = registry.repository()
        assert old.project.recipes("publish", "--to", to).status == 0
        assert project.recipes("publish", "--to", to).status == 0
        tags = registry.tags
        assert len([tag for tag in tags if tag.startswith("plan-")]) == 1  # the same plan, and other bytes
        # so the first one is under its digest alone now; a tag of somebody's keeps it
        both = project.recipes("gc", "--registry", to, "--releases", "2")
        assert both.status == 0, both.err
        assert "kept: what the manifests here need, and those of v2, v1" in both.out
        assert "nothing was removed: that takes --remove" in both.out
        assert "0 B would go" in both.out
        assert registry.tags == tags


def test_a_registry_that_removes_nothing_is_named(scene: Scene, two: tuple[Publication, Publication]) -> None:
    assert two
    scene.registry.rules.append(Rule("DELETE", "/manifests/", error(405, "UNSUPPORTED", "is disabled")))
    with client_of(scene) as client, pytest.raises(Exception, match="UNSUPPORTED is disabled"):
        remove(client, *decided(client))


@dataclass
class Yard:
    """A repository of a registry, and who writes into it."""

    repository: Repository
    context: Context
    folder: Path

    def client(self) -> Client:
        return Client(self.repository, self.context, DELETE)

    def send(self, *trees: Publication) -> None:
        publish(self.context, self.repository, trees)

    def stage(self, kind: str, seed: int, tag: str = "") -> Publication:
        made = publication(self.folder / f"stage-{seed}", seed)
        tree = hash_tree(made.folder, Sha256)
        facts = TreeFacts(schema=SCHEMA, kind=kind, tree=tree.hex, recipe="r")
        return replace(made, tag=tag or stage_tag(kind, tree), facts=facts, documents={}, index="")

    def send_image(self, tree: str, name: str, platform: str, tag: str = "") -> None:
        """Send an image that is made of a bundle's tree, and the index of its name."""
        folder = self.folder / f"image-{name}-{platform}"
        folder.mkdir()
        layers = (write_layer(folder / "layer.tar", [Member("file", f"{name} {platform}".encode())], 0),)
        config = json.dumps({"name": name, "platform": platform}).encode()
        data = image_manifest(config, layers, {TREE: tree})
        own = described(data, MANIFEST_TYPE, annotations={PLATFORM: platform})
        image = Image(f"{name}@{platform}", name, data, config, layers, own, None)
        push_images(self.context, self.repository, [image], tag or f"image-{name}")

    def put(self, tag: str, data: bytes, media_type: str = MANIFEST_TYPE) -> None:
        with self.client() as client:
            client.put_manifest(self.repository.at(tag), data, media_type)

    def manifest(self, tag: str) -> bytes:
        with self.client() as client:
            found = client.find_manifest(self.repository.at(tag))
        assert found
        return found.data

    def claim(
        self, stage: str, state: State = State.HELD, lease_s: float = 120.0, worker: str = "0" * 16
    ) -> str:
        """Put a claim that nobody will ever change."""
        claim = Claim(stage=stage, worker=worker, state=state, beat=1, lease_s=lease_s)
        with self.client() as client:
            push_blob(client, Blob.of_bytes(EMPTY))
        self.put(claim.tag, encode_claim(claim))
        return claim.tag

    def tags(self) -> set[str]:
        """The tags that name something: docker-registry can list one that it has just removed."""
        with self.client() as client:
            return {tag for tag in client.tags() if client.find_manifest(self.repository.at(tag))}

    def collect(self, pinned: Pinned, clock: Clock | None = None) -> list[str]:
        """Do what the command does; return what it would say."""
        clock = clock or Clock()
        with self.client() as client:
            ended = find_ended(client, sleep=clock.sleep, clock=lambda: clock.now_s)
            contents, choices = decided(client, pinned, ended)
            lines = list(describe(contents, choices))
            remove(client, contents, choices)
        return lines


@pytest.fixture(params=["docker-registry", "faulty", "faulty, with referrers"])
def yard(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Yard]:
    """A registry that is Debian's, and the tests' own."""
    context = Context(Store.open(tmp_path / "store"), Listening(), Settings(tmp_path / "store"))
    is_real = request.param == "docker-registry"
    made = (
        DockerRegistry(tmp_path / "registry") if is_real else FakeRegistry(has_referrers="," in request.param)
    )
    with made as registry:
        yield Yard(parse_repository(registry.repository()), context, tmp_path)


def test_of_each_kind_what_a_release_needs_stays_and_the_rest_goes(yard: Yard) -> None:
    bundles = {
        name: publication(yard.folder / name, seed, name, tag)
        for seed, (name, tag) in enumerate((("kept", A), ("old", B), ("open", C)))
    }
    unpinned = replace(
        publication(yard.folder / "tried", 7, "old", plan_tag(Sha256.of_bytes(b"d"))), pinned=False
    )
    stages = {
        seed: yard.stage(kind, seed) for seed, kind in ((10, SOURCE), (11, SOURCE), (12, PAGE), (13, PAGE))
    }
    runtimes = [runtime_tag("x86_64", Sha256.of_bytes(name)) for name in (b"now", b"once")]
    made_by = [yard.stage(RUNTIME, 20 + number, tag) for number, tag in enumerate(runtimes)]
    yard.send(*bundles.values(), unpinned, *stages.values(), *made_by)
    for name in ("kept", "old", "open"):
        yard.send_image(bundles[name].facts.tree if name != "open" else "0" * 64, "r", name)
    yard.send_image(bundles["old"].facts.tree, "r-pocket", "old")
    ended = {yard.claim(B), yard.claim(C, State.RELEASED)}
    yard.put("mine", yard.manifest(stages[13].tag))  # somebody's own name for what nobody else needs
    before = yard.tags()
    pinned = Pinned(
        frozenset(each.facts.tree for each in (bundles["kept"], stages[10], stages[12])),
        frozenset({"r@open"}),
        frozenset(runtimes[:1]),
    )
    lines = yard.collect(pinned)
    gone = {
        *ended,
        *(B, unpinned.tag, tree_tag(unpinned.tag, unpinned.facts.tree)),
        stages[11].tag,
        runtimes[1],
        *("image-r-old", "image-r-pocket", "image-r-pocket-old"),
    }
    assert gone < before
    left = {tag for tag in yard.tags() if parse_tag(tag).kind is not Kind.REFERRERS}
    assert left == {tag for tag in before - gone if parse_tag(tag).kind is not Kind.REFERRERS}
    for tag, entries in (("r", 2), ("image-r", 2)):
        assert len(json.loads(yard.manifest(tag))["manifests"]) == entries
    counts = {line.partition(":")[0]: line.partition(":")[2].split(" would")[0].strip() for line in lines}
    assert (
        counts.items()
        >= {
            "claims": "2 of 2",
            "bundles": "2 of 4",
            "bundles by tree": "1 of 1",
            "images": "3 of 6",
            "sources": "1 of 2",
            "pages": "0 of 2",
            "runtime libraries": "1 of 2",
            "indexes of recipes": "0 of 1",
        }.items()
    )
    # two bundles, a source, and runtime libraries, each of 3 MB
    assert lines[-1].startswith("12.0 MB would go")
    assert all(f"{tag}" in "\n".join(lines) for tag in gone)
    # and what stays is left as it is by a second time
    assert yard.collect(pinned)[-1].startswith("0 B would go")
    assert {tag for tag in yard.tags() if parse_tag(tag).kind is not Kind.REFERRERS} == left


def test_documents_go_with_what_they_are_about_and_those_of_what_is_gone_too(yard: Yard) -> None:
    first, second = (publication(yard.folder / tag, seed, tag[-2:], tag) for seed, tag in ((1, A), (2, B)))
    yard.send(first, second)
    with yard.client() as client:
        digests = [Sha256.of_bytes(yard.manifest(tag)) for tag in (A, B)]
        listed = [yard.repository.at(fallback_tag(each)) for each in digests]
        is_listed = client.find_manifest(listed[1]) is not None  # there is no API for it
        client.delete(digests[1])  # by hand, without what refers to it
    yard.collect(Pinned(frozenset({first.facts.tree})))
    assert yard.tags() == {A, "r", *({fallback_tag(digests[0])} if is_listed else ())}
    yard.collect(NOTHING)
    assert yard.tags() == set()


class Beating(Clock):
    """A time in which one worker goes on saying that it lives."""

    def __init__(self, worker: Worker, held: Own) -> None:
        super().__init__()
        self.worker, self.held = worker, held

    def sleep(self, wait_s: float) -> None:
        super().sleep(wait_s)
        self.held = self.worker._again(self.worker._client, self.held)


def test_what_a_worker_builds_now_stays_until_it_has_been_silent_for_its_lease(yard: Yard) -> None:
    ours = replace(publication(yard.folder / "ours", 1, tag=A), pinned=False)
    other = publication(yard.folder / "other", 2, platform="other", tag=B)
    yard.send(ours, other)
    by_tree = tree_tag(A, ours.facts.tree)
    with Worker(yard.context, yard.repository, 120.0) as worker:
        held = worker._win(A)
        assert held
        clock = Beating(worker, held)
        lines = yard.collect(NOTHING, clock)
        assert "claims:             0 of 1 would go, 0 B" in lines
        assert clock.now_s < 120.0  # one word was enough
        claim = clock.held.claim.tag
        assert yard.tags() >= {A, by_tree, claim, "r"}
        assert B not in yard.tags()
        silent = Clock()
        lines = yard.collect(NOTHING, silent)  # the worker says nothing any more
        assert 120.0 <= silent.now_s < 120.0 + 10
        assert any(f"{claim}: its worker was silent for 120 s" in line for line in lines)
    assert yard.tags() == set()


def test_a_lease_that_is_too_long_to_look_on_is_believed(yard: Yard) -> None:
    tag, clock = yard.claim(A, lease_s=LONGEST_WATCH_S + 1), Clock()
    yard.send(publication(yard.folder / "ours", tag=A))
    yard.collect(NOTHING, clock)
    assert yard.tags() >= {tag, A}
    assert clock.slept == []


def test_what_is_claimed_after_it_was_looked_at_stays(yard: Yard) -> None:
    yard.send(publication(yard.folder / "ours", tag=A), publication(yard.folder / "other", 2, "b", B))
    with yard.client() as client:
        contents, choices = decided(client)
        assert going(choices) == {A, B}
        claim = yard.claim(A)
        remove(client, contents, choices)
    assert yard.tags() >= {A, claim, "r"}
    assert B not in yard.tags()


@pytest.mark.parametrize("how", ["tag", "index"])
def test_what_somebody_else_names_too_stays(yard: Yard, how: str) -> None:
    """A registry removes a manifest with all its tags."""
    yard.send(publication(yard.folder / "ours", tag=A), publication(yard.folder / "other", 2, "b", B))
    data = yard.manifest(A)
    if how == "tag":
        yard.put("prod", data)
    else:
        entry = described(data, MANIFEST_TYPE, platform=TargetPlatform(os="linux", architecture="amd64"))
        yard.put("prod", make_index((entry,)), INDEX_TYPE)
    yard.collect(NOTHING)
    assert yard.tags() >= {A, "prod", "r"}
    assert yard.manifest(A) == data
    assert B not in yard.tags()


def test_a_document_that_somebody_else_names_too_stays(yard: Yard) -> None:
    yard.send(publication(yard.folder / "ours", tag=A))
    with yard.client() as client:
        (document,) = find_referrers(client, Sha256.of_bytes(yard.manifest(A)))
        found = client.find_manifest(yard.repository.at(document.sha256))
    assert found
    yard.put("sbom", found.data)
    yard.collect(NOTHING)
    assert yard.tags() == {"sbom"}


def foreign(text: str) -> bytes:
    """A manifest that this project does not make; each text gives another."""
    config = described(EMPTY, "x/y")
    named = {"mediaType": config.media_type, "digest": config.digest, "size": config.size}
    document = {"schemaVersion": 2, "mediaType": MANIFEST_TYPE, "config": named, "layers": []}
    return json.dumps({**document, "annotations": {"text": text}}).encode()


def test_names_like_ours_with_other_content_and_content_like_ours_under_other_names_stay(yard: Yard) -> None:
    yard.send(publication(yard.folder / "ours", tag=A), publication(yard.folder / "other", 2, "b", C))
    yard.send_image("0" * 64, "r", "a")
    yard.send_image("0" * 64, "of-a-person", "a", tag="v1")
    with yard.client() as client:
        push_blob(client, Blob.of_bytes(EMPTY))
    names = {B, stage_tag(PAGE, Sha256.of_bytes(b"")), "image-x", f"claim-{A}-{'0' * 16}", "runtime-x", "r2"}
    for name in names:
        yard.put(name, foreign(name))
    yard.put("release", yard.manifest("r"), INDEX_TYPE)  # a copy of an index, under a name of its own
    yard.send(publication(yard.folder / "third", 3, "c", plan_tag(Sha256.of_bytes(b"third"))))
    yard.put(f"tree-{A}-0", yard.manifest(plan_tag(Sha256.of_bytes(b"third"))))
    before = yard.tags()
    yard.collect(NOTHING)
    # the index of images alone is ours, and what it lists is nobody else's
    assert before - yard.tags() == {"image-r", "image-r-a"}


def test_bytes_that_something_else_has_too_are_not_freed(yard: Yard) -> None:
    made = yard.stage(RUNTIME, 1, runtime_tag("x86_64", Sha256.of_bytes(b"now")))
    page = yard.stage(PAGE, 2)
    shutil.rmtree(page.folder)
    shutil.copytree(made.folder, page.folder)
    yard.send(
        made, replace(page, facts=TreeFacts(schema=SCHEMA, kind=PAGE, tree=made.facts.tree, recipe="r"))
    )
    lines = yard.collect(Pinned(frozenset(), runtimes=frozenset({made.tag})))
    assert "pages:              1 of 1 would go" in "\n".join(lines)
    assert any(line.startswith(f"   3.0 MB  {page.tag}") for line in lines)
    assert "MB would go" not in lines[-1]
    assert lines[-1].endswith("3.0 MB would stay")


def test_a_claim_that_was_released_needs_no_look(yard: Yard) -> None:
    tag, clock = yard.claim(A, State.RELEASED), Clock()
    assert any(line.endswith(f"{tag}: released") for line in yard.collect(NOTHING, clock))
    assert clock.slept == []
    assert yard.tags() == set()


def test_a_tag_that_cannot_be_read_now_could_name_anything_so_nothing_is_removed(
    scene: Scene, two: tuple[Publication, Publication]
) -> None:
    before = scene.registry.tags
    assert before >= {each.tag for each in two}
    scene.registry.rules.append(Rule("GET", f"/manifests/{OTHERS}$", error(403, "DENIED")))
    with client_of(scene) as client, pytest.raises(RegistryFaultError, match="DENIED"):
        decided(client)
    assert scene.registry.tags == before


@dataclass
class Releases:
    """A project with a git repository, whose releases differ."""

    root: Path

    def git(self, *words: str, day: int = 1) -> None:
        git = ["git", "-C", str(self.root), "-c", "user.name=x", "-c", "user.email=x@x.invalid"]
        environ = {**os.environ, "GIT_COMMITTER_DATE": f"2026-01-0{day}T00:00:00Z"}
        subprocess.run([*git, *words], check=True, env=environ)

    def release(self, number: int) -> None:
        """Tag what lies there, a day after the release before."""
        self.git("add", "-A")
        self.git("commit", "-qm", "x", "--allow-empty", day=number)
        self.git("tag", f"v{number}")


def test_runtime_libraries_of_releases_stay_and_of_one_that_cannot_be_read_all_do(tmp_path: Path) -> None:
    pinned = make_pinned(tmp_path)
    project, context = pinned.project, Context(Store.open(tmp_path / "s"), Silent(), Settings(tmp_path / "s"))
    toolchain = next((project.root / "manifests" / "toolchains").glob("zig*"))
    releases = Releases(project.root)
    releases.git("init", "-q")
    first = runtimes_of(Manifests(project.root))
    releases.release(1)
    digest = Manifests(project.root).toolchain(toolchain.stem).hosts["linux-x86_64"][0].sha256.hex
    toolchain.write_text(toolchain.read_text().replace(digest, "0" * 64))
    releases.release(2)
    second = runtimes_of(Manifests(project.root))
    assert first - second
    assert second - first
    with FakeRegistry() as registry:
        yard = Yard(parse_repository(registry.repository()), context, tmp_path)
        never = runtime_tag("x86_64", Sha256.of_bytes(b"never"))
        one, two = min(first - second), min(second - first)
        yard.send(*(yard.stage(RUNTIME, seed, tag) for seed, tag in enumerate((one, two, never))))

        def collect(*words: str) -> Said:
            done = project.recipes("gc", "--registry", registry.repository(), *words)
            assert done.status == 0, done.err
            return done

        assert f"{never}: no release needs it" in (done := collect("--releases", "2")).out
        assert "runtime libraries:  1 of 3 would go" in done.out
        assert yard.tags() == {one, two, never}
        collect("--releases", "2", "--remove")
        assert yard.tags() == {one, two}
        # a later release of another schema: this version cannot tell what it is built with
        text = toolchain.read_text()
        toolchain.write_text(text.replace("schema: toolchain/1", "schema: toolchain/2"))
        releases.release(3)
        toolchain.write_text(text)
        done = collect("--releases", "1", "--remove")
        assert "this version cannot read v3" in done.err
        assert yard.tags() == {one, two}
        collect("--releases", "3", "--remove")
        assert yard.tags() == {one, two}
        releases.git("tag", "-d", "v3")
        collect("--releases", "1", "--remove")
        assert yard.tags() == {two}


def test_the_command_removes_a_claim_whose_time_is_over(tmp_path: Path) -> None:
    project = make_pinned(tmp_path).project
    Releases(project.root).git("init", "-q")
    with FakeRegistry() as registry:
        context = Context(Store.open(tmp_path / "s"), Silent(), Settings(tmp_path / "s"))
        yard = Yard(parse_repository(registry.repository()), context, tmp_path)
        tag = yard.claim(A, lease_s=0.1)
        done = project.recipes("gc", "--registry", registry.repository())
        assert (done.status, yard.tags()) == (0, {tag}), done.err
        assert f"{tag}: its worker was silent for 0.1 s" in done.out
        done = project.recipes("gc", "--registry", registry.repository(), "--remove")
        assert "removed 1 tags" in done.out
        assert yard.tags() == set()
