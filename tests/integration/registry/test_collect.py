"""Garbage of a repository: what no release pins goes, with what refers to it; the rest stays, whole."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from recipes.registry.client import DELETE, Client
from recipes.registry.collect import Pinned, choose, describe, list_trees, remove
from tests.support.oci_registry import Answer, Asked, FakeRegistry, Rule, error
from tests.support.pinned_bundle import make_pinned
from tests.support.registry_scene import Scene, publication

if TYPE_CHECKING:
    from pathlib import Path

    from recipes.registry.publish import Publication

OTHERS = "of-somebody-else"


def client_of(scene: Scene) -> Client:
    return Client(scene.repository, scene.context, DELETE, tempo=scene.clock.tempo())


@pytest.fixture
def two(scene: Scene, tmp_path: Path) -> tuple[Publication, Publication]:
    """Two bundles of a recipe, and an artifact that is not ours."""
    first = publication(tmp_path / "first", seed=1, platform="a", tag="plan-a")
    second = publication(tmp_path / "second", seed=2, platform="b", tag="plan-b")
    scene.send(first, second)
    config = json.loads(scene.registry.manifests["team/llama", "plan-a"][1])["config"]
    data = json.dumps({"schemaVersion": 2, "config": {**config, "mediaType": "x/y"}, "layers": []}).encode()
    scene.registry.manifests["team/llama", OTHERS] = ("application/vnd.oci.image.manifest.v1+json", data)
    return first, second


@pytest.mark.parametrize("api", ["", "referrers"])
def test_what_no_release_pins_goes_with_what_refers_to_it(scene: Scene, tmp_path: Path, api: str) -> None:
    scene.registry.has_referrers = bool(api)
    first = publication(tmp_path / "first", seed=1, platform="a", tag="plan-a")
    second = publication(tmp_path / "second", seed=2, platform="b", tag="plan-b")
    scene.send(first)
    kept = dict(scene.registry.manifests)
    scene.send(first, second)
    with client_of(scene) as client:
        choices = choose(list_trees(client), Pinned(frozenset({first.facts.tree})))
        assert {each.held.tag: each.goes for each in choices} == {"plan-a": False, "plan-b": True}
        assert describe(choices)[-1] == "3.0 MB would go, 3.0 MB would stay"
        assert scene.registry.tags >= {"plan-a", "plan-b"}
        assert remove(client, choices) == 1
    # the index is written anew without a date: it is the one of the first alone
    assert {name for name in scene.registry.tags if not name.startswith("sha256-")} == {"plan-a", "r"}
    gone = scene.registry.manifests.keys() - kept.keys()
    assert all(scene.registry.manifests[key][0].endswith("index.v1+json") for key in gone)
    assert scene.registry.manifests["team/llama", "r"] == kept["team/llama", "r"]
    assert scene.is_whole(first)


def test_what_somebody_else_published_stays(scene: Scene, two: tuple[Publication, Publication]) -> None:
    assert len(two) == 2
    with client_of(scene) as client:
        assert remove(client, choose(list_trees(client), Pinned(frozenset()))) == 2
    assert scene.registry.tags == {OTHERS}


def test_a_bundle_that_nothing_pins_has_two_tags_and_is_counted_once(scene: Scene, tmp_path: Path) -> None:
    scene.send(replace(publication(tmp_path / "first"), pinned=False))
    with client_of(scene) as client:
        choices = choose(list_trees(client), Pinned(frozenset()))
        assert len(choices) == 2
        assert describe(choices)[-1] == "3.0 MB would go, 0 B would stay"
        assert remove(client, choices) == 1
    assert scene.registry.tags == set()
    assert not [line for line in scene.console.lines if "stays" in line]


def test_a_platform_without_a_pin_stays(scene: Scene, two: tuple[Publication, Publication]) -> None:
    with client_of(scene) as client:
        choices = choose(list_trees(client), Pinned(frozenset(), frozenset({"r@b"})))
    assert {each.held.tag for each in choices if each.goes} == {two[0].tag}


def test_a_tag_that_moved_meanwhile_stays(
    scene: Scene, two: tuple[Publication, Publication], tmp_path: Path
) -> None:
    with client_of(scene) as client:
        choices = choose(list_trees(client), Pinned(frozenset({two[1].facts.tree})))
        scene.send(publication(tmp_path / "new", seed=3, platform="a", tag="plan-a"))
        assert remove(client, choices) == 0
    assert "plan-a" in scene.registry.tags


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
        assert "kept: what the manifests here pin, and those of v2, v1" in both.out
        assert "nothing was removed: that takes --remove" in both.out
        assert "0 B would go" in both.out
        assert registry.tags == tags


def test_a_registry_that_removes_nothing_is_named(scene: Scene, two: tuple[Publication, Publication]) -> None:
    assert two
    scene.registry.rules.append(Rule("DELETE", "/manifests/", error(405, "UNSUPPORTED", "is disabled")))
    with client_of(scene) as client, pytest.raises(Exception, match="UNSUPPORTED is disabled"):
        remove(client, choose(list_trees(client), Pinned(frozenset())))
