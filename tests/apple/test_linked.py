"""ggml-metal of the unpatched b6751, compiled here with our SDK, against the same source linked with Apple's.

The second is in the wheel of xllamacpp 0.2.3. Each difference is explained, by what two compilers and two SDKs do.
"""

from __future__ import annotations

import os
import subprocess
from typing import TYPE_CHECKING

import pytest

from recipes.cli import open_job
from recipes.metal_source import kernel_source
from recipes.options import parser
from recipes.pipeline import ensure_unpatched
from tests.apple.machine_code import Function, functions, reached
from tests.apple.objc_tables import Image

if TYPE_CHECKING:
    from pathlib import Path

FILES = ("ggml-metal-device.m", "ggml-metal-context.m")
FRAMEWORKS = ("Foundation", "Metal", "CoreFoundation")
METAL = "/System/Library/Frameworks/Metal.framework/Versions/A/Metal"
# The wheel's SDK is macOS 14.5's, ours declares what macOS 15 brought: ggml compiles its residency sets with ours only.
STORED = (
    *("setLabel:", "setInitialCapacity:", "newResidencySetWithDescriptor:error:", "description"),
    *("UTF8String", "addAllocation:", "commit", "requestResidency"),
)
RESIDENCY_SETS = {
    "_ggml_metal_buffer_free": {"endResidency", "removeAllAllocations"},
    "_ggml_metal_buffer_init": set(STORED),
    "_ggml_metal_buffer_map": set(STORED),
}
# Apple's clang calls objc_opt_new of the runtime where zig's sends `new`: the same method of NSObject.
NEW = {
    "_ggml_metal_device_init": {"new"},
    "_ggml_metal_graph_compute": {"new"},
    "_ggml_metal_init": {"new"},
    "_ggml_metal_library_init": {"new"},
}


@pytest.fixture(scope="module")
def unpatched() -> Path:
    options = parser().parse_args(["patch", "--recipe", "b6751", "--platform", "macos-arm64-metal"])
    return ensure_unpatched(open_job(options)).path


@pytest.fixture(scope="module")
def ours(unpatched: Path, zig: Path, sdk: Path, tmp_path_factory: pytest.TempPathFactory) -> Image:
    """The Objective-C files of ggml-metal, optimised as in a bundle, but with their symbols."""
    work = tmp_path_factory.mktemp("metal")
    metal = unpatched / "ggml" / "src" / "ggml-metal"
    environment = {**os.environ, "ZIG_GLOBAL_CACHE_DIR": str(work), "ZIG_LOCAL_CACHE_DIR": str(work)}
    compiler = [str(zig / "zig"), "cc", "-target", "aarch64-macos.13.3", "-mcpu=apple_m1"]
    folders = ["-F", str(sdk / "System/Library/Frameworks"), "-L", str(sdk / "usr/lib")]
    for name in FILES:
        subprocess.run(
            [
                *(
                    *compiler,
                    *folders[:2],
                    "-O3",
                    "-DNDEBUG",
                    "-DGGML_METAL_EMBED_LIBRARY",
                    "-fvisibility=hidden",
                ),
                *("-Werror=objc-method-access", "-Werror=unguarded-availability", "-c", str(metal / name)),
                *(f"-I{metal.parent}", f"-I{metal.parent.parent / 'include'}", "-o", str(work / f"{name}.o")),
            ],
            check=True,
            env=environment,
        )
    linked = work / "ours.dylib"
    subprocess.run(
        [
            *(*compiler, *folders, "-shared", *(str(work / f"{name}.o") for name in FILES)),
            *(word for name in FRAMEWORKS for word in ("-framework", name)),
            *("-lobjc", "-Wl,-undefined,dynamic_lookup", "-o", str(linked)),
        ],
        check=True,
        env=environment,
    )
    return Image(linked)


def compared(ours: Image, theirs: Image) -> tuple[dict[str, Function], dict[str, Function]]:
    """Give the functions that both files have, and what Apple's compiler outlined of them."""
    mine, others = functions(ours, "ggml_metal"), functions(theirs, "ggml_metal")
    common = {name for name in mine.keys() & others.keys() if "thunk" not in name}
    outlined = {name for name in others if name.startswith("_OUTLINED_FUNCTION")}
    # a static function that one compiler inlined is a function of its own in the other's file
    return (
        mine,
        {name: function for name, function in others.items() if name in common | outlined},
    )


def test_each_function_sends_what_apples_build_of_it_sends_with_the_same_constants(
    ours: Image, linked: tuple[Image, Image]
) -> None:
    mine, others = compared(ours, linked[0])
    same, constants = 0, 0
    more: dict[str, set[str]] = {}
    for name in sorted(mine.keys() & others.keys()):
        sends, expected = reached(name, mine), reached(name, others)
        assert expected.keys() - sends.keys() == set(), f"{name} of Apple's build sends more"
        for selector in sends.keys() & expected.keys():
            assert sends[selector] == expected[selector], f"{name}: constants of {selector}"
            constants += len(sends[selector])
        if extra := sends.keys() - expected.keys():
            more[name] = extra
        same += bool(sends) and not extra
    assert more == {
        name: RESIDENCY_SETS.get(name, set()) | NEW.get(name, set()) for name in RESIDENCY_SETS | NEW
    }
    # a comparison of nothing would agree too
    assert same >= 24
    assert constants >= 20


def test_the_constants_that_decide_are_among_those_compared(ours: Image, linked: tuple[Image, Image]) -> None:
    mine, others = compared(ours, linked[0])
    for known in (mine, others):
        families = reached("_ggml_metal_device_init", known)["supportsFamily:"]
        assert {(0, 1006), (0, 1007)} <= families
        assert reached("_ggml_metal_buffer_get_tensor", known)[
            "newBufferWithBytesNoCopy:length:options:deallocator:"
        ] >= {(2, 0)}


def test_each_class_is_bound_to_the_library_that_apples_linker_binds_it_to(
    ours: Image, linked: tuple[Image, Image]
) -> None:
    mine = ours.class_references()
    assert mine.pop("MTLResidencySetDescriptor") == METAL  # the wheel's SDK is older, as above
    assert mine == linked[0].class_references()


def test_the_class_that_is_newer_than_the_oldest_macos_is_bound_weakly(ours: Image) -> None:
    weak = {each.symbol.name for each in ours.binary.bindings if each.has_symbol and each.weak_import}
    assert "_OBJC_CLASS_$_MTLResidencySetDescriptor" in weak
    assert "_OBJC_CLASS_$_MTLCompileOptions" not in weak


def test_no_selector_is_sent_that_apples_build_does_not_send_but_for_those_explained(
    ours: Image, linked: tuple[Image, Image]
) -> None:
    mine, others = set(ours.selectors().values()), set(linked[0].selectors().values())
    assert others - mine == set()
    assert mine - others == {
        *("addAllocation:", "endResidency", "newResidencySetWithDescriptor:error:", "removeAllAllocations"),
        *("requestResidency", "setInitialCapacity:", "setLabel:", "new"),
    }


def test_the_kernels_in_apples_build_are_what_we_say_is_embedded(
    unpatched: Path, linked: tuple[Image, Image]
) -> None:
    assert bytes(linked[0].sections["__ggml_metallib"].content) == kernel_source(unpatched)


def test_a_wrong_selector_or_constant_would_be_found(ours: Image, linked: tuple[Image, Image]) -> None:
    mine, others = compared(ours, linked[0])
    sends = reached("_ggml_metal_device_init", mine)
    sends["supportsFamily:"] = {(0, 1008)}
    assert sends["supportsFamily:"] != reached("_ggml_metal_device_init", others)["supportsFamily:"]
