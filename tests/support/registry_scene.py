"""A registry that misbehaves as told, a store, and a console and a clock that remember."""

from __future__ import annotations

import base64
import json
import random
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import pytest

from recipes.core.console import Silent
from recipes.core.digest import Sha256, hash_tree
from recipes.core.errors import RegistryError
from recipes.fetch.http.retry import Patience, Tempo
from recipes.registry.documents import TargetPlatform
from recipes.registry.publish import Publication, Published, publish
from recipes.registry.reference import parse_repository
from recipes.registry.tree import BUNDLE, RECIPE, SCHEMA, TreeFacts
from tests.support.oci_registry import PASSWORD, USER

if TYPE_CHECKING:
    from pathlib import Path

    from recipes.registry.reference import Repository
    from recipes.store.context import Context
    from tests.support.oci_registry import FakeRegistry

TAG = "plan-of-a-test"


class Listening(Silent):
    """A console that keeps what is said."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def say(self, text: str) -> None:
        self.lines.append(text)

    def warn(self, text: str) -> None:
        self.lines.append(f"warning: {text}")


@dataclass
class Clock:
    """The time of a test: it passes while somebody sleeps."""

    now_s: float = 0.0
    slept: list[float] = field(default_factory=list)

    def sleep(self, wait_s: float) -> None:
        self.slept.append(wait_s)
        self.now_s += wait_s

    def tempo(self, **patience: float) -> Tempo:
        return Tempo(Patience(**{"timeout_s": 20.0, **patience}), self.sleep, lambda: self.now_s)  # type: ignore[arg-type] # numbers all


def publication(
    folder: Path, seed: int = 1, platform: str = "linux-x86_64-cpu", tag: str = TAG
) -> Publication:
    """Make a tree that does not pack, of 3 MB, and what is published of it."""
    (folder / "bin").mkdir(parents=True)
    (folder / "bin" / "program").write_bytes(random.Random(seed).randbytes(3_000_000))
    (folder / "bin" / "program").chmod(0o755)
    tree = hash_tree(folder, Sha256)
    return Publication(
        folder=folder,
        tag=tag,
        facts=TreeFacts(schema=SCHEMA, kind=BUNDLE, tree=tree.hex, recipe="r", platform=platform),
        annotations={"org.opencontainers.image.title": "a test", RECIPE: "r"},
        mtime=0,
        pinned=True,
        documents={"sbom.cdx.json": b"{}"},
        index="r",
        target=TargetPlatform(os="linux", architecture="amd64"),
    )


@dataclass(frozen=True)
class Scene:
    """A registry that misbehaves as told, a store, and a console and a clock that remember."""

    registry: FakeRegistry
    context: Context
    clock: Clock
    folder: Path

    @property
    def console(self) -> Listening:
        assert isinstance(self.context.console, Listening)
        return self.context.console

    @property
    def repository(self) -> Repository:
        return parse_repository(self.registry.repository())

    def send(self, *trees: Publication, others: tuple[str, ...] = ()) -> tuple[Published, ...]:
        return publish(self.context, self.repository, trees, others, self.clock.tempo())

    def refused(self, *trees: Publication) -> RegistryError:
        with pytest.raises(RegistryError) as caught:
            self.send(*trees)
        assert caught.value.where == self.registry.repository()
        return caught.value

    def log_in(self, password: str = PASSWORD) -> None:
        (self.folder / "no-docker").mkdir()
        auth = base64.b64encode(f"{USER}:{password}".encode()).decode()
        config = {"auths": {self.registry.host: {"auth": auth}}}
        (self.folder / "no-docker" / "config.json").write_text(json.dumps(config))

    def is_whole(self, tree: Publication, name: str = "team/llama") -> bool:
        """Whether a tag is there with all that it needs."""
        manifest = json.loads(self.registry.manifests[name, tree.tag][1])
        named = (manifest["config"], *manifest["layers"])
        return all((name, each["digest"]) in self.registry.blobs for each in named)
