from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from recipes.core.settings import read_settings
from tests.support.fixture_project import FixtureProject, make_project, provide_source

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture(scope="session")
def shared_store() -> Path:
    """The user's own store: its toolchain and runtime libraries are content-addressed, and take minutes to make."""
    return read_settings().store


@pytest.fixture
def project(tmp_path: Path, shared_store: Path) -> FixtureProject:
    made = make_project(tmp_path, shared_store)
    provide_source(made)
    return made
