"""The default recipe against the founding one: image, prompt and generation, on the same files."""

from __future__ import annotations

import os
import re
from dataclasses import replace
from typing import TYPE_CHECKING

from recipes.core.cores import usable_cores
from tests.benchmarks.comparison import Comparison, Kind, Target
from tests.benchmarks.llama_bench import take_bench_turns
from tests.benchmarks.project import built_bundle, open_job
from tests.benchmarks.report import Measured
from tests.benchmarks.sample_files import room
from tests.benchmarks.synthetic_model import TINY as TINY_LANGUAGE
from tests.benchmarks.synthetic_model import Shape
from tests.benchmarks.synthetic_vision import TINY, VOCABULARY, VisionShape, write_pair
from tests.benchmarks.turns import Options, Say, UnmeasurableError, run_program, take_turns

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

TITLE = "image, prompt and generation of b11312 against b6751"
NEW, OLD = "b11312", "b6751"
TURNS = 5
ROOM_BYTES = 3 << 30
SIDE = 512  # pixels: 256 image tokens, no resize
LEAST = {"image": 1.0, "prompt": 1.25, "generation": 1.0}
PROMPT_TOKENS, GENERATED_TOKENS = 512, 128
ENCODED = re.compile(r"(?:encoded|encoding done) in (\d+) ms")


def measure(options: Options, say: Say) -> Measured:
    programs = {name: programs_of(name) for name in (NEW, OLD)}
    prompt, generated = (16, 4) if options.quick else (PROMPT_TOKENS, GENERATED_TOKENS)
    shape = replace(TINY_LANGUAGE, layers=2) if options.quick else Shape(vocabulary=VOCABULARY)
    with room(options.folder, ROOM_BYTES) as folder:
        model, mmproj, picture = folder / "model.gguf", folder / "mmproj.gguf", folder / "picture.ppm"
        write_pair(model, mmproj, shape, TINY if options.quick else VisionShape())
        draw(picture)
        sizes = f"{model.stat().st_size / 1e9:.1f} GB model in Q4_K_M, {mmproj.stat().st_size / 1e9:.1f} GB projector"
        say(f"  {sizes}")
        arguments = ("-m", str(model), "-p", str(prompt), "-n", str(generated), "-r", "3")

        def encode(name: str) -> Callable[[], float]:
            return lambda: 1000 / encoded_ms(programs[name] / "llama-mtmd-cli", model, mmproj, picture)

        for name in programs:  # the files are read into the page cache
            encode(name)()
        turns = options.turns(TURNS)
        images = take_turns(turns, {name: encode(name) for name in programs}, say, "images/s")
        benches = {name: folder / "llama-bench" for name, folder in programs.items()}
        rates = take_bench_turns(turns, benches, arguments, say)
    rows = [row("image", f"encode of a {SIDE}x{SIDE} image", "images/s", images[NEW], images[OLD])]
    for index, (kind, tokens) in enumerate((("prompt", prompt), ("generation", generated))):
        ours, theirs = (tuple(rate[index] for rate in rates[name]) for name in (NEW, OLD))
        rows.append(row(kind, f"{kind} of {tokens} tokens", "tokens/s", ours, theirs))
    notes = (
        f"files: {sizes}; random weights, the 30B-A3B's shape with {shape.layers} layers and its whole vision tower",
        f"both: the pinned bundles, default settings, -t {usable_cores()}; a run of the program is one figure",
    )
    return Measured(tuple(rows), notes)


def row(kind: str, what: str, unit: str, ours: tuple[float, ...], theirs: tuple[float, ...]) -> Comparison:
    return Comparison(f"{what}, {NEW}", OLD, unit, ours, theirs, Target(Kind.RATIO_AT_LEAST, LEAST[kind]))


def programs_of(recipe: str) -> Path:
    """Return the folder of a bundle's programs."""
    return built_bundle(open_job(recipe)).entry.path / "bin"


def draw(path: Path) -> None:
    """Write a blue disc on a light ground."""
    middle, radius = SIDE / 2, SIDE / 3
    rows = (
        bytes((40, 90, 200)) if (x - middle) ** 2 + (y - middle) ** 2 < radius**2 else bytes((230, 230, 210))
        for y in range(SIDE)
        for x in range(SIDE)
    )
    path.write_bytes(b"P6 %d %d 255\n" % (SIDE, SIDE) + b"".join(rows))


def encoded_ms(program: Path, model: Path, mmproj: Path, picture: Path) -> float:
    """Return how long the vision tower takes for the picture; UnmeasurableError where the program does not say."""
    # twice: only newer ones warm up before the first image
    images = ("--image", str(picture)) * 2
    argv = (str(program), "-m", str(model), "--mmproj", str(mmproj), *images, "-p", "?")
    log = picture.with_suffix(".log")
    log.unlink(missing_ok=True)
    more = ("-n", "1", "-c", "1024", "-t", str(usable_cores()))
    run_program((*argv, *more), env={"PATH": os.defpath, "LC_ALL": "C"}, log=log)
    said = log.read_text(errors="replace")
    found = ENCODED.findall(said)
    if len(found) != 2:
        raise UnmeasurableError(f"{program.name} did not say how long the images took:\n{said[-500:]}")
    return float(found[1])
