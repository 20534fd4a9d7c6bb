from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from recipes.core.settings import (
    CACHE_POLICY_VARIABLE,
    CACHES_VARIABLE,
    PERMIT_VARIABLE,
    POLICY_VARIABLE,
    read_settings,
)
from tests.support.fixture_project import FixtureProject, make_project, prepare_platform, provide_source
from tests.support.mac_files import MacCompiler
from tests.support.windows_files import WindowsCompiler

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


def prepare(compiler: type[MacCompiler | WindowsCompiler]) -> None:
    """Fill the store with what a compiler's fixtures give."""
    with tempfile.TemporaryDirectory() as folder:
        compiler(Path(folder)).bundle(Path(folder) / "bundle")


# by the name of a fixture, what takes minutes where the store does not have it yet
PREPARED: dict[str, Callable[[], None]] = {
    "mac": lambda: prepare(MacCompiler),
    "windows": lambda: prepare(WindowsCompiler),
    "shared_store": lambda: prepare_platform("linux-x86_64-cpu"),
    "aarch64_runtime": lambda: prepare_platform("linux-aarch64-cpu"),
}


def pytest_collection_finish(session: pytest.Session) -> None:
    """Compile what the chosen tests share before the first of them starts: then it is in no test's time.

    pytest-timeout counts a fixture's time as that of the test which asks first. Each process of pytest-xdist comes
    here; the store's locks let one of them compile, and the others wait.
    """
    if session.config.option.collectonly:
        return
    wanted = {name for item in session.items for name in getattr(item, "fixturenames", ())}
    for name in PREPARED.keys() & wanted:
        PREPARED[name]()


@pytest.fixture(scope="session", autouse=True)
def _no_policy_of_the_user() -> Iterator[None]:
    """What the user permits, demands or takes from elsewhere is of the project's recipes, not of a fixture's."""
    with pytest.MonkeyPatch.context() as patch:
        for name in (PERMIT_VARIABLE, POLICY_VARIABLE, CACHES_VARIABLE, CACHE_POLICY_VARIABLE):
            patch.delenv(name, raising=False)
        yield


@pytest.fixture(scope="session")
def shared_store() -> Path:
    """The user's own store: its toolchain and runtime libraries are content-addressed, and take minutes to make."""
    return read_settings().store


@pytest.fixture(scope="session")
def aarch64_runtime(shared_store: Path) -> Path:
    """The store, with the runtime libraries for aarch64 made before the tests start."""
    return shared_store


@pytest.fixture(scope="session")
def mac(tmp_path_factory: pytest.TempPathFactory) -> MacCompiler:
    return MacCompiler(tmp_path_factory.mktemp("mac"))


@pytest.fixture(scope="session")
def mac_bundle(mac: MacCompiler, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return mac.bundle(tmp_path_factory.mktemp("mac-bundle") / "bundle")


@pytest.fixture(scope="session")
def windows(tmp_path_factory: pytest.TempPathFactory) -> WindowsCompiler:
    return WindowsCompiler(tmp_path_factory.mktemp("windows"))


@pytest.fixture(scope="session")
def windows_bundle(windows: WindowsCompiler, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return windows.bundle(tmp_path_factory.mktemp("windows-bundle") / "bundle")


@pytest.fixture
def project(tmp_path: Path, shared_store: Path) -> FixtureProject:
    made = make_project(tmp_path, shared_store)
    provide_source(made)
    return made
