"""Our build stage against plain `cmake && ninja`: same tree, flags, toolchain, wrappers and runtime cache."""

from __future__ import annotations

import shutil
import time
from typing import TYPE_CHECKING

from recipes.build.compile import Workplace, build
from recipes.build.plan.plan import Plan, fill, narrow
from recipes.build.source_tree import ensure_source
from recipes.build.toolchain.toolchain import ensure_runtime, ensure_toolchain
from recipes.core.console import Silent
from recipes.core.digest import Sha256, hash_tree
from recipes.core.filesystem import remove_tree
from tests.benchmarks.comparison import Comparison, Kind, Target
from tests.benchmarks.project import open_job
from tests.benchmarks.report import Measured
from tests.benchmarks.turns import Options, Say, UnmeasurableError, run_program, take_turns

if TYPE_CHECKING:
    from recipes.build.context import Job

TITLE = "the build stage against plain cmake and ninja"
TURNS = 3
QUICK_TARGETS = ("ggml-base",)


def measure(options: Options, say: Say) -> Measured:
    job = open_job(options.recipe)
    targets = QUICK_TARGETS if options.quick else options.targets
    plan = job.plan() if targets == ("all",) else narrow(job.plan(), targets)
    # Fetched, verified and so read into the page cache before any clock runs.
    toolchain = ensure_toolchain(job.toolchain, job)
    source = ensure_source(job)
    # where it lies: who types the two commands sees it at no other place
    runtime = ensure_runtime(plan, toolchain, toolchain.path, job)
    logs = job.store.logs  # kept where a build fails
    inputs = (source.path, toolchain.path, toolchain.path, runtime.path)
    with job.store.scratch("bench-cold-build") as work:
        ours = Workplace(work / "ours", *inputs, logs / "bench-ours.log")
        peer = Workplace(work / "peer", *inputs, logs / "bench-peer.log")
        bins: dict[str, Sha256] = {}

        def time_ours() -> float:
            ours.work.mkdir()
            started = time.perf_counter()
            build(plan, ours, job.surroundings, Silent())
            taken_s = time.perf_counter() - started
            return finish("ours", ours, taken_s)

        def time_peer() -> float:
            return finish("peer", peer, build_plainly(plan, peer, job))

        def finish(name: str, workplace: Workplace, taken_s: float) -> float:
            bins[name] = hash_tree(workplace.build / "bin", Sha256)
            remove_tree(workplace.work)
            return taken_s

        turns = take_turns(options.turns(TURNS), {"ours": time_ours, "cmake and ninja": time_peer}, say)
        if bins["ours"] != bins["peer"]:
            raise UnmeasurableError(f"the two did not build the same: {bins['ours']}, {bins['peer']}")
    row = Comparison(
        what=f"build of {plan.name}: {' '.join(targets)}",
        peer="cmake && ninja",
        unit="s",
        ours=turns["ours"],
        theirs=turns["cmake and ninja"],
        target=Target(Kind.RATIO_AT_MOST, 1.03),
    )
    notes = (
        (
            "ours: all of the build stage, that is the copy of the runtime libraries' cache, wrappers,"
            " configure, the check of what CMake resolved, and compile, without network"
        ),
        (
            f"peer: the two commands alone, with the same -j {job.surroundings.jobs}; its wrappers and its"
            " copy of that cache are laid out before its clock starts"
        ),
        "both gave the same bytes in build/bin",
    )
    return Measured((row,), notes)


def build_plainly(plan: Plan, place: Workplace, job: Job) -> float:
    """Build as who types the two commands, with no code of ours on the clock; give the seconds."""
    folders = place.folders()
    place.log.unlink(missing_ok=True)
    for folder in (folders["wrappers"], place.build / "home", place.build / "tmp"):
        folder.mkdir(parents=True)
    for wrapper in plan.wrappers:
        script = folders["wrappers"] / wrapper.name
        script.write_text(fill(wrapper.script, folders), encoding="utf-8")
        script.chmod(0o755)
    if place.runtime:
        shutil.copytree(place.runtime, place.build / "zig", copy_function=shutil.copyfile)
    environment = {name: fill(value, folders) for name, value in plan.environment}
    jobs = ("-j", str(job.surroundings.jobs))
    configure, compile_ = (
        tuple(fill(word, folders) for word in argv) for argv in (plan.configure, (*plan.compile, *jobs))
    )
    started = time.perf_counter()
    for argv in (configure, compile_):
        run_program(argv, cwd=place.build, env=environment, log=place.log)
    return time.perf_counter() - started
