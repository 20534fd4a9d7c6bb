"""Tries a bundle on a Mac, with the GPU and without it, and writes what was seen as one JSON to attach.

What a Linux machine cannot show is tried here: whether macOS loads the files, whether Apple's own tool finds their
signatures right, whether the kernels compile, and whether the answers are the reference's.
"""

from __future__ import annotations

import json
import platform
import shutil
import sys
import tempfile
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from recipes.build.bundle.version_output import read_version
from recipes.build.pipeline import ensure_bundle
from recipes.conformance.mac_result import FORMAT, compare_results, read_result, verdict_of
from recipes.conformance.report.json_record import to_json
from recipes.conformance.results.inputs import load_reference_model
from recipes.conformance.results.outcome import has_failed
from recipes.conformance.suite import run_suite
from recipes.core.errors import ConformanceError
from recipes.core.filesystem import storage_errors
from recipes.core.process import Command, capture
from recipes.fetch.archives.unpack import unpack
from recipes.serve.llamacpp.installation import SERVER, find_installation

if TYPE_CHECKING:
    from collections.abc import Iterator

    from recipes.build.context import Job
    from recipes.serve.llamacpp.installation import Installation

QUICK_S = 60.0
# How much of the model goes to the GPU; without it the vision tower stays off it too.
SETTINGS = {"-ngl 99": ("-ngl", "99"), "-ngl 0": ("-ngl", "0", "--no-mmproj-offload")}
# Facts of the machine, each by a command of macOS.
FACTS = {
    "macos": ("sw_vers", "-productVersion"),
    "processor": ("sysctl", "-n", "machdep.cpu.brand_string"),
    "memory_bytes": ("sysctl", "-n", "hw.memsize"),
    "model": ("sysctl", "-n", "hw.model"),
}


@dataclass(frozen=True)
class Step:
    """One thing that was tried: passed, failed, or not run and why."""

    name: str
    verdict: str
    words: str


def run_mac_check(job: Job, bundle: Path | None, path: Path) -> int:
    """Try a bundle, by default the recipe's, and write the result to `path`.

    A ConformanceError is raised where something failed, or could not be tried; the JSON is written before. Another
    RecipeError is raised where there is no bundle to try.
    """
    with _bundle(job, bundle) as folder:
        subject = find_installation(folder)
        steps = [*check_files(subject), check_version(job, subject), list_devices(subject)]
        results: dict[str, Any] = {}
        for name, words in SETTINGS.items():
            step, results[name] = check_answers(job, replace(subject, model_options=words), name)
            steps.append(step)
    record = {
        "format": FORMAT,
        "verdict": verdict_of([step.verdict for step in steps]),
        "title": subject.title,
        "digest": str(subject.digest),
        "machine": {"system": platform.platform(), **_facts()},
        "steps": [asdict(step) for step in steps],
        "conformance": results,
    }
    with storage_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(record, indent=2) + "\n", encoding="utf-8")
    for step in steps:
        print(f"{step.verdict:<8} {step.name}: {step.words}")
    print(f"result:   {path}")
    if record["verdict"] != "passed":
        raise ConformanceError(
            where=f"{subject.title}, {subject.digest}",
            expected="every step passed, on a Mac",
            found="\n".join(f"{s.verdict}: {s.name}: {s.words}" for s in steps if s.verdict != "passed"),
            fix=f"attach {path} to a report; steps that were not run need a Mac with Apple's command line tools",
        )
    return 0


def check_files(subject: Installation) -> list[Step]:
    """Ask Apple's own tool whether each file's signature holds."""
    if shutil.which("codesign") is None:
        return [Step("signatures", "not run", "there is no codesign on this machine")]
    top = subject.programs.parent if subject.is_bundle else subject.programs
    files = [path for name in ("bin", "lib") for path in sorted((top / name).glob("*")) if path.is_file()]
    wrong = []
    for path in files:
        done = capture(Command(("/usr/bin/codesign", "--verify", "--strict", str(path)), top), QUICK_S)
        if done.status != 0:
            wrong.append(f"{path.name}: {(done.err or done.out).strip()}")
    words = "; ".join(wrong) or f"codesign --verify --strict holds for {len(files)} files"
    return [Step("signatures", "failed" if wrong or not files else "passed", words)]


def check_version(job: Job, subject: Installation) -> Step:
    """Start a program, which loads every library of the bundle, and read who it says it is."""
    done = subject.run(SERVER, ("--version",), Path(tempfile.gettempdir()), QUICK_S)
    text = done.out + done.err
    version = read_version(text)
    is_right = done.status == 0 and (version == job.plan().version or not subject.is_bundle)
    words = f"version: {version}" if version else f"status {done.status}: {text.strip()[-300:]}"
    return Step("version", "passed" if is_right else "failed", words)


def list_devices(subject: Installation) -> Step:
    """Ask which devices the programs see: on a Mac with a GPU, Metal's."""
    done = subject.run(SERVER, ("--list-devices",), Path(tempfile.gettempdir()), QUICK_S)
    lines = [line.strip() for line in done.out.splitlines() if line.startswith("  ")]
    has_metal = any("metal" in line.lower() or line.startswith("MTL") for line in lines)
    if sys.platform != "darwin":
        return Step("devices", "not run", "this is not a Mac")
    return Step("devices", "passed" if has_metal else "failed", "; ".join(lines) or "none")


def check_answers(job: Job, subject: Installation, name: str) -> tuple[Step, dict[str, Any]]:
    """Run the whole conformance suite with the default model, and return its record too."""
    reference = load_reference_model(job.manifests)
    job.console.say(f"conformance with {name}")
    with tempfile.TemporaryDirectory(prefix="mac-check-") as work:
        result = run_suite(reference.inputs(subject, Path(work)), job.console, f"mac-check {name}")
    record = json.loads(to_json(result))
    verdict = "failed" if has_failed(result.outcomes) else "passed"
    return Step(f"conformance, {name}", verdict, record["headline"]), record


def _facts() -> dict[str, str]:
    found: dict[str, str] = {}
    for name, argv in FACTS.items():
        if shutil.which(argv[0]) and sys.platform == "darwin":
            found[name] = capture(Command(argv, Path("/")), QUICK_S).out.strip()
    return found


@contextmanager
def _bundle(job: Job, path: Path | None) -> Iterator[Path]:
    if path is None:
        yield ensure_bundle(job, job.plan()).entry.path
    elif path.is_file():
        with tempfile.TemporaryDirectory(prefix="mac-check-") as work:
            top = path.name.removesuffix(".tar.zst")
            unpack(path, Path(work) / top, subdirectory=top, drop=(), where=f"--bundle {path}")
            yield Path(work) / top
    else:
        yield path


def compare_files(first: Path, second: Path) -> int:
    """Compare the results of two runs; a ConformanceError is raised where they differ."""
    differences = compare_results(read_result(first), read_result(second))
    if differences:
        raise ConformanceError(
            where=str(second),
            expected=f"the outcomes of {first}",
            found="\n".join(differences),
            fix="build both from one commit of this repository, and try them on the same Mac",
        )
    print(f"{first} and {second}: the same outcome of every step and check, and the same answers")
    return 0
