"""Compares the kernels of a bundle's backends with ggml's plain code, by ggml's own program test-backend-ops.

The program is built of the recipe's patched source without any backend, and started beside the bundle's files: what is
compared are the very libraries that are shipped.
"""

from __future__ import annotations

import os
import re
import shutil
import tempfile
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from recipes.build.pipeline import ensure_bundle
from recipes.build.plan.plan import narrow
from recipes.conformance.results.kernels import ASKED, OF_THE_PROCESSOR, PROCESSOR, judge, parse_devices
from recipes.conformance.results.outcome import CheckVerdict, Outcome, Part
from recipes.core.errors import UsageError
from recipes.core.process import Captured, Command, capture
from recipes.manifest.target_triple import program_file

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence
    from pathlib import Path

    from recipes.build.context import Job
    from recipes.build.plan.plan import Plan
    from recipes.core.console import Console

PROGRAM = "test-backend-ops"
LIST = ("-b", "none", "-o", "none")  # it lists the devices, and skips each
LISTS_S = 120.0
RUNS_S = 3600.0  # one operation on one device: on a processor the products take nine minutes
GPU_BACKEND = re.compile(r"ggml-(cann|cuda|hip|metal|musa|opencl|sycl|vulkan|webgpu)\b")
# What the program asks a backend for, to compare it with plain code; an older one compares the CPU with itself.
PLAIN_CODE = b"ggml_backend_cpu_set_use_ref"


@dataclass(frozen=True)
class Program:
    """A test-backend-ops that can be started, and where it finds libraries and backends."""

    path: Path
    libraries: tuple[Path, ...]

    def run(self, arguments: Sequence[str], timeout_s: float) -> Captured:
        """Run it to its end; a TimeoutError is raised where it takes longer."""
        environment = {
            "HOME": tempfile.gettempdir(),  # where a GPU's driver keeps what it compiles
            "LC_ALL": "C",
            "LD_LIBRARY_PATH": os.pathsep.join(map(str, self.libraries)),
        }
        return capture(
            Command((str(self.path), "test", *arguments), self.path.parent, environment), timeout_s
        )


def find_program(folder: Path) -> Program:
    """Return the program in a folder or its bin/; a UsageError is raised where there is none."""
    for programs in (folder.absolute(), folder.absolute() / "bin"):
        path = programs / PROGRAM
        if path.is_file() and os.access(path, os.X_OK):
            return Program(path, (programs, programs.parent / "lib"))
    raise UsageError(
        where=str(folder),
        expected=f"a folder with {PROGRAM}, or with bin/{PROGRAM}",
        found="no such program" if folder.is_dir() else "no such folder",
        fix=f"name the folder in which {PROGRAM} was built (CMake's LLAMA_BUILD_TESTS=ON)",
    )


def program_plan(job: Job) -> Plan:
    """Return the plan of the program alone; a UsageError is raised where the recipe does not name it."""
    tests = job.recipe.kernels
    if tests is None:
        raise UsageError(
            where=job.where,
            expected="`kernels:`, which names the program that compares kernels",
            found="none",
            fix="choose another recipe with --recipe, or name a program's folder with --program",
        )
    return narrow(
        job.plan(),
        (tests.target,),
        cmake=tests.cmake,
        programs=(program_file(tests.target, job.platform.target),),
    )


@contextmanager
def built_program(job: Job, bundle: Path) -> Iterator[Program]:
    """Give the program of a job's source, built where it is missing, beside links to the files of the job's bundle.

    A RecipeError is raised where it cannot be built.
    """
    plan = program_plan(job)
    built = ensure_bundle(job, plan).entry.path / "bin" / plan.contents.bin[-1]
    with job.store.scratch("kernels") as top:
        programs = top / "bin"
        programs.mkdir(parents=True)
        # a copy: what it loads is looked for beside the file itself
        shutil.copy(built, programs / built.name)
        for path in (bundle / "bin").iterdir():
            if path.name != built.name:
                (programs / path.name).symlink_to(path)
        (top / "lib").symlink_to(bundle / "lib")
        yield Program(programs / built.name, (top / "lib",))


def check(program: Program, backends: Sequence[str], console: Console) -> tuple[Outcome, ...]:
    """Run the cases on the named devices; by default on each GPU, or on the CPU where the program finds none.

    A UsageError is raised where the program does not list a device that is named.
    """
    listing = program.run(LIST, LISTS_S)
    devices = parse_devices(listing.out)
    if not devices:
        words = f"the program lists no device: status {listing.status}, {(listing.err or listing.out)[-300:]}"
        return (Outcome(Part.KERNELS, "devices", CheckVerdict.FAILED, words, "loading of the backends"),)
    unknown = [name for name in backends if name not in devices]
    if unknown:
        raise UsageError(
            where=f"--backend {unknown[0]}",
            expected=f"one of {', '.join(devices)}",
            found="a device that the program does not list",
            fix="name one of them, or leave --backend out",
        )
    chosen = backends or gpus(devices) or (PROCESSOR,)
    outcomes: list[Outcome] = []
    with console.task("kernels", len(chosen) * len(ASKED), "operations") as task:
        for device in chosen:
            outcomes += check_device(program, device, task.advance)
    return tuple(outcomes)


def check_device(program: Program, device: str, advance: Callable[[int], None]) -> list[Outcome]:
    """Run each operation's cases on one device, each in a process of its own: one that dies takes no other with it."""
    if device == PROCESSOR and PLAIN_CODE not in program.path.read_bytes():
        words = "this program is older than ggml's plain code: it would compare the CPU with itself"
        return [Outcome(Part.KERNELS, f"all on {device}", CheckVerdict.NOT_RUN, words)]
    found: list[Outcome] = []
    for asked in ASKED:
        try:
            done = program.run(("-b", device, "-o", asked.op, "-p", asked.params), RUNS_S)
        except TimeoutError as error:
            name = f"{asked.op} on {device}"
            found.append(Outcome(Part.KERNELS, name, CheckVerdict.FAILED, str(error), "the backend hangs"))
        else:
            found += judge(asked, device, done)
        advance(1)
    return found


def gpus(devices: Sequence[str]) -> tuple[str, ...]:
    """Return the devices that are GPUs."""
    return tuple(name for name in devices if name not in OF_THE_PROCESSOR)


def has_gpu_backend(names: Iterable[str]) -> bool:
    """Return whether a bundle with files of these names has a backend of a GPU."""
    return any(GPU_BACKEND.search(name) for name in names)


def check_bundle(job: Job, bundle: Path | None, program: Program | None) -> tuple[Outcome, ...]:
    """Run the cases for conformance: on each GPU that a bundle has a backend for, with what was built of its source.

    `bundle` is None for another llama.cpp, whose source is not known: then its `program` is needed. What is not run is
    said with its reason. A RecipeError is raised where the program cannot be built.
    """
    if program is not None:
        return check(program, (), job.console)
    if bundle is None:
        return (_not_run("its source is not known; --kernels FOLDER names a program that was built of it"),)
    if not has_gpu_backend(path.name for path in bundle.glob("*/*")):
        return (_not_run("the bundle has no backend of a GPU; the session `kernels` compares the CPU's"),)
    if job.recipe.kernels is None:
        return (_not_run(f"{job.where} names no program that compares kernels"),)
    with built_program(job, bundle) as built:
        devices = parse_devices(built.run(LIST, LISTS_S).out)
        if devices and not gpus(devices):
            return (_not_run(f"the program finds no GPU on this machine, only {', '.join(devices)}"),)
        return check(built, (), job.console)


def _not_run(words: str) -> Outcome:
    return Outcome(Part.KERNELS, "kernels of the GPU", CheckVerdict.NOT_RUN, words)
