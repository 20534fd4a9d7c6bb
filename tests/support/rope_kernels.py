"""The rope kernels of backends that cannot run here, compiled for the CPU out of a source tree, and ggml's own.

What is compiled are the tree's own lines, included by the files in shims/ that stand in for Metal and for CUDA.
"""

from __future__ import annotations

import ctypes
import re
import subprocess
from dataclasses import dataclass
from math import cos, sin
from pathlib import Path
from random import Random
from struct import pack, unpack
from typing import Any, Literal

SHIMS = Path(__file__).parent / "rope_shims"
SOURCE = Path("ggml", "src")
# a file of the tree, the first line of what is taken, and the first line after it
METAL_KERNELS = (
    "ggml-metal/ggml-metal.metal",
    "static float rope_yarn_ramp(",
    "typedef decltype(kernel_rope_norm<",
)
METAL_NAMES = (
    "ggml-metal/ggml-metal.metal",
    'template [[host_name("kernel_rope_norm_f32")]]',
    "typedef void (im2col_t)(",
)
METAL_CHOICE = (
    "ggml-metal/ggml-metal-device.cpp",
    "ggml_metal_pipeline_t ggml_metal_library_get_pipeline_rope(",
    "ggml_metal_pipeline_t ggml_metal_library_get_pipeline_im2col(",
)
METAL_START = ("ggml-metal/ggml-metal-ops.cpp", "int ggml_metal_op_rope(", "int ggml_metal_op_im2col(")
INSTANCE = re.compile(r'template \[\[host_name\("(\w+)"\)\]\] kernel \w+ (\w+<\w+>);')
LAUNCH = re.compile(r"(\w+<[\w, ]+>)<<<(\w+), (\w+), 0, stream>>>\(")

Backend = Literal["metal", "cuda"]
NEOX, MROPE, VISION, IMROPE = 2, 8, 24, 40  # GGML_ROPE_TYPE_*
F32, F16 = 0, 1  # GGML_TYPE_*
BYTES = {F32: 4, F16: 2}
LETTER = {F32: "f", F16: "e"}
AXES = 4  # t, h, w, and one that only blocks have


@dataclass(frozen=True)
class Change:
    """One change to the source: `old` becomes `new` where it first occurs."""

    old: str
    new: str

    def __str__(self) -> str:
        return f"{self.old} -> {self.new}"


def _cut(tree: Path, place: tuple[str, str, str]) -> str:
    name, first, end = place
    path = tree / SOURCE / name
    text = path.read_text()
    assert text.count(first) == 1, f"{path}: not one {first!r}"
    start = text.index(first)
    assert end in text[start:], f"{path}: no {end!r} after {first!r}"
    return text[start : text.index(end, start)]


def _included(backend: Backend, tree: Path) -> dict[str, str]:
    if backend == "metal":
        instances = INSTANCE.findall(_cut(tree, METAL_NAMES))
        return {
            "kernels.inc": _cut(tree, METAL_KERNELS),
            "names.inc": "".join(f'{{ "{name}", {instance} }},\n' for name, instance in instances),
            "host.inc": _cut(tree, METAL_CHOICE) + _cut(tree, METAL_START),
        }
    folder = tree / SOURCE / "ggml-cuda"
    text = (folder / "rope.cuh").read_text() + (folder / "rope.cu").read_text()
    text = re.sub(r"^#include .*$", "", text, flags=re.MULTILINE)
    return {"kernels.inc": LAUNCH.sub(r"launch(\2, \3, [](auto... values) { \1(values...); })(", text)}


def compile_rope(
    backend: Backend, tree: Path, compiler: tuple[str, ...], into: Path, change: Change | None = None
) -> Path:
    """Compile a backend's rope into a shared library whose `rope(op)` does what the backend does with an operation."""
    included = _included(backend, tree)
    if change:
        changed = {name: text.replace(change.old, change.new, 1) for name, text in included.items()}
        assert changed != included, f"the source has no {change.old!r}"
        included = changed
    into.mkdir(parents=True)
    for name, text in included.items():
        (into / name).write_text(text)
    library = into / "rope.so"
    folders = (into, tree / "ggml" / "include", tree / SOURCE / "ggml-metal")
    flags = ("-std=c++17", "-O2", "-ffp-contract=off", "-fPIC", "-Wno-unknown-attributes")
    steps = (
        (
            "c++",
            *flags,
            *(f"-I{folder}" for folder in folders),
            "-c",
            SHIMS / f"{backend}.cpp",
            "-o",
            into / "rope.o",
        ),
        # as C: zig's own C++ library takes minutes to make, and nothing here needs it
        ("cc", "-shared", into / "rope.o", "-o", library),
    )
    for step in steps:
        argv = [*compiler, *map(str, step)]
        done = subprocess.run(argv, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
    return library


@dataclass(frozen=True)
class Case:
    """One operation: shapes, parameters, and the seed of its numbers."""

    mode: int
    kind: int
    shape: tuple[int, int, int, int]  # head size, heads, tokens, and how often that
    rotated: int  # n_dims
    sections: tuple[int, int, int, int]
    base: float
    scale: float
    extrapolated: float  # ext_factor: 0 is without YaRN
    magnitude: float
    has_factors: bool
    gap: int  # elements between heads, as where q, k and v are parts of one tensor
    is_back: bool
    seed: int

    @property
    def pairs(self) -> int:
        """How many pairs are rotated; vision counts each axis for itself."""
        return self.rotated if self.mode == VISION else self.rotated // 2

    def positions(self) -> list[int]:
        """Return each token's four positions: all t, then all h, w and the fourth."""
        random = Random(self.seed)
        return [random.randrange(200) for _ in range(self.shape[2] * AXES)]

    def factors(self) -> list[float]:
        """Return the frequency factors."""
        random = Random(self.seed + 1)
        return [random.uniform(0.5, 2) if self.has_factors else 1.0 for _ in range(self.shape[0] // 2)]

    def values(self) -> list[float]:
        """Return what is rotated, gaps included."""
        random = Random(self.seed + 2)
        size, heads, tokens, times = self.shape
        count = (size + self.gap) * heads * tokens * times
        values = (random.uniform(-1, 1) for _ in range(count))
        return list(unpack(f"<{count}{LETTER[self.kind]}", pack(f"<{count}{LETTER[self.kind]}", *values)))


def draw_case(seed: int, mode: int, kind: int, backend: Backend) -> Case:
    """Draw a case; low bases and positions keep all pairs within reach of what the kernels' float can tell apart."""
    random = Random(seed)
    half = random.randint(3, 32)
    size = 4 * random.randint(1, 20) if mode == VISION else 2 * half + 2 * random.choice((0, 0, 1, 8))
    rotated = size // 2 if mode == VISION else 2 * half
    if mode == VISION:
        sections = (size // 4,) * 4
    elif mode == IMROPE:
        tall, wide = (random.randint(0, half // 2) for _ in range(2))
        sections = (half - tall - wide, tall, wide, 0) if tall + wide < half else (1, tall, wide, 0)
    else:
        tall, wide, more = (random.randint(0, max(1, half // 3)) for _ in range(3))
        sections = (random.randint(1, half), tall, wide, more)
    return Case(
        mode=mode,
        kind=kind,
        shape=(
            size,
            random.randint(1, 4),
            random.randint(1, 6),
            random.randint(1, 2) if backend == "metal" else 1,
        ),
        rotated=rotated,
        sections=sections,
        base=random.choice((10.0, 100.0, 10000.0)),
        scale=random.choice((1.0, 1.0, 0.7)),
        extrapolated=random.choice((0.0, 0.0, 0.0, 0.7)),
        magnitude=random.choice((1.0, 1.4)),
        has_factors=random.random() < 0.3,
        gap=random.choice((0, 0, 2 * size)),
        is_back=backend == "cuda" and random.random() < 0.3,
        seed=seed,
    )


def axes(case: Case) -> list[int]:
    """Return which position rotates each pair, as the reference says it (transformers, recomposition_frequencies)."""
    if case.mode == IMROPE:
        chosen = [0] * case.pairs
        for axis in (1, 2):
            for pair in range(case.pairs)[axis : 3 * case.sections[axis] : 3]:
                chosen[pair] = axis
        return chosen
    turn = [axis for axis, count in enumerate(case.sections) for _ in range(count)]
    return [turn[pair % len(turn)] for pair in range(case.pairs)]


def formula(case: Case) -> list[float]:
    """Compute a case without YaRN in double precision, from nothing but the rule."""
    assert case.extrapolated == 0
    size, heads, tokens, times = case.shape
    values, positions, factors, chosen = case.values(), case.positions(), case.factors(), axes(case)
    apart = case.pairs
    step = size + case.gap
    result: list[float] = []
    for row in range(heads * tokens * times):
        token = row // heads % tokens
        head = values[row * step : row * step + size]
        for pair, axis in enumerate(chosen):
            place = pair - axis * case.sections[0] if case.mode == VISION else pair
            turn = positions[axis * tokens + token] * case.base ** (-2 * place / case.rotated)
            angle = turn / factors[pair] * case.scale * (-1 if case.is_back else 1)
            one, two = head[pair], head[pair + apart]
            head[pair] = (one * cos(angle) - two * sin(angle)) * case.magnitude
            head[pair + apart] = (one * sin(angle) + two * cos(angle)) * case.magnitude
        result += head
    return result


class Parameters(ctypes.Structure):
    """`ggml_init_params`."""

    _fields_ = (("mem_size", ctypes.c_size_t), ("mem_buffer", ctypes.c_void_p), ("no_alloc", ctypes.c_bool))


class Ggml:
    """As much of ggml's library as runs one rope on the CPU."""

    def __init__(self, base: Path, cpu: Path) -> None:
        # for all: the compiled kernels take ggml's functions from it
        self._base = ctypes.CDLL(str(base), mode=ctypes.RTLD_GLOBAL)
        self._cpu = ctypes.CDLL(str(cpu))
        for name in (
            "ggml_init",
            "ggml_new_tensor_1d",
            "ggml_new_tensor_4d",
            "ggml_view_4d",
            "ggml_get_data",
            "ggml_rope_ext",
            "ggml_rope_multi",
            "ggml_rope_multi_back",
            "ggml_new_graph",
        ):
            getattr(self._base, name).restype = ctypes.c_void_p

    def both(self, case: Case, library: Path) -> tuple[list[float], list[float]]:
        """Return a case's result of a compiled backend, and of ggml's CPU backend."""
        ggml, cpu = self._base, self._cpu
        size, heads, tokens, times = case.shape
        width = BYTES[case.kind]
        context = ctypes.c_void_p(ggml.ggml_init(Parameters(16 << 20, None, False)))  # noqa: FBT003 - C's order

        def filled(tensor: int, layout: str, values: list[Any]) -> ctypes.c_void_p:
            data = pack(f"<{len(values)}{layout}", *values)
            ctypes.memmove(ggml.ggml_get_data(ctypes.c_void_p(tensor)), data, len(data))
            return ctypes.c_void_p(tensor)

        def shape(*counts: int) -> list[ctypes.c_int64]:
            return [ctypes.c_int64(count) for count in counts]

        whole = filled(
            ggml.ggml_new_tensor_4d(context, case.kind, *shape(size + case.gap, heads, tokens, times)),
            LETTER[case.kind],
            case.values(),
        )
        strides = [(size + case.gap) * width]
        strides += [strides[0] * heads, strides[0] * heads * tokens]
        turned = ctypes.c_void_p(
            ggml.ggml_view_4d(
                context, whole, *shape(*case.shape), *map(ctypes.c_size_t, strides), ctypes.c_size_t(0)
            )
        )
        positions = filled(ggml.ggml_new_tensor_1d(context, 26, *shape(tokens * AXES)), "i", case.positions())
        factors = (
            filled(ggml.ggml_new_tensor_1d(context, F32, *shape(size // 2)), "f", case.factors())
            if case.has_factors
            else None
        )
        call = ggml.ggml_rope_multi_back if case.is_back else ggml.ggml_rope_multi
        numbers = (case.base, case.scale, case.extrapolated, case.magnitude, 32.0, 1.0)
        op = ctypes.c_void_p(
            call(
                *(
                    context,
                    turned,
                    positions,
                    factors,
                    case.rotated,
                    (ctypes.c_int * 4)(*case.sections),
                    case.mode,
                    64,
                ),
                *map(ctypes.c_float, numbers),
            )
        )
        count = size * heads * tokens * times

        def result() -> list[float]:
            data = ctypes.string_at(ggml.ggml_get_data(op), count * width)
            return list(unpack(f"<{count}{LETTER[case.kind]}", data))

        ctypes.memset(ggml.ggml_get_data(op), 0xFF, count * width)  # not a number, where nothing is written
        ctypes.CDLL(str(library)).rope(op)
        of_backend = result()
        ctypes.memset(ggml.ggml_get_data(op), 0xFF, count * width)
        graph = ctypes.c_void_p(ggml.ggml_new_graph(context))
        ggml.ggml_build_forward_expand(graph, op)
        assert cpu.ggml_graph_compute_with_ctx(context, graph, 1) == 0
        of_cpu = result()
        ggml.ggml_free(context)
        return of_backend, of_cpu


def distance(some: list[float], others: list[float]) -> float:
    """Return how far two results are apart at most: infinitely, where one is not a number."""
    assert len(some) == len(others)
    return max(
        apart if (apart := abs(one - other)) == apart else float("inf")
        for one, other in zip(some, others, strict=True)
    )
