"""Our portable bundle against a plain gcc -O3 -march=native build of the same tree, on the same model."""

from __future__ import annotations

import json
import os
import re
from functools import partial
from typing import TYPE_CHECKING

from recipes.build.source_tree import ensure_source
from recipes.build.toolchain.toolchain import ensure_toolchain
from recipes.core.cores import usable_cores
from tests.benchmarks.comparison import Comparison, Kind, Target
from tests.benchmarks.native_build import compiler_version, ensure_native_build
from tests.benchmarks.project import built_bundle, open_job
from tests.benchmarks.report import Measured
from tests.benchmarks.sample_files import room
from tests.benchmarks.synthetic_model import TINY, Shape, write_model
from tests.benchmarks.turns import Options, Say, UnmeasurableError, run_program, take_turns

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

TITLE = "llama-bench of the portable bundle against gcc -O3 -march=native"
TURNS = 5
WITHIN = 3  # repetitions within one run of the program, after its own warm-up
ROOM_BYTES = 2 << 30
PROMPT_TOKENS, GENERATED_TOKENS = 512, 128


def measure(options: Options, say: Say) -> Measured:
    job = open_job(options.recipe)
    plan = job.plan()
    bundle = built_bundle(job)
    toolchain = ensure_toolchain(job.toolchain, job)
    source = ensure_source(job)
    kept = options.folder / f"pinned-llama-bench-{os.getuid()}"
    tree = plan.inputs.patched_tree
    native = ensure_native_build(source.path, tree, toolchain.path, kept, say, program="llama-bench")
    ours = bundle.entry.path / "bin" / "llama-bench"
    prompt, generated = (16, 4) if options.quick else (PROMPT_TOKENS, GENERATED_TOKENS)
    with room(options.folder, ROOM_BYTES) as folder:
        model = folder / "model.gguf"
        write_model(model, TINY if options.quick else Shape())
        size_gb = model.stat().st_size / 1e9
        say(f"  model: {size_gb:.2f} GB")
        arguments = ("-m", str(model), "-p", str(prompt), "-n", str(generated), "-r", str(WITHIN))
        run_once(ours, arguments)  # the model is read into the page cache
        speeds = take_bench_turns(options.turns(TURNS), {"ours": ours, "gcc": native}, arguments, say)
        variant = loaded_variant(ours, model)
    of_bundle = f"{plan.name}, {size_gb:.1f} GB model in Q4_K_M"
    rows = tuple(
        Comparison(
            what=f"{what} of {tokens} tokens, {of_bundle}",
            peer="gcc -O3 -march=native, OpenMP",
            unit="tokens/s",
            ours=tuple(speed[index] for speed in speeds["ours"]),
            theirs=tuple(speed[index] for speed in speeds["gcc"]),
            target=Target(Kind.RATIO_AT_LEAST, least),
        )
        for index, (what, tokens, least) in enumerate(
            (("prompt", prompt, 1.10), ("generation", generated, 1.00))
        )
    )
    shape = Shape()
    notes = (
        f"model: qwen3moe, the 30B-A3B's shape with {shape.layers} layers, random valid Q4_K and Q6_K blocks"
        if not options.quick
        else "model: a tiny one",
        f"both: -r {WITHIN}, -t {usable_cores()}; a run of the program is one figure",
        f"ours: bundle {bundle.entry.tree}, which chose {variant} on this machine",
        f"peer: {compiler_version()}, cmake's Release with GGML_NATIVE=ON, the same patched tree",
    )
    return Measured(rows, notes)


def take_bench_turns(
    turns: int, programs: Mapping[str, Path], arguments: tuple[str, ...], say: Say
) -> dict[str, list[tuple[float, float]]]:
    """Run several llama-bench in turns; return each one's rates of prompt and generation, in tokens a second."""
    rates: dict[str, list[tuple[float, float]]] = {name: [] for name in programs}

    def action(name: str) -> float:
        rates[name].append(run_once(programs[name], arguments))
        return rates[name][-1][0]

    take_turns(turns, {name: partial(action, name) for name in programs}, say, "tokens/s")
    return rates


def run_once(program: Path, arguments: tuple[str, ...]) -> tuple[float, float]:
    """Return the rates of prompt and generation, in tokens a second.

    Raises
    ------
    UnmeasurableError
        Where the program fails or answers something else.
    """
    argv = (str(program), *arguments, "-t", str(usable_cores()), "-o", "json")
    said = run_program(argv, env={"PATH": os.defpath, "LC_ALL": "C"})
    rates = {test["n_gen"] > 0: float(test["avg_ts"]) for test in json.loads(said)}
    if set(rates) != {False, True}:
        raise UnmeasurableError(
            f"{program.name}: expected one prompt and one generation test, found\n{said[-500:]}"
        )
    return rates[False], rates[True]


def loaded_variant(program: Path, model: Path) -> str:
    """Return the CPU backend that the bundle's run-time dispatch chose here."""
    log = model.with_suffix(".log")
    argv = (str(program), "-m", str(model), "-p", "1", "-n", "0", "-r", "1", "-v")
    run_program(argv, env={"PATH": os.defpath, "LC_ALL": "C"}, log=log)
    found = re.search(r"libggml-cpu-[a-z0-9_.]+\.so", log.read_text(errors="replace"))
    return found[0] if found else "an unnamed CPU backend"
