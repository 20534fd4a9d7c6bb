"""What the authorities and the SDK are, read once."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from recipes.build.toolchain.toolchain import ensure_toolchain
from recipes.core.console import open_console
from recipes.core.settings import read_settings
from recipes.manifest.load import Manifests
from recipes.store.context import Context
from recipes.store.store import Store
from tests.apple.authorities import fetch_authorities
from tests.apple.objc_tables import Image
from tests.apple.pyobjc import read_pyobjc
from tests.support import paths

if TYPE_CHECKING:
    from pathlib import Path

    from tests.apple.pyobjc import Pyobjc

# What only our build sends: of macOS 15, which ggml uses where the SDK has them; `new` is the runtime's objc_opt_new.
ONLY_OURS = {
    *("addAllocation:", "endResidency", "newResidencySetWithDescriptor:error:", "removeAllAllocations"),
    *("requestResidency", "setInitialCapacity:", "setLabel:", "new"),
}


@pytest.fixture(scope="session")
def store() -> Store:
    return Store.open(read_settings().store)


@pytest.fixture(scope="session")
def zig(store: Store) -> Path:
    """The folder of the toolchain's zig: the compiler and, below it, what it carries of the C library."""
    manifests = Manifests()
    recipe = manifests.recipe(manifests.defaults().recipe)
    toolchain = manifests.toolchain(recipe.platforms["linux-x86_64-cpu"].toolchain)
    entry = ensure_toolchain(toolchain, Context(store, open_console(), read_settings()))
    return entry.path / "ziglang" / "ziglang"


@pytest.fixture(scope="session")
def sdk() -> Path:
    return paths.PROJECT / "recipes" / "build" / "apple_sdk" / "MacOSX.sdk"


@pytest.fixture(scope="session")
def authorities() -> Path:
    return fetch_authorities()


@pytest.fixture(scope="session")
def pyobjc(authorities: Path) -> Pyobjc:
    return read_pyobjc(authorities)


@pytest.fixture(scope="session")
def linked(authorities: Path) -> tuple[Image, Image]:
    """b6751 and b7827, each as Apple's linker left it in a wheel of xllamacpp."""
    return tuple(
        Image(next((authorities / f"xllamacpp-{version}" / "xllamacpp").glob("*.so")))
        for version in ("0.2.3", "0.2.10")
    )  # type: ignore[return-value] # there are two


@pytest.fixture(scope="session")
def bindings(pyobjc: Pyobjc, linked: tuple[Image, Image]) -> dict[str, str]:
    """Each symbol that Apple-linked code takes from a library, and that library."""
    return {**pyobjc.bindings, **linked[0].libraries, **linked[1].libraries}
