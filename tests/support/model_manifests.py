"""Manifests of models for tests: one in the repository, one of a hub, and what spoils them."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

from recipes.core.digest import Sha256
from recipes.manifest.load import Manifests
from recipes.models.loader.table import table_path
from tests.support import paths

if TYPE_CHECKING:
    from pathlib import Path

    from recipes.manifest.schema import Model

DATA = paths.DATA / "manifests"

LOCAL = f"""\
schema: model/1
name: local
summary: files of the repository
architecture: qwen3vlmoe
projector: qwen3vl_merger
licence: MIT
golden: tests/golden.json
files:
  - role: model
    path: data/model.gguf
    size_bytes: 3
    sha256: {"a1" * 32}
    quantisation: F16
  - role: mmproj
    path: data/mmproj.gguf
    size_bytes: 4
    sha256: {"b2" * 32}
    quantisation: F16
"""
HUB = f"""\
schema: model/1
name: hub
summary: files of a hub
architecture: qwen3vlmoe
projector: qwen3vl_merger
licence: Apache-2.0
hub: https://hub.example
repository: someone/Some-GGUF
revision_unlocked: never seen
files:
  - role: model # the large one
    file: model.gguf
    max_bytes: 5000
    unlocked: no digest is known
    quantisation: Q4_K_M
  - role: mmproj
    file: mmproj.gguf
    size_bytes: 4
    sha256: {"b2" * 32}
    quantisation: F16
"""


def hub_with(model: bytes, mmproj: bytes) -> str:
    """The manifest of a hub's model, with the pins of these files."""
    text = HUB.replace("b2" * 32, Sha256.of_bytes(mmproj).hex).replace(
        "bytes: 4\n", f"bytes: {len(mmproj)}\n"
    )
    text = text.replace("unlocked: no digest is known", f"sha256: {Sha256.of_bytes(model).hex}")
    return text.replace("max_bytes: 5000", f"size_bytes: {len(model)}")


BARE = HUB.replace("name: hub", "name: bare")  # without a digest of the model


def a_project(folder: Path, **texts: str) -> Manifests:
    """The small project of tests/data with these models in it, by name."""
    shutil.copytree(DATA / "project", folder, dirs_exist_ok=True)
    models = folder / "manifests" / "models"
    models.mkdir(parents=True, exist_ok=True)
    own = Manifests()
    for recipe in Manifests(folder).recipe_names():  # their llama.cpp reads what ours does
        table = folder / table_path(recipe)
        table.parent.mkdir(exist_ok=True)
        shutil.copy(own.project / table_path(own.defaults().recipe), table)
    for name, text in texts.items():
        (models / f"{name}.yaml").write_text(text, encoding="utf-8")
    return Manifests(folder)


def the_model(folder: Path, text: str) -> Model:
    """The one model of a project with this text."""
    name = text.split("name: ")[1].split("\n", maxsplit=1)[0]
    return a_project(folder, **{name: text}).model(name)
