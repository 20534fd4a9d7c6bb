"""A project with one model of a hub, a store, and a hub on loopback that misbehaves as it is told."""

from __future__ import annotations

import hashlib
import io
import random
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import pytest

from recipes.core.console import Plain
from recipes.core.digest import Sha256
from recipes.core.settings import Settings
from recipes.fetch.download.piece_file import pieces_path
from recipes.fetch.fetcher import Fetcher
from recipes.fetch.http.retry import Patience, Tempo
from recipes.models.fetch import ModelFetcher
from recipes.models.files import PinnedFile, pinned_files
from recipes.store.store import Store
from tests.support.http_server import Behaviour, Server
from tests.support.model_manifests import HUB, a_project

if TYPE_CHECKING:
    from pathlib import Path

    from recipes.core.errors import RecipeError
    from recipes.manifest.load import Manifests

PIECE = 1024
DATA = random.Random(50).randbytes(300_123)
OTHER = random.Random(51).randbytes(len(DATA))
MMPROJ = random.Random(52).randbytes(5_000)
SHA, MMPROJ_SHA = Sha256.of_bytes(DATA), Sha256.of_bytes(MMPROJ)
AT = "/someone/Some-GGUF/resolve/main/model.gguf"
MMPROJ_AT = "/someone/Some-GGUF/resolve/main/mmproj.gguf"
CDN = "/cdn/model"


def manifest(
    sha: Sha256 | None = SHA, size_bytes: int | None = len(DATA), revision: str | None = None
) -> str:
    """The manifest of the one model, pinned so."""
    text = HUB.replace("b2" * 32, MMPROJ_SHA.hex).replace("size_bytes: 4\n", f"size_bytes: {len(MMPROJ)}\n")
    if sha is not None:
        text = text.replace("unlocked: no digest is known", f"sha256: {sha.hex}")
    if size_bytes is not None:
        text = text.replace("max_bytes: 5000", f"size_bytes: {size_bytes}")
    else:
        text = text.replace("max_bytes: 5000", "max_bytes: 1000000")
    if revision is not None:
        text = text.replace("revision_unlocked: never seen", f"revision: {revision}")
    return text


@dataclass
class ModelBench:
    """What a test of a model's fetch needs."""

    folder: Path
    hub: Server
    cdn: Server
    manifests: Manifests = field(init=False)
    store: Store = field(init=False)
    settings: Settings = field(init=False)
    connections: int = 4
    timeout_s: float = 30.0
    waits: list[float] = field(default_factory=list)
    said: io.StringIO = field(default_factory=io.StringIO)

    def __post_init__(self) -> None:
        self.store = Store.open(self.folder / "store")
        self.settings = Settings(self.store.root, hub_url=self.hub.base)
        self.pin()

    def pin(self, text: str | None = None, **others: str) -> None:
        """Write the model's manifest."""
        self.manifests = a_project(self.folder / "project", hub=text or manifest(), **others)

    def serve(self, *behaviours: Behaviour, data: bytes = DATA) -> None:
        """Have the hub answer for the model itself, and the projector be there."""
        self.hub.serve(AT, data, *behaviours)
        self.hub.serve(MMPROJ_AT, MMPROJ)

    def serve_by_redirect(
        self, *behaviours: Behaviour, data: bytes = DATA, headers: dict[str, str] | None = None
    ) -> None:
        """Have the hub send on to another server, which answers so."""
        target = self.cdn.serve(CDN, data, *behaviours)
        more = tuple((headers or {}).items())
        self.serve(Behaviour(status=302, body=b"moved", headers=(("Location", target), *more)))

    def fetcher(self) -> ModelFetcher:
        tempo = Tempo(Patience(timeout_s=self.timeout_s), sleep=self.waits.append)
        downloads = Fetcher(
            self.store,
            Plain(self.said),
            self.settings,
            tempo,
            connections=self.connections,
            piece_bytes=PIECE,
        )
        return ModelFetcher(self.manifests, downloads)

    def fetch(self, named: Path | None = None) -> Path:
        """Fetch the model; give the path of its first file."""
        return self.fetcher().fetch(self.manifests.model("hub"), named)[0].path

    def refusal(self, kind: type[RecipeError], named: Path | None = None) -> RecipeError:
        with pytest.raises(kind) as caught:
            self.fetch(named)
        return caught.value

    def set(self, **changes: object) -> None:
        """Change what the user asked for."""
        self.settings = replace(self.settings, **changes)  # type: ignore[arg-type] # each is named by a test

    def files(self) -> tuple[PinnedFile, ...]:
        return pinned_files(self.manifests.model("hub"), self.manifests, self.store)

    @property
    def pieces(self) -> Path:
        return pieces_path(self.store, self.files()[0].sha256)

    def asked(self) -> list[str | None]:
        """The ranges that were asked of the hub for the model."""
        return [request.range for request in self.hub.log if request.path == AT]

    def rejected(self) -> list[bytes]:
        return [
            path.read_bytes() for path in sorted(self.store.rejected.glob("*/*")) if path.name != "why.txt"
        ]

    def assert_nothing_wrong_in_store(self) -> None:
        for blob in self.store.blobs.iterdir():
            assert hashlib.sha256(blob.read_bytes()).hexdigest() == blob.name
