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


# What only Apple's build sends: the wheel for b11312 is of a later version, which catches what the compiler of kernels
# throws.
ONLY_APPLES: dict[str, set[str]] = {"b6751": set(), "b7827": set(), "b11312": {"reason"}}
# What b11312 uses only to find and read a Metal library on disk: in functions that nothing calls where kernels are
# embedded, so that the compiler drops them. No authority knows these methods, no stub these classes and variables.
DROPPED = {
    *("+[NSCharacterSet whitespaceCharacterSet]", "+[NSError errorWithDomain:code:userInfo:]"),
    *("+[NSFileManager defaultManager]", "+[NSProcessInfo processInfo]", "+[NSScanner scannerWithString:]"),
    *("+[NSSet set]", "+[NSString pathWithComponents:]", "-[NSBundle pathForResource:ofType:]"),
    *("-[NSMutableString appendString:]", "-[NSProcessInfo arguments]", "-[NSScanner charactersToBeSkipped]"),
    *("-[NSScanner setCharactersToBeSkipped:]", "-[NSString componentsSeparatedByString:]"),
    *("-[NSString stringByAppendingPathComponent:]", "-[NSString stringByAppendingPathExtension:]"),
    *("-[NSString stringByDeletingLastPathComponent]", "-[NSString stringByStandardizingPath]"),
    *("-[NSString stringByTrimmingCharactersInSet:]", "-[NSString substringToIndex:]"),
}
DROPPED_SYMBOLS = {
    *("NSBundle", "NSCharacterSet", "NSFileManager", "NSMutableSet", "NSMutableString", "NSProcessInfo"),
    *("NSScanner", "NSSet", "NSFileType", "NSFileTypeSymbolicLink", "NSLocalizedDescriptionKey"),
}
WHEELS = {"b6751": "0.2.3", "b7827": "0.2.10", "b11312": "2026.10.11549"}


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
def linked(authorities: Path) -> dict[str, Image]:
    """For each recipe a wheel of xllamacpp, linked by Apple's linker: of the same llama.cpp, for b11312 of b11549."""
    return {
        recipe: Image(next((authorities / f"xllamacpp-{version}" / "xllamacpp").glob("*.so")))
        for recipe, version in WHEELS.items()
    }


@pytest.fixture(scope="session")
def bindings(pyobjc: Pyobjc, linked: dict[str, Image]) -> dict[str, str]:
    """Each symbol that Apple-linked code takes from a library, and that library."""
    found = dict(pyobjc.bindings)
    for image in linked.values():
        found |= image.libraries
    return found
