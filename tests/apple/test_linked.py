"""ggml-metal of the unpatched b6751, compiled here with our SDK, against the same source linked with Apple's.

The second is in the wheel of xllamacpp 0.2.3. Each difference is explained, by what two compilers and two SDKs do.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from typing import TYPE_CHECKING

import pytest

from recipes.build.audit.macho.metal_kernels import kernel_source
from recipes.build.source_tree import ensure_unpatched
from recipes.cli.job import open_job
from recipes.cli.parser import parser
from tests.apple.conftest import ONLY_OURS
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
    options = parser().parse_args(["patch", "--recipe", "b6751"])
    return ensure_unpatched(open_job(options)).path


@pytest.fixture(scope="module")
def ours(unpatched: Path, zig: Path, sdk: Path, tmp_path_factory: pytest.TempPathFactory) -> Image:
    return build(unpatched, zig, sdk, tmp_path_factory.mktemp("metal"))


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


EXPLAINED = [
    f"{name}: only ours sends {each}"
    for name in sorted(RESIDENCY_SETS | NEW)
    for each in sorted(RESIDENCY_SETS.get(name, set()) | NEW.get(name, set()))
]


def test_each_function_sends_what_apples_build_of_it_sends_with_the_same_constants(
    ours: Image, linked: tuple[Image, Image]
) -> None:
    lines, same, constants = differences(ours, linked[0])
    assert lines == EXPLAINED
    # a comparison of nothing would agree too
    assert same >= 24
    assert constants >= 20


def test_a_wrong_constant_of_the_sdk_is_found_in_the_machine_code(  # noqa: PLR0913, PLR0917 - each is a fixture
    unpatched: Path, zig: Path, sdk: Path, ours: Image, linked: tuple[Image, Image], tmp_path: Path
) -> None:
    copy = tmp_path / "MacOSX.sdk"
    shutil.copytree(sdk, copy)
    header = copy / "System/Library/Frameworks/Metal.framework/Headers/Metal.h"
    text = header.read_text()
    assert "MTLBarrierScopeBuffers = 1" in text
    header.write_text(text.replace("MTLBarrierScopeBuffers = 1", "MTLBarrierScopeBuffers = 2"))
    lines, _, _ = differences(build(unpatched, zig, copy, tmp_path), linked[0])
    (line,) = (line for line in lines if line not in EXPLAINED)
    assert line.startswith("_ggml_metal_encoder_memory_barrier: memoryBarrierWithScope: ")
    assert line.index("[(0, 2)]") < line.index("[(0, 1)]")
    assert "memoryBarrierWithScope:" in ours.selectors().values()


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
    assert mine - others == ONLY_OURS


def test_the_kernels_in_apples_build_are_what_we_say_is_embedded(
    unpatched: Path, linked: tuple[Image, Image]
) -> None:
    assert bytes(linked[0].sections["__ggml_metallib"].content) == kernel_source(unpatched)
