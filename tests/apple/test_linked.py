"""ggml-metal of an unpatched tree, compiled here with our SDK, against a wheel of xllamacpp, linked with Apple's.

For b6751 the wheel has the same source, for b11312 that of b11549. Each difference is explained, by what
two compilers, two SDKs and two versions do.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from typing import TYPE_CHECKING

import pytest

from recipes.build.audit.macho.metal_kernels import kernel_sources
from recipes.build.source_tree import ensure_unpatched
from recipes.cli.job import open_job
from recipes.cli.parser import parser
from tests.apple.conftest import DROPPED, DROPPED_SYMBOLS, ONLY_APPLES, ONLY_OURS
from tests.apple.machine_code import Function, functions, reached
from tests.apple.objc_tables import Image

if TYPE_CHECKING:
    from pathlib import Path

FILES = ("ggml-metal-device.m", "ggml-metal-context.m")
FRAMEWORKS = ("Foundation", "Metal", "CoreFoundation")
METAL = "/System/Library/Frameworks/Metal.framework/Versions/A/Metal"
# The wheels' SDK is macOS 14.5's, ours declares what macOS 15 brought: ggml compiles its residency sets with ours only.
STORED = {
    *("setLabel:", "setInitialCapacity:", "newResidencySetWithDescriptor:error:", "description"),
    *("UTF8String", "addAllocation:", "commit", "requestResidency"),
}
LISTED = {"addObject:", "lock", "unlock"}  # b11312 keeps a list of them,
KEPT = {
    "count",
    "lock",
    "objectAtIndexedSubscript:",
    "requestResidency",
    "unlock",
}  # asks for each again and again,
# and lets the GPU do a little work once
WORK = {
    *("blitCommandEncoder", "commandBuffer", "commit", "endEncoding", "fillBuffer:range:value:"),
    "newBufferWithLength:options:",
}
RELEASED = {"endResidency", "removeAllAllocations"}
# Apple's clang calls objc_opt_new of the runtime where zig's sends `new`: the same method of NSObject.
NEW = {"new"}
ONLY_OURS_SENDS = {
    "b6751": {
        "_ggml_metal_buffer_free": RELEASED,
        "_ggml_metal_buffer_init": STORED,
        "_ggml_metal_buffer_map": STORED,
        "_ggml_metal_device_init": NEW,
        "_ggml_metal_graph_compute": NEW,
        "_ggml_metal_init": NEW,
        "_ggml_metal_library_init": NEW,
    },
    "b11312": {
        "___ggml_metal_library_compile_all_block_invoke": NEW,
        "___ggml_metal_rsets_init_block_invoke": KEPT,
        "_ggml_metal_buffer_free": RELEASED | {"commit"},
        "_ggml_metal_buffer_init": STORED | LISTED,
        "_ggml_metal_buffer_map": STORED | LISTED,
        "_ggml_metal_device_init": NEW | WORK,
        "_ggml_metal_graph_compute": NEW,
        "_ggml_metal_init": NEW,
        "_ggml_metal_library_init": NEW,
        "_ggml_metal_library_init_from_source": NEW,
        "_ggml_metal_rsets_init": WORK,
    },
}
# The later version of the wheel catches what the compiler of kernels throws, and logs the reason.
CAUGHT = {
    "___ggml_metal_library_compile_all_block_invoke": {"UTF8String", "reason"},
    "_ggml_metal_device_init": {"reason"},
    "_ggml_metal_library_init_from_source": {"reason"},
}
ONLY_APPLES_SENDS: dict[str, dict[str, set[str]]] = {"b6751": {}, "b11312": CAUGHT}
# The later version chooses between two language versions (0x40000 and 0x30001, by csel) where b11312 knows one; and
# zig's compiler keeps a selector on the stack over the loop that sends it, where what is read here does not follow it.
LANGUAGE = "setLanguageVersion: with the constants [(0, 262144)], Apple's build has []"
LOOP = "countByEnumeratingWithState:objects:count: with the constants [], Apple's build has [(2, 16)]"
OTHER_CONSTANTS: dict[str, tuple[str, ...]] = {
    "b6751": (),
    "b11312": (
        f"___ggml_metal_library_compile_all_block_invoke: {LANGUAGE}",
        f"_ggml_metal_device_init: {LANGUAGE}",
        f"_ggml_metal_device_init: {LOOP}",
        f"_ggml_metal_library_init: {LOOP}",
        f"_ggml_metal_library_init_from_source: {LANGUAGE}",
    ),
}


@pytest.fixture(scope="module", params=["b6751", "b11312"])
def recipe(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="module")
def unpatched(recipe: str) -> Path:
    options = parser("patch").parse_args(["patch", "--recipe", recipe])
    return ensure_unpatched(open_job(options)).path


@pytest.fixture(scope="module")
def ours(unpatched: Path, zig: Path, sdk: Path, tmp_path_factory: pytest.TempPathFactory) -> Image:
    return build(unpatched, zig, sdk, tmp_path_factory.mktemp("metal"))


@pytest.fixture(scope="module")
def theirs(recipe: str, linked: dict[str, Image]) -> Image:
    return linked[recipe]


def build(source: Path, zig: Path, sdk: Path, work: Path) -> Image:
    """Compile the Objective-C files of ggml-metal, optimised as in a bundle, but with their symbols."""
    metal = source / "ggml" / "src" / "ggml-metal"
    environment = {**os.environ, "ZIG_GLOBAL_CACHE_DIR": str(work), "ZIG_LOCAL_CACHE_DIR": str(work)}
    compiler = [str(zig / "zig"), "cc", "-target", "aarch64-macos.13.3", "-mcpu=apple_m1"]
    folders = ["-F", str(sdk / "System/Library/Frameworks"), "-L", str(sdk / "usr/lib")]
    flags = ["-O3", "-DNDEBUG", "-DGGML_METAL_EMBED_LIBRARY", "-fvisibility=hidden"]
    flags += ["-Werror=objc-method-access", "-Werror=unguarded-availability"]
    includes = [f"-I{metal.parent}", f"-I{metal.parent.parent / 'include'}"]
    objects = [str(work / f"{name}.o") for name in FILES]
    for name, made in zip(FILES, objects, strict=True):
        command = [*compiler, *folders[:2], *flags, *includes, "-c", str(metal / name), "-o", made]
        subprocess.run(command, check=True, env=environment)
    linked = work / "ours.dylib"
    frameworks = [word for name in FRAMEWORKS for word in ("-framework", name)]
    command = [
        *compiler,
        *folders,
        "-shared",
        *objects,
        *frameworks,
        "-lobjc",
        "-Wl,-undefined,dynamic_lookup",
    ]
    subprocess.run([*command, "-o", str(linked)], check=True, env=environment)
    return Image(linked)


def compared(ours: Image, theirs: Image) -> tuple[dict[str, Function], dict[str, Function]]:
    """Return the functions that both files have, and what Apple's compiler outlined of them."""
    mine, others = functions(ours, "ggml_metal"), functions(theirs, "ggml_metal")
    common = {name for name in mine.keys() & others.keys() if "thunk" not in name}
    outlined = {name for name in others if name.startswith("_OUTLINED_FUNCTION")}
    # a static function that one compiler inlined is a function of its own in the other's file
    return (
        mine,
        {name: function for name, function in others.items() if name in common | outlined},
    )


def differences(ours: Image, theirs: Image) -> tuple[list[str], int, int]:
    """Return a line for each selector or constant that only one build has, how many functions agree, and constants."""
    mine, others = compared(ours, theirs)
    same, constants, lines = 0, 0, []
    for name in sorted(mine.keys() & others.keys()):
        sends, expected = reached(name, mine), reached(name, others)
        lines += [
            f"{name}: only Apple's build sends {each}" for each in sorted(expected.keys() - sends.keys())
        ]
        lines += [f"{name}: only ours sends {each}" for each in sorted(sends.keys() - expected.keys())]
        for selector in sorted(sends.keys() & expected.keys()):
            constants += len(sends[selector])
            if sends[selector] != expected[selector]:
                values = f"{sorted(sends[selector])}, Apple's build has {sorted(expected[selector])}"
                lines.append(f"{name}: {selector} with the constants {values}")
        same += bool(sends) and sends == expected
    return lines, same, constants


def explained(recipe: str) -> set[str]:
    """Return the lines of differences that have a reason."""
    sends = (("only ours", ONLY_OURS_SENDS), ("only Apple's build", ONLY_APPLES_SENDS))
    return set(OTHER_CONSTANTS[recipe]) | {
        f"{name}: {side} sends {each}"
        for side, known in sends
        for name, selectors in known[recipe].items()
        for each in selectors
    }


def test_each_function_sends_what_apples_build_of_it_sends_with_the_same_constants(
    recipe: str, ours: Image, theirs: Image
) -> None:
    lines, same, constants = differences(ours, theirs)
    assert set(lines) == explained(recipe)
    # a comparison of nothing would agree too
    assert same >= {"b6751": 24, "b11312": 40}[recipe]
    assert constants >= {"b6751": 20, "b11312": 50}[recipe]


def test_a_wrong_constant_of_the_sdk_is_found_in_the_machine_code(  # noqa: PLR0913, PLR0917 - each is a fixture
    recipe: str, unpatched: Path, zig: Path, sdk: Path, ours: Image, theirs: Image, tmp_path: Path
) -> None:
    copy = tmp_path / "MacOSX.sdk"
    shutil.copytree(sdk, copy)
    header = copy / "System/Library/Frameworks/Metal.framework/Headers/Metal.h"
    text = header.read_text()
    assert "MTLBarrierScopeBuffers = 1" in text
    header.write_text(text.replace("MTLBarrierScopeBuffers = 1", "MTLBarrierScopeBuffers = 2"))
    lines, _, _ = differences(build(unpatched, zig, copy, tmp_path), theirs)
    (line,) = set(lines) - explained(recipe)
    assert line.startswith("_ggml_metal_encoder_memory_barrier: memoryBarrierWithScope: ")
    assert line.index("[(0, 2)]") < line.index("[(0, 1)]")
    assert "memoryBarrierWithScope:" in ours.selectors().values()


def test_the_constants_that_decide_are_among_those_compared(ours: Image, theirs: Image) -> None:
    mine, others = compared(ours, theirs)
    for known in (mine, others):
        families = reached("_ggml_metal_device_init", known)["supportsFamily:"]
        assert {(0, 1006), (0, 1007)} <= families
        assert reached("_ggml_metal_buffer_get_tensor", known)[
            "newBufferWithBytesNoCopy:length:options:deallocator:"
        ] >= {(2, 0)}


def test_each_class_is_bound_to_the_library_that_apples_linker_binds_it_to(
    ours: Image, theirs: Image
) -> None:
    mine = ours.class_references()
    assert mine.pop("MTLResidencySetDescriptor") == METAL  # the wheel's SDK is older, as above
    assert mine == theirs.class_references()


def test_the_class_that_is_newer_than_the_oldest_macos_is_bound_weakly(ours: Image) -> None:
    weak = {each.symbol.name for each in ours.binary.bindings if each.has_symbol and each.weak_import}
    assert "_OBJC_CLASS_$_MTLResidencySetDescriptor" in weak
    assert "_OBJC_CLASS_$_MTLCompileOptions" not in weak


def test_no_selector_is_sent_that_apples_build_does_not_send_but_for_those_explained(
    recipe: str, ours: Image, theirs: Image
) -> None:
    mine, others = set(ours.selectors().values()), set(theirs.selectors().values())
    assert others - mine == ONLY_APPLES[recipe]
    assert mine - others == ONLY_OURS


def test_what_no_authority_knows_is_dropped_by_the_compiler(ours: Image) -> None:
    dropped = {method[:-1].partition(" ")[2] for method in DROPPED}
    assert dropped & set(ours.selectors().values()) == set()
    symbols = {f"{start}{name}" for start in ("_", "_OBJC_CLASS_$_") for name in DROPPED_SYMBOLS}
    assert symbols & set(ours.libraries) == set()


def test_the_kernels_in_apples_build_are_what_we_say_is_embedded(linked: dict[str, Image]) -> None:
    options = parser("patch").parse_args(["patch", "--recipe", "b6751"])
    (expected,) = kernel_sources(ensure_unpatched(open_job(options)).path)
    assert bytes(linked["b6751"].sections["__ggml_metallib"].content) == expected
