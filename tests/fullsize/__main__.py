"""`python -m tests.fullsize`: the whole way of a model of the true size, measured."""

from __future__ import annotations

import argparse
import os
import shlex
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from recipes.cli.options import positive
from recipes.core.errors import RecipeError
from recipes.manifest.load import PROJECT, Manifests
from recipes.serve.free_memory import free_memory
from recipes.serve.llamacpp.installation import find_installation
from tests.benchmarks.__main__ import run_to_end, utc_now
from tests.benchmarks.image_speed import programs_of
from tests.benchmarks.machine import this_machine
from tests.benchmarks.report import plain_table
from tests.benchmarks.turns import UnmeasurableError, say, time_call
from tests.fullsize.answering import Load, serve_and_ask
from tests.fullsize.bad_hub import Faults, serving
from tests.fullsize.report import Record, Step, serving_table, steps_table, write
from tests.fullsize.running import Ran, resident, run_module
from tests.fullsize.scene import NAME, scene
from tests.fullsize.size import LAYERS, full, tiny

if TYPE_CHECKING:
    from tests.fullsize.scene import Scene
    from tests.fullsize.size import Pair


def parser() -> argparse.ArgumentParser:
    top = argparse.ArgumentParser(
        prog="nox -s fullsize --",
        description="Make a pair of the 30B-A3B's size, fetch it from a bad server, verify, inspect, serve and ask it.",
        epilog="The pair is on the disk twice while it is fetched, 39 GB in all; everything is removed at the end.",
    )
    top.add_argument(
        "--layers",
        type=positive,
        default=LAYERS,
        metavar="N",
        help=f"of the language model (default: {LAYERS})",
    )
    top.add_argument("--quick", action="store_true", help="a trial with tiny shapes; figures mean nothing")
    top.add_argument("--write", action="store_true", help="write the figures to docs/")
    top.add_argument(
        "--folder",
        type=Path,
        default=Path(tempfile.gettempdir()),
        metavar="FOLDER",
        help="for a scratch folder (default: %(default)s)",
    )
    return top


def main(argv: list[str]) -> int:
    options = parser().parse_args(argv)
    if options.write and (options.quick or options.layers != LAYERS):
        parser().error("--write is for the full size alone")
    command = shlex.join(("nox", "-s", "fullsize", "--", *argv)).removesuffix(" --")
    try:
        record = measure(options, command)
    except (UnmeasurableError, RecipeError) as error:
        say(f"fullsize: could not be measured: {error}")
        return 1
    for table in (steps_table(record), serving_table(record)):
        say("\n" + plain_table(*table))
    if options.write:
        write(record, PROJECT / "docs")
    elif options.quick:
        say("a trial with tiny shapes: figures mean nothing, nothing is recorded")
    return 0


def measure(options: argparse.Namespace, command: str) -> Record:
    """Go the whole way; nothing is left behind but what is returned."""
    resident(os.getpid())  # where memory cannot be measured, it is said now and not after minutes
    bundle = programs_of(Manifests().defaults().recipe).parent
    pair = tiny() if options.quick else full(options.layers)
    machine = this_machine()
    with scene(options.folder.absolute(), pair.most_bytes) as made:
        say(f"a pair of at most {pair.most_bytes / 1e9:.2f} GB in {made.folder}")
        steps = [generate(made, pair)]
        model_bytes, mmproj_bytes = made.model.stat().st_size, made.mmproj.stat().st_size
        steps.append(Step("take its digests", time_call(made.pin), read_bytes=made.size_bytes))
        tell(steps[-1])
        faults = Faults(every=1, rounds=1, after_bytes=50_000) if options.quick else Faults()
        with serving((made.model, made.mmproj), faults) as hub:
            ran = session(made, "models", "fetch", NAME, hub=hub.base)
        done, requests = hub.done(), hub.requests
        say(f"  {requests} requests, faults: {done}")
        steps.append(step("fetch", ran, model_bytes + mmproj_bytes))
        made.forget_served()
        for name, *words in (
            ("verify, all of it, first", "--full"),
            ("verify, all of it, again", "--full"),
            ("verify, nothing changed",),
        ):
            ran = session(made, "models", "verify", NAME, *words)
            steps.append(step(name, ran, model_bytes + mmproj_bytes if words else None))
        ran = session(made, "models", "inspect", NAME, "--picture", str(made.folder / "mix.svg"))
        steps.append(step("inspect: lint, mix, memory", ran, None))
        say(ran.out)
        free = free_memory()
        load = Load(2, 4) if options.quick else Load()
        text_only = serve_and_ask(made, bundle, load, say, text_only=True)
        pictures = serve_and_ask(made, bundle, load, say, text_only=False)
    return Record(
        date=utc_now(),
        command=command,
        machine=machine,
        server=find_installation(bundle).title,
        layers=pair.language.layers,
        model_bytes=model_bytes,
        mmproj_bytes=mmproj_bytes,
        available_mb=free.size_bytes / 1e6 if free else 0.0,
        faults=done,
        requests=requests,
        steps=tuple(steps),
        mix="\n".join(line for line in ran.out.splitlines() if not line.startswith("picture:")),
        text_only=text_only,
        pictures=pictures,
    )


def generate(made: Scene, pair: Pair) -> Step:
    """Write the pair; UnmeasurableError where it is larger than was estimated before the first byte."""
    layers = 0 if pair == tiny() else pair.language.layers
    words = (str(made.model), str(made.mmproj), str(layers))
    ran = run_module("tests.fullsize.size", words, made.environment(), made.folder / "peak")
    if made.size_bytes > pair.most_bytes:
        raise UnmeasurableError(f"the pair has {made.size_bytes} bytes, expected at most {pair.most_bytes}")
    return step("make the pair", ran, made.size_bytes)


def session(made: Scene, *words: str, hub: str | None = None) -> Ran:
    """Run a session on the scene."""
    environment = made.environment(hub) if hub else made.environment()
    return run_module("recipes", (*words, "--project", str(made.project)), environment, made.folder / "peak")


def step(name: str, ran: Ran, read_bytes: int | None) -> Step:
    done = Step(name, ran.seconds, ran.peak_mb, read_bytes)
    tell(done)
    return done


def tell(done: Step) -> None:
    say(f"  {done.name}: {done.seconds:.2f} s")


if __name__ == "__main__":
    run_to_end(main, "everything is removed, nothing is recorded")
