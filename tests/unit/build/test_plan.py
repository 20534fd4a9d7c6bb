from __future__ import annotations

import subprocess
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec
import pytest

from recipes.build.plan.cmake_call import configure_command, resolve_cache
from recipes.build.plan.compiler_wrappers import compiler_wrappers
from recipes.build.plan.plan import (
    Plan,
    ToolchainPin,
    fill,
    make_plan,
    narrow,
    with_architectures,
)
from recipes.core.digest import Sha1
from recipes.core.errors import UsageError
from recipes.manifest.load import Manifests
from recipes.manifest.target_triple import glibc_of_target, macos_of_target, program_file, system_of_target

if TYPE_CHECKING:
    from recipes.manifest.schema import Recipe

MANIFESTS = Manifests()
RECIPE = MANIFESTS.recipe("b7827")
ZIG = MANIFESTS.toolchain("zig-0.17.1")


@pytest.fixture
def plan() -> Plan:
    return make_plan(RECIPE, "linux-x86_64-cpu", ZIG)


def test_a_plan_names_no_folder_of_a_machine(plan: Plan) -> None:
    text = msgspec.json.encode(plan.as_data()).decode()
    for folder in (str(Path.home()), str(MANIFESTS.project), "/tmp/"):
        assert f"{folder}/" not in text


def test_its_name_follows_from_what_it_says_and_not_from_what_it_is_called(plan: Plan) -> None:
    assert replace(plan, recipe="other", platform="elsewhere").digest == plan.digest
    assert replace(plan, version="7828 (16639ba2)").digest != plan.digest
    assert replace(plan, isa_flags=plan.isa_flags[1:]).digest != plan.digest
    assert replace(plan, environment=plan.environment[1:]).digest != plan.digest


def test_neither_the_summary_nor_the_pinned_output_changes_it(plan: Plan) -> None:
    name = "linux-x86_64-cpu"
    platform = msgspec.structs.replace(RECIPE.platforms[name], output=None, output_unpinned="a reason")
    platforms = {**RECIPE.platforms, name: platform}
    for change in ({"summary": "other words"}, {"platforms": platforms}):
        assert make_plan(msgspec.structs.replace(RECIPE, **change), name, ZIG).digest == plan.digest


def test_every_option_is_given_to_cmake_in_one_order(plan: Plan) -> None:
    platform = RECIPE.platforms["linux-x86_64-cpu"]
    cache = resolve_cache(RECIPE, platform, ZIG)
    shuffled = dict(reversed(cache.items()))
    assert configure_command(cache) == configure_command(shuffled)
    assert [word for word in plan.configure if word.startswith("-D")] == [
        f"-D{k}={v}" for k, v in sorted(cache.items())
    ]
    assert cache["GGML_NATIVE"] == "OFF"


def test_a_narrow_plan_builds_its_targets_alone_under_another_name(plan: Plan) -> None:
    small = narrow(plan, ("ggml-base",))
    assert small.compile == ("{toolchain}/bin/ninja", "-C", "{build}", "ggml-base")
    assert small.digest != plan.digest
    assert not small.whole
    assert (small.cache, small.configure, small.contents) == (plan.cache, plan.configure, plan.contents)


def test_a_narrow_plan_may_override_options_and_ship_a_program_of_its_own(plan: Plan) -> None:
    small = narrow(plan, ("llama-simple",), cmake={"GGML_CPU": "OFF", "NEW": "1"}, programs=("llama-simple",))
    assert dict(small.cache) == dict(plan.cache) | {"GGML_CPU": "OFF", "NEW": "1"}
    assert small.configure == configure_command(dict(small.cache))
    assert {"-DGGML_CPU=OFF", "-DNEW=1"} <= set(small.configure)
    assert "-DGGML_CPU=ON" not in small.configure
    assert small.contents.bin == (*plan.contents.bin, "llama-simple")
    assert small.overridden == ("GGML_CPU", "NEW")


def test_the_toolchain_is_named_by_its_wheels_and_what_they_unpack_to_alone() -> None:
    digest = ToolchainPin.of(ZIG).digest
    assert ToolchainPin.of(msgspec.structs.replace(ZIG, summary="x", compiler="y")).digest == digest
    fewer = {host: wheels for host, wheels in ZIG.hosts.items() if host != "macos-arm64"}
    assert ToolchainPin.of(msgspec.structs.replace(ZIG, hosts=fewer)).digest != digest


def changed_source(**change: object) -> Recipe:
    return msgspec.structs.replace(RECIPE, source=msgspec.structs.replace(RECIPE.source, **change))


@pytest.mark.parametrize(
    "change",
    [
        {"repository": "https://example.invalid/llama.cpp"},
        {
            "commit": Sha1(RECIPE.source.commit.hex[:8] + "0" * 32)
        },  # the digits that --version prints are the same
        {"licence": "GPL-3.0-only"},
    ],
)
def test_whose_the_source_is_and_its_licence_are_part_of_the_plan_and_not_of_the_compile(
    plan: Plan, change: dict[str, object]
) -> None:
    other = make_plan(changed_source(**change), "linux-x86_64-cpu", ZIG)
    assert other.digest != plan.digest
    assert other.compiled_key == plan.compiled_key
    (name,) = [name for name, value in other.named_inputs().items() if value != plan.named_inputs()[name]]
    assert name in change


def test_what_is_said_of_components_and_what_is_shipped_are_part_of_the_plan_and_not_of_the_compile(
    plan: Plan,
) -> None:
    assert isinstance(RECIPE.components, tuple)
    fewer = msgspec.structs.replace(RECIPE, components=RECIPE.components[1:])
    other = make_plan(fewer, "linux-x86_64-cpu", ZIG)
    less = replace(plan, contents=msgspec.structs.replace(plan.contents, bin=plan.contents.bin[:1]))
    for each in (other, less):
        assert (each.digest != plan.digest, each.compiled_key) == (True, plan.compiled_key)


@pytest.mark.parametrize(
    "change",
    [
        {"isa_flags": ()},
        {"compile": ("{toolchain}/bin/ninja", "-C", "{build}", "llama-server")},
        {"environment": (("SOURCE_DATE_EPOCH", "1"),)},
        {"wrappers": ()},
        {"overridden": ("GGML_CUDA",)},
    ],
)
def test_what_shapes_or_judges_the_compiled_bytes_names_them(plan: Plan, change: dict[str, object]) -> None:
    assert replace(plan, **change).compiled_key != plan.compiled_key  # type: ignore[arg-type] # by name


@pytest.mark.parametrize(
    ("target", "system", "macos", "glibc", "file"),
    [
        ("aarch64-macos.13.3", "macos", "13.3", "", "llama-cli"),
        ("aarch64-macos", "macos", "", "", "llama-cli"),
        ("arm64-apple-macos13.0", "macos", "", "", "llama-cli"),
        ("x86_64-linux-gnu.2.28", "linux", "", "2.28", "llama-cli"),
        ("aarch64-linux-gnu", "linux", "", "", "llama-cli"),
        ("x86_64-linux-musl", "linux", "", "", "llama-cli"),
        ("x86_64-windows-gnu", "windows", "", "", "llama-cli.exe"),
        ("wasm32-wasi", "", "", "", "llama-cli"),
    ],
)
def test_what_a_target_says(target: str, system: str, macos: str, glibc: str, file: str) -> None:
    assert (system_of_target(target), macos_of_target(target)) == (system, macos)
    assert (glibc_of_target(target), program_file("llama-cli", target)) == (glibc, file)


def test_the_probe_of_a_windows_bundle_is_a_file_of_it() -> None:
    recipe = MANIFESTS.recipe("b6751")
    plan = make_plan(recipe, "windows-x86_64-cpu", ZIG)
    assert plan.probe == ("llama-server.exe", "--version")
    assert plan.probe[0] in plan.contents.bin


def test_fill_leaves_other_braces_alone() -> None:
    folders = {"source": Path("/s"), "build": Path("/b"), "toolchain": Path("/t"), "wrappers": Path("/w")}
    assert fill("{source}/{x}/${y} {build}{toolchain}{wrappers}", folders) == "/s/{x}/${y} /b/t/w"


def run_wrapper(tmp_path: Path, platform_name: str, *arguments: str) -> list[str]:
    """What zig is called with: a stand-in for it prints its arguments, one a line."""
    toolchain = tmp_path / "a toolchain"
    (toolchain / "bin").mkdir(parents=True)
    zig = toolchain / "bin" / "zig"
    zig.write_text('#!/bin/sh\nprintf "%s\\n" "$@"\n')
    zig.chmod(0o755)
    wrapper = compiler_wrappers(RECIPE.platforms[platform_name], ZIG)[0]
    script = tmp_path / wrapper.name
    script.write_text(fill(wrapper.script, {"toolchain": toolchain}))
    script.chmod(0o755)
    return subprocess.run(
        [script, *arguments], capture_output=True, text=True, check=True
    ).stdout.splitlines()


def test_a_wrapper_fixes_target_and_processor_and_passes_every_word_on(tmp_path: Path) -> None:
    words = ['-DNAME="two words"', "$HOME", "", "a'b", "-c", "x y.c"]
    assert run_wrapper(tmp_path, "linux-x86_64-cpu", *words) == [
        "cc", "-target", "x86_64-linux-gnu.2.28", "-mcpu=x86_64", *words,
    ]  # fmt: skip


def test_a_wrapper_for_arm_translates_march_and_nothing_else(tmp_path: Path) -> None:
    words = ["-march=armv8.2-a+dotprod", "-O3", "-march=armv7", "a b", "-march=armv8-a"]
    assert run_wrapper(tmp_path, "linux-aarch64-cpu", *words)[4:] == [
        "-mcpu=generic+v8_2a+dotprod", "-O3", "-march=armv7", "a b", "-mcpu=generic",
    ]  # fmt: skip


def test_the_runtime_libraries_depend_on_target_and_cpu_and_not_on_how_march_is_translated() -> None:
    name = "linux-aarch64-cpu"

    def compilers(**changes: object) -> list[str]:
        platform = msgspec.structs.replace(RECIPE.platforms[name], **changes)
        recipe = msgspec.structs.replace(RECIPE, platforms={**RECIPE.platforms, name: platform})
        return make_plan(recipe, name, ZIG).compilers()

    assert compilers() == compilers(march={"armv8-a": "generic"}) == compilers(march={})
    assert compilers() != compilers(cpu="neoverse_n1")
    assert compilers() != compilers(target="aarch64-linux-gnu.2.31")
    assert compilers() != compilers(runtime_flags=("-fvisibility=hidden",))


def test_flags_of_the_runtime_reach_each_clang_that_a_wrapper_starts() -> None:
    windows = MANIFESTS.recipe("b6751").platforms["windows-x86_64-cpu"]
    scripts = {wrapper.name: wrapper.script for wrapper in compiler_wrappers(windows, ZIG)}
    assert scripts["cc"].startswith("#!/bin/sh\nexport CCC_OVERRIDE_OPTIONS='# +-fvisibility=hidden'\nexec ")
    (flag,) = ZIG.cxx_flags
    assert f"export CCC_OVERRIDE_OPTIONS='# +{flag} +-fvisibility=hidden'\n" in scripts["c++"]


# What GNU and BSD sed do with these scripts, as ggml's CMake file gives them for the source of its Metal kernels.
@pytest.mark.parametrize(
    ("text", "mark", "result"),
    [
        (b"a\nMARK\nb\n", "MARK", b"a\nfirst \\n\n\n  last\nb\n"),
        (b"#if 0\n#include <x>\n#endif\n", "#include <x>", b"#if 0\nfirst \\n\n\n  last\n#endif\n"),
        (b"a\n  x MARK y\nMARK\n", "MARK", b"a\n" + b"first \\n\n\n  last\n" * 2),
        (b"a %s \\t * ~\n\n  b  \n", "MARK", b"a %s \\t * ~\n\n  b  \n"),
        (b"", "MARK", b""),
    ],
)
def test_sed_puts_a_file_in_the_place_of_marked_lines(
    text: bytes, mark: str, result: bytes, tmp_path: Path
) -> None:
    file = tmp_path / "a file"
    file.write_bytes(b"first \\n\n\n  last\n")
    done = run_sed(tmp_path, text, "-e", f"/{mark}/r {file}", "-e", f"/{mark}/d")
    assert (done.returncode, done.stdout, done.stderr) == (0, result, b"")


@pytest.mark.parametrize(
    "arguments", [("s/a/b/",), ("-e", "/a/r b", "-e", "/c/d"), ("-e", "/a/d", "-e", "/a/d")]
)
def test_sed_refuses_what_it_does_not_know(arguments: tuple[str, ...], tmp_path: Path) -> None:
    done = run_sed(tmp_path, b"a\n", *arguments)
    assert (done.returncode, done.stdout) == (64, b"")
    assert done.stderr.startswith(b"sed: only -e '/TEXT/r FILE' -e '/TEXT/d' is known here")


def run_sed(folder: Path, text: bytes, *arguments: str) -> subprocess.CompletedProcess[bytes]:
    (wrapper,) = [
        each for each in compiler_wrappers(RECIPE.platforms["macos-arm64-metal"], ZIG) if each.name == "sed"
    ]
    script = folder / "sed"
    script.write_text(wrapper.script)
    script.chmod(0o755)
    return subprocess.run((script, *arguments), input=text, capture_output=True, env={}, check=False)


CUDA = "linux-x86_64-cuda"


def options_of(plan: Plan) -> dict[str, str]:
    return dict(plan.cache)


@pytest.mark.parametrize("name", ["b6751", "b7827"])
def test_a_gpu_platform_is_compiled_for_the_architectures_of_the_manifest_or_for_fewer(name: str) -> None:
    recipe, toolchain = MANIFESTS.recipe(name), MANIFESTS.toolchain("host-cuda")
    whole = make_plan(recipe, CUDA, toolchain)
    listed = recipe.platforms[CUDA].architectures
    assert options_of(whole)["CMAKE_CUDA_ARCHITECTURES"] == ";".join(listed)
    few = make_plan(with_architectures(recipe, CUDA, ("90-real", "75-real")), CUDA, toolchain)
    assert options_of(few)["CMAKE_CUDA_ARCHITECTURES"] == "75-real;90-real"
    assert few.digest != whole.digest
    assert make_plan(with_architectures(recipe, CUDA, ()), CUDA, toolchain).digest == whole.digest
    assert not whole.hermetic
    assert whole.system == "linux"


def test_an_architecture_that_the_manifest_does_not_list_is_refused() -> None:
    with pytest.raises(UsageError) as caught:
        with_architectures(RECIPE, CUDA, ("90",))
    assert caught.value.where.endswith("linux-x86_64-cuda.architectures")
    assert "90" in caught.value.found
    with pytest.raises(UsageError, match="leave --architecture out"):
        with_architectures(RECIPE, "linux-x86_64-cpu", ("90-real",))
