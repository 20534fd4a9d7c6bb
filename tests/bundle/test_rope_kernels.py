"""The rope kernels of Metal and CUDA in the patched source, on the CPU: the rule, ggml's CPU kernel and they agree.

Run after `build -- --recipe b6751`, as `nox -s tests -- tests/bundle`. What is compiled is the patched tree of the
recipe b6751, whose patches bring interleaved M-RoPE, out of the store, with the pinned compiler; what it is compared
with is the libggml of its bundle. PINNED_LLAMA_TEST_TREE and PINNED_LLAMA_TEST_LIBRARIES name a working tree and the
folder of its build's libraries in their place.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

import pytest

from recipes.build.plan.plan import make_plan
from recipes.build.source_tree import find_source, source_key
from recipes.build.toolchain.toolchain import default_platform, host_name, toolchain_key
from recipes.core.settings import read_settings
from recipes.manifest.load import Manifests
from recipes.store.store import Store
from tests.support.rope_kernels import (
    F16,
    F32,
    IMROPE,
    MROPE,
    VISION,
    Backend,
    Case,
    Change,
    Ggml,
    compile_rope,
    distance,
    draw_case,
    formula,
)

RECIPE = "b6751"
MODES = {"blocks": MROPE, "interleaved": IMROPE, "vision": VISION}
KINDS = {"f32": F32, "f16": F16}
BACKENDS: tuple[Backend, ...] = ("metal", "cuda")
CASES = 150
# Angles reach 400, of which float has few places left, and the CPU multiplies again and again; f16 rounds, up to 2.
FAR = {F32: 2e-4, F16: 3e-3}
# Each turns the rule by one character: which pairs, how many of them, or which position.
METAL_CHANGES = (
    Change("ic % 3 == 1", "ic % 3 == 0"),
    Change("ic % 3 == 2", "ic % 3 == 0"),
    Change("ic % 3 == 1", "ic % 2 == 1"),
    Change("ic < 3*args.sect_1", "ic < 2*args.sect_1"),
    Change("ic < 3*args.sect_1", "ic < 3*args.sect_2"),
    Change("ic < 3*args.sect_2", "ic < 4*args.sect_2"),
    Change("args.ne02 * 2", "args.ne02 * 3"),
    Change("mode == GGML_ROPE_TYPE_IMROPE", "mode != GGML_ROPE_TYPE_IMROPE"),
)
CUDA_CHANGES = (
    Change("i % 3 == 1", "i % 3 == 0"),
    Change("i % 3 == 2", "i % 3 == 0"),
    Change("i % 3 == 1", "i % 2 == 1"),
    Change("i < 3*sections.v[1]", "i < 2*sections.v[1]"),
    Change("i < 3*sections.v[1]", "i < 3*sections.v[2]"),
    Change("i < 3*sections.v[2]", "i < 4*sections.v[2]"),
    Change("i_pos = 2", "i_pos = 3"),
    Change("mode == GGML_ROPE_TYPE_IMROPE", "mode != GGML_ROPE_TYPE_IMROPE"),
)


@dataclass(frozen=True)
class Place:
    """A source tree, the folder of its build's libraries, and the compiler."""

    tree: Path
    libraries: Path
    compiler: tuple[str, ...]


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Place:
    manifests, store = Manifests(), Store.open(read_settings().store)
    recipe = manifests.recipe(RECIPE)
    platform = default_platform(manifests.defaults(), recipe)
    toolchain = manifests.toolchain(recipe.platforms[platform].toolchain)
    command = f"python3 noxfile.py -s build -- --recipe {recipe.name} --platform {platform}"

    plan = make_plan(recipe, platform, toolchain)
    compiler: tuple[str, ...] = ("env",)
    if plan.hermetic:
        unpacked = store.find_verified(toolchain_key(toolchain, host_name()))
        assert unpacked, f"unpack the compiler first: {command}"
        caches = tmp_path_factory.mktemp("zig")
        caching = (f"ZIG_GLOBAL_CACHE_DIR={caches}", f"ZIG_LOCAL_CACHE_DIR={caches}")
        compiler = (*compiler, *caching, str(unpacked.path / "bin" / "zig"))

    if named := os.environ.get("PINNED_LLAMA_TEST_TREE"):
        tree = Path(named)
    else:
        wanted = recipe.patches[-1].tree_sha256
        source = find_source(store, wanted)
        assert source, f"{source_key(wanted)} is not in the store, patch first: {command}"
        tree = source.path
    if named := os.environ.get("PINNED_LLAMA_TEST_LIBRARIES"):
        libraries = Path(named)
    else:
        bundle = store.find(plan.bundle_key)
        assert bundle, f"build it first: {command}"
        libraries = bundle.path
    print(f"source: {tree / 'ggml' / 'src'}; libraries: {libraries}")
    return Place(tree, libraries, compiler)


@pytest.fixture(scope="module")
def ggml(place: Place) -> Ggml:
    def plainest(pattern: str) -> Path:
        found = sorted(place.libraries.rglob(pattern), key=lambda path: (len(path.name), path.name))
        assert found, f"no {pattern} in {place.libraries}"
        return found[0]

    return Ggml(plainest("libggml-base.*"), plainest("libggml-cpu*"))


@pytest.fixture(scope="module", params=BACKENDS)
def backend(request: pytest.FixtureRequest) -> Backend:
    name: Backend = request.param
    return name


@pytest.fixture(scope="module")
def library(backend: Backend, place: Place, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return compile_rope(backend, place.tree, place.compiler, tmp_path_factory.mktemp(backend) / "rope")


def cases(mode: int, kind: int, backend: Backend) -> list[Case]:
    return [draw_case(seed, mode, kind, backend) for seed in range(CASES)]


@pytest.mark.parametrize("kind", KINDS.values(), ids=KINDS)
@pytest.mark.parametrize("mode", MODES.values(), ids=MODES)
def test_the_kernel_does_what_the_cpu_kernel_and_the_rule_do(
    mode: int, kind: int, backend: Backend, library: Path, ggml: Ggml
) -> None:
    for case in cases(mode, kind, backend):
        of_backend, of_cpu = ggml.both(case, library)
        from_cpu = distance(of_backend, of_cpu)
        assert from_cpu < FAR[kind], f"{backend} and the CPU: {case}"
        if case.extrapolated == 0:
            ruled = formula(case)
            from_rule, cpu_from_rule = distance(of_backend, ruled), distance(of_cpu, ruled)
            assert from_rule < FAR[kind], f"{backend} and the rule: {case}"
            assert cpu_from_rule < FAR[kind], f"the CPU and the rule: {case}"


@pytest.mark.parametrize(
    ("name", "change"),
    [
        pytest.param(name, change, id=f"{name}: {change}")
        for name, changes in (("metal", METAL_CHANGES), ("cuda", CUDA_CHANGES))
        for change in changes
    ],
)
def test_a_change_of_one_character_of_the_rule_shows(
    name: Backend, change: Change, place: Place, ggml: Ggml, tmp_path: Path
) -> None:
    library = compile_rope(name, place.tree, place.compiler, tmp_path / "rope", change)
    seen = [distance(*ggml.both(case, library)) for case in cases(IMROPE, F32, name)]
    assert max(seen) > 10 * FAR[F32]
