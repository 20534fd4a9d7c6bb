"""What is shipped: the Metal backend of a bundle against Apple's build of the unpatched tree.

Run after `build -- --recipe b6751 --platform macos-arm64-metal`; PINNED_LLAMA_TEST_RECIPE names another recipe: b7827
or b11312. A bundle has no symbols of functions left: selectors, classes and libraries are compared of the file as a
whole; function by function is test_linked.py's.
"""

from __future__ import annotations

import os
from difflib import unified_diff
from typing import TYPE_CHECKING

import pytest

from recipes.build.pipeline import find_bundle
from recipes.cli.job import open_job
from recipes.cli.parser import parser
from recipes.manifest.load import PROJECT
from tests.apple.conftest import ONLY_APPLES, ONLY_OURS
from tests.apple.objc_tables import Image

if TYPE_CHECKING:
    from pathlib import Path

RECIPE = os.environ.get("PINNED_LLAMA_TEST_RECIPE", "b6751")
WORDS = ["--recipe", RECIPE, "--platform", "macos-arm64-metal"]


@pytest.fixture(scope="module")
def backend() -> Path:
    job = open_job(parser("fetch").parse_args(["fetch", *WORDS]))  # `build` needs libraries that are not here
    bundle = find_bundle(job, job.plan())
    if bundle is None:
        pytest.fail(f"there is no bundle; build it: python3 noxfile.py -s build -- {' '.join(WORDS)}")
    (library,) = (bundle.entry.path / "lib").glob("libggml-metal*.dylib")
    return library


@pytest.fixture(scope="module")
def apples(linked: dict[str, Image]) -> Image:
    """Apple's build of the same tree; for b11312, of a later one."""
    return linked[RECIPE]


def test_the_backend_sends_what_apples_build_sends(backend: Path, apples: Image) -> None:
    ours, theirs = (set(image.selectors().values()) for image in (Image(backend), apples))
    assert theirs - ours == ONLY_APPLES[RECIPE]
    assert ours - theirs == ONLY_OURS


def test_its_classes_are_in_the_libraries_where_apples_linker_found_them(
    backend: Path, apples: Image
) -> None:
    image = Image(backend)
    classes = image.class_references()
    weak = {each.symbol.name for each in image.binary.bindings if each.has_symbol and each.weak_import}
    assert classes.pop("MTLResidencySetDescriptor").endswith("/Metal")
    assert {name for name in weak if "OBJC" in name} == {"_OBJC_CLASS_$_MTLResidencySetDescriptor"}
    assert classes == apples.class_references()


def test_its_symbols_of_frameworks_are_in_the_libraries_where_apples_linker_found_them(
    backend: Path, bindings: dict[str, str]
) -> None:
    taken = {
        symbol: library
        for symbol, library in Image(backend).libraries.items()
        if library.startswith("/System/Library/Frameworks/") or "libobjc" in library
    }
    known = {symbol: bindings.get(symbol) for symbol in taken}
    del taken["_OBJC_CLASS_$_MTLResidencySetDescriptor"], known["_OBJC_CLASS_$_MTLResidencySetDescriptor"]
    assert len(taken) > 15
    assert known == taken


@pytest.mark.skipif(RECIPE == "b11312", reason="the wheel's kernels are of a later version")
def test_its_kernels_differ_from_apples_build_by_the_patch_alone(backend: Path, apples: Image) -> None:
    ours, theirs = (
        bytes(image.sections["__ggml_metallib"].content).decode().splitlines()
        for image in (Image(backend), apples)
    )
    changed = [
        line
        for line in unified_diff(theirs, ours, n=0, lineterm="")
        if line[:1] in "+-" and line[:3] not in {"---", "+++"}
    ]
    patches = sorted((PROJECT / "patches" / RECIPE).glob("*.patch"))
    patched = {
        line
        for path in patches
        for line in path.read_text().splitlines()
        if line[:1] in "+-" and line[:3] not in {"---", "+++"}
    }
    assert bool(changed) == any("ggml/src/ggml-metal/" in path.read_text() for path in patches)
    assert [line for line in changed if line not in patched] == []
