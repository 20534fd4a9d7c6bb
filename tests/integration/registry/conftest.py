from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from recipes.core.settings import Settings
from recipes.registry import caches
from recipes.store.context import Context
from recipes.store.store import Store
from tests.support.oci_registry import FakeRegistry
from tests.support.registry_scene import Clock, Listening, Scene, publication

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from recipes.registry.publish import Publication


@pytest.fixture(autouse=True)
def alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No login of the machine's user, and no cache that an earlier test met."""
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path / "no-docker"))
    monkeypatch.setattr(caches, "_left_alone", set())


@pytest.fixture
def tree(tmp_path: Path) -> Publication:
    return publication(tmp_path / "tree")


@pytest.fixture
def scene(tmp_path: Path) -> Iterator[Scene]:
    context = Context(Store.open(tmp_path / "store"), Listening(), Settings(tmp_path / "store"))
    with FakeRegistry() as registry:
        yield Scene(registry, context, Clock(), tmp_path)
