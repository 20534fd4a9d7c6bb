"""What a run works in: a scratch folder, a project that pins the pair, a store of its own."""

from __future__ import annotations

import os
import shutil
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import mkdtemp
from typing import TYPE_CHECKING

from recipes.core.digest import hash_file
from recipes.core.filesystem import STORE_VARIABLE, remove_tree, size_text
from recipes.core.settings import HUB_VARIABLE, TIMEOUT_VARIABLE
from recipes.manifest.load import PROJECT
from tests.benchmarks.turns import UnmeasurableError
from tests.fullsize.bad_hub import REPOSITORY

if TYPE_CHECKING:
    from collections.abc import Iterator

NAME = "full-size"
FREE_BYTES = 1 << 30  # that stay free: a machine whose disk is full does strange things
SILENT_S = 5  # how long a server may be silent: each stall costs so much
MANIFEST = """\
schema: model/1
name: {name}
summary: random weights of the true shape
architecture: qwen3vlmoe
projector: qwen3vl_merger
licence: MIT
hub: https://hub.example
repository: {repository}
revision_unlocked: there is none
files:
  - role: model
    file: {model.name}
    size_bytes: {model_bytes}
    sha256: {model_sha}
    quantisation: Q4_K_M
  - role: mmproj
    file: {mmproj.name}
    size_bytes: {mmproj_bytes}
    sha256: {mmproj_sha}
    quantisation: F16
"""


@dataclass(frozen=True)
class Scene:
    """The folders of one run."""

    folder: Path

    @property
    def model(self) -> Path:
        """The language model that is served."""
        return self.folder / "served" / "model-Q4_K_M.gguf"

    @property
    def mmproj(self) -> Path:
        """Its projector."""
        return self.folder / "served" / "mmproj-F16.gguf"

    @property
    def project(self) -> Path:
        """Manifests of this repository, and one more."""
        return self.folder / "project"

    @property
    def store(self) -> Path:
        """Where the pair is fetched to."""
        return self.folder / "store"

    @property
    def size_bytes(self) -> int:
        """Of both files."""
        return self.model.stat().st_size + self.mmproj.stat().st_size

    def environment(self, hub: str = "http://127.0.0.1:9") -> dict[str, str]:
        """What a session of a user gets here; the hub's address is one that nobody listens at."""
        kept = {
            name: value for name, value in os.environ.items() if not name.startswith(("HF_", "PINNED_LLAMA_"))
        }
        return {
            **kept,
            STORE_VARIABLE: str(self.store),
            HUB_VARIABLE: hub,
            TIMEOUT_VARIABLE: str(SILENT_S),
            "HF_HUB_CACHE": str(self.folder / "no-cache"),
            "NO_PROXY": "127.0.0.1",
        }

    def pin(self) -> None:
        """Write the project, with the digests of what is served."""
        for name in ("manifests", "patches"):
            shutil.copytree(PROJECT / name, self.project / name)
        text = MANIFEST.format(
            name=NAME,
            repository=REPOSITORY,
            model=self.model,
            model_bytes=self.model.stat().st_size,
            model_sha=hash_file(self.model).hex,
            mmproj=self.mmproj,
            mmproj_bytes=self.mmproj.stat().st_size,
            mmproj_sha=hash_file(self.mmproj).hex,
        )
        (self.project / "manifests" / "models" / f"{NAME}.yaml").write_text(text, encoding="utf-8")

    def forget_served(self) -> None:
        """Remove what was served: it is in the store now, and the page cache has room for one pair."""
        shutil.rmtree(self.model.parent)


@contextmanager
def scene(folder: Path, pair_bytes: int) -> Iterator[Scene]:
    """Return a new folder with room for the pair twice, as it is served and as it is fetched; remove it in any case.

    A hard link or reflink would save one of the two, and then nothing would have been fetched.

    Raises
    ------
    UnmeasurableError
        Where there is no room, before a byte is written.
    """
    folder.mkdir(parents=True, exist_ok=True)
    needed_bytes, free_bytes = 2 * pair_bytes + FREE_BYTES, shutil.disk_usage(folder).free
    if free_bytes < needed_bytes:
        raise UnmeasurableError(
            f"{folder}: {size_text(needed_bytes)} are needed, the pair twice and {size_text(FREE_BYTES)}"
            f" to spare; {size_text(free_bytes)} are free. Name another --folder, or fewer --layers"
        )
    made = Scene(Path(mkdtemp(prefix="pinned-llama-fullsize-", dir=folder)))
    try:
        made.model.parent.mkdir()
        yield made
    finally:
        remove_tree(made.folder)  # a store's files are read-only
