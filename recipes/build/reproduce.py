"""Rebuilds a plan in a deliberately different environment, and compares the bundles byte by byte.

Path, user, locale, time zone, clock, umask, number of jobs and the caller's variables differ.

The second build is another process with a store, a home and an environment of its own: it unpacks source and
toolchain again and compiles the runtime libraries again. Only the verified downloads are shared.
"""

from __future__ import annotations

import os
import platform
import shutil
import sys
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from recipes.build.advisories import grave, warn_known_issues
from recipes.build.bundle.explain import diffoscope, explain
from recipes.build.pipeline import ensure_bundle
from recipes.build.provenance import provenance_path
from recipes.build.source_tree import ensure_patched, fetch_all, page_job
from recipes.build.toolchain.toolchain import ensure_toolchain
from recipes.build.webpage.build_page import fetch_packages
from recipes.core.errors import BuildError, OutputError
from recipes.core.filesystem import copy_writable, read_no_link
from recipes.core.process import Command, run
from recipes.core.sandbox import SYSTEM_PATH, Reach, Surroundings, run_isolated, works_behind
from recipes.core.settings import POLICY_VARIABLE
from recipes.store.store import Store

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from recipes.build.context import Job
    from recipes.build.plan.plan import Plan
    from recipes.core.digest import Sha256

PROJECT = Path(__file__).resolve().parents[2]
CLOCK_SHIFT_S = 400 * 24 * 3600  # another year, another day of the week
OTHER_UID = 4242
OTHER_USER = "somebody-else-entirely"
# Each of these changes what a build does that reads the caller's environment.
POLLUTION = {
    "CC": "/bin/false",
    "CXX": "/bin/false",
    "LD": "/bin/false",
    "AR": "/bin/false",
    "CFLAGS": "-O0 -g3 -march=native",
    "CXXFLAGS": "-O0 -g3 -march=native",
    "CPPFLAGS": "-DPOLLUTED=1",
    "LDFLAGS": "-L/usr/lib -Wl,--build-id",
    "CPATH": "/usr/include",
    "LIBRARY_PATH": "/usr/lib",
    "CMAKE_GENERATOR": "Unix Makefiles",
    "CMAKE_BUILD_TYPE": "Debug",
    "CMAKE_PREFIX_PATH": "/usr",
    "CMAKE_TOOLCHAIN_FILE": "/nonexistent/toolchain.cmake",
    "MAKEFLAGS": "-k",
    "NINJA_STATUS": "<%f of %t> ",
    "SOURCE_DATE_EPOCH": "1",
    "ZIG_GLOBAL_CACHE_DIR": "/nonexistent/zig",
    "ZIG_LOCAL_CACHE_DIR": "/nonexistent/zig",
}


@dataclass(frozen=True)
class Rebuilt:
    """A bundle that was built in a different environment: its folder, its digest, what differed, and its provenance."""

    folder: Path
    tree: Sha256
    variations: tuple[tuple[str, str, str], ...]
    provenance: bytes


def reproduce(job: Job, plan: Plan, targets: tuple[str, ...]) -> int:
    """Build a plan a second time, in a different environment, and print whether the bytes are the same.

    Raises OutputError where they are not, with what differs.
    """
    warn_known_issues(job)
    first = ensure_bundle(job, plan)
    with rebuilt(job, plan, targets) as second:
        print_variations(second.variations)
        if second.tree != first.entry.tree:
            raise difference(job, plan, first.entry.path, second.folder)
    print(f"identical: {plan.name} is {first.entry.tree} from both builds")
    return 0


@contextmanager
def rebuilt(job: Job, plan: Plan, targets: tuple[str, ...]) -> Iterator[Rebuilt]:
    """Build a plan from its downloads, in a store and an environment of its own; it is there as long as the block runs.

    Raises BuildError where that fails.
    """
    with job.store.scratch(f"reproduce-{plan.digest.hex[:32]}") as scratch:
        folder = scratch / "a-path-of-quite-another-length" / "with more, in it"
        store = Store.open(folder / "store")
        second_command, variations = _second_build(job, plan, targets, scratch, store)
        _share_downloads(job, store)
        log = job.store.root / "logs" / f"reproduce-{plan.bundle_key}.log"
        log.parent.mkdir(exist_ok=True)
        log.unlink(missing_ok=True)
        with job.console.task(f"build {plan.name} again, in a different environment", None):
            done = run(second_command, log=log, umask=0o077)
        entry = store.find(plan.bundle_key)
        if done.status != 0 or entry is None:
            raise BuildError(
                where=f"{plan.name}: the second build",
                expected="exit status 0 and a bundle of the same plan",
                found=f"exit status {done.status}, after\n{done.text}",
                fix=f"read its whole log, kept at {log}",
            )
        store.verify(entry)
        provenance = read_no_link(provenance_path(store, plan))
        yield Rebuilt(entry.path, entry.tree, variations, provenance)


def second_environment(folder: Path, environ: Mapping[str, str]) -> dict[str, str]:
    """Return the environment of the second build's process: hostile where a build could listen to it.

    Of ours only what the process needs to run at all is kept.
    """
    kept = {name: environ[name] for name in ("PATH", POLICY_VARIABLE) if name in environ}
    return (
        kept
        | POLLUTION
        | {
            "PYTHONPATH": str(PROJECT),
            "HOME": str(folder / "home"),
            "USER": OTHER_USER,
            "LOGNAME": OTHER_USER,
            "LANG": "tr_TR.UTF-8",
            "LC_ALL": "tr_TR.UTF-8",
            "TZ": "Pacific/Kiritimati",
            "PYTHONHASHSEED": "1",
            "PINNED_LLAMA_STORE": str(folder / "store"),
            "PINNED_LLAMA_OFFLINE": "1",  # no cache is asked either
        }
    )


def _second_build(
    job: Job, plan: Plan, targets: tuple[str, ...], scratch: Path, store: Store
) -> tuple[Command, tuple[tuple[str, str, str], ...]]:
    folder = store.root.parent.parent
    (folder / "home").mkdir(parents=True, exist_ok=True)
    clock = _clock_library(job, scratch)
    user = _other_user()
    environment = second_environment(folder, os.environ)
    options = ["--project", str(job.manifests.project), "--recipe", plan.recipe]
    options += ["--platform", plan.platform, "--jobs", "1"]
    options += [word for target in targets for word in ("--target", target)]
    options += [word for one in grave(job) for word in ("--permit", one)]
    options += ["--preload", str(clock)] if clock else []
    command = Command((*user, sys.executable, "-m", "recipes", "build", *options), PROJECT, environment)
    here = {name: os.environ.get(name, "unset") for name in ("HOME", "USER", "TZ", "LANG")}
    variations = (
        ("store and build folder", str(job.store.root), str(store.root)),
        ("home", here["HOME"], environment["HOME"]),
        ("user name", here["USER"], OTHER_USER),
        (
            "user and group id",
            str(os.getuid()),
            str(OTHER_UID) if user else "the same: no user namespace here",
        ),
        ("time zone", here["TZ"], environment["TZ"]),
        ("locale", here["LANG"], environment["LC_ALL"]),
        ("umask", "0022", "0077"),
        ("jobs", str(job.surroundings.jobs), "1"),
        ("clock", "now", f"now + {CLOCK_SHIFT_S} s" if clock else "later, but not shifted: not Linux"),
        ("caller's environment", "ours", " ".join(sorted(POLLUTION))),
        ("processor", platform.processor() or platform.machine(), "the same: one machine"),
    )
    return command, variations


def _clock_library(job: Job, scratch: Path) -> Path | None:
    """Compile the library that shifts the clock, with the pinned compiler, or give None where it cannot work."""
    if sys.platform != "linux":
        return None
    toolchain = ensure_toolchain(job.toolchain, job)
    library = scratch / "clock_shift.so"
    source = PROJECT / "recipes" / "build" / "clock_shift.c"
    argv = (
        str(toolchain.path / "bin" / "zig"),
        *("cc", "-shared", "-fPIC", "-O1", f"-DSHIFT_S={CLOCK_SHIFT_S}"),
        *("-target", f"{platform.machine()}-linux-gnu.2.17"),
        *(str(source), "-o", str(library)),
    )
    environment = {"ZIG_GLOBAL_CACHE_DIR": str(scratch / "zig"), "ZIG_LOCAL_CACHE_DIR": str(scratch / "zig")}
    with job.console.task("compile the library that shifts the clock", None):
        command = Command(argv, scratch, {**environment, "HOME": str(scratch), "PATH": "/nonexistent"})
        done = run_isolated(command, Reach((toolchain.path, source), (scratch,)), Surroundings(jobs=1))
    if done.status != 0:
        raise BuildError(
            where="recipes/build/clock_shift.c",
            expected="a shared library",
            found=done.text,
            fix="python3 noxfile.py -s verify, to see whether the toolchain is whole",
        )
    return library


def _other_user() -> tuple[str, ...]:
    """Return the prefix that runs a command under another user id, or nothing where that is not possible."""
    program = shutil.which("unshare", path=SYSTEM_PATH)
    if program is None:
        return ()
    candidate = (program, "--user", f"--map-user={OTHER_UID}", f"--map-group={OTHER_UID}", "--")
    return candidate if works_behind(candidate) else ()


def _share_downloads(job: Job, theirs: Store) -> None:
    # a bundle that a cache had was built from nothing here; and what a cache has is no download
    fetch_all(replace(job, settings=replace(job.settings, caches=())))
    for blob in sorted((job.store.root / "blobs" / "sha256").iterdir()):
        shutil.copyfile(blob, theirs.root / "blobs" / "sha256" / blob.name)
    if job.recipe.page is not None:
        packages = fetch_packages(page_job(job, ensure_patched(job)))
        theirs.ensure(
            packages.key,
            packages.kind,
            packages.inputs,
            lambda folder: copy_writable(packages.path, folder),
            console=job.console,
        )


def print_variations(variations: tuple[tuple[str, str, str], ...]) -> None:
    """Print in what the two builds' environments differed."""
    width = max(len(what) for what, _, _ in variations)
    print("built twice, with these differences:")
    for what, first, second in variations:
        print(f"  {what:<{width}}  {first}\n  {'':<{width}}  {second}")


def difference(job: Job, plan: Plan, first: Path, second: Path) -> OutputError:
    """Return the error that says what differs between two builds of a plan and probably why; the second is kept."""
    lines = "\n".join(explain(first, second))
    kept = job.store.reject(second, f"{plan.name}: a second build that differs from {first}\n{lines}")
    report = diffoscope(first, kept, job.store.logs / f"diffoscope-{plan.bundle_key}.txt")
    return OutputError(
        where=f"{plan.name}: the second build",
        expected=f"the bytes of {first}",
        found=f"{lines}\n(kept at {kept})" + (f"\n(diffoscope's report: {report})" if report else ""),
        fix="find what leaks into these places; docs/how-to/read-a-failure.md says how",
    )
