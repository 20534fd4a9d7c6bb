"""Pinned wheels -> a compiler on disk, and the runtime libraries it makes for a target."""

from __future__ import annotations

import platform
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from recipes.archive import unpack
from recipes.console import Console
from recipes.digest import Sha256
from recipes.errors import ToolchainError, UsageError
from recipes.origins import fetch_wheel
from recipes.plan import Plan, canonical_json, fill
from recipes.process import Command
from recipes.sandbox import Surroundings, run_isolated
from recipes.schema import Defaults, Recipe, Toolchain, Wheel
from recipes.settings import Settings
from recipes.store import Entry, Store

# Where each package of the index keeps the program that it carries.
PROGRAMS = {
    "ziglang": ("zig", "ziglang/zig"),
    "cmake": ("cmake", "cmake/data/bin/cmake"),
    "ninja": ("ninja", "ninja/data/bin/ninja"),
}
# One program for each way of linking: zig makes its C and C++ runtime libraries anew for each.
RUNTIME_TRIALS = (
    ("c++", "-O3", "-s"),
    ("c++", "-O3", "-s", "-shared", "-fPIC"),
    ("c++",),
    ("cc", "-O3", "-s"),
    ("cc",),
)
RUNTIME_SOURCE = {
    "cc": ("trial.c", "#include <stdio.h>\nint trial(void) { return puts(\"\"); }\nint main(void) { return trial(); }\n"),
    "c++": ("trial.cpp", "#include <iostream>\nint trial() { std::cout << 1; return 0; }\nint main() { return trial(); }\n"),
}


def host_name() -> str:
    """Give this machine as manifests name it: system and processor."""
    system = {"darwin": "macos"}.get(sys.platform, sys.platform)
    machine = platform.machine()
    # Apple calls its processors arm64, everyone else aarch64
    return f"{system}-{machine}"


def wheels_of_host(toolchain: Toolchain, host: str) -> tuple[Wheel, ...]:
    """Give the wheels pinned for a machine.

    Raises
    ------
    ToolchainError
        Where the manifest pins none for it.
    """
    where = f"manifests/toolchains/{toolchain.name}.yaml: hosts"
    if toolchain.kind == "host":
        raise ToolchainError(
            where=where,
            expected="a Mac with Xcode's command line tools: this platform is built by the machine's own compiler",
            found=host,
            fix="run the same command on such a Mac, or choose another platform with --platform",
        )
    if host not in toolchain.hosts:
        raise ToolchainError(
            where=where,
            expected=f"one of {', '.join(toolchain.hosts)}",
            found=host,
            fix=f"build on one of these machines, or pin {toolchain.name}'s wheels for {host} in that file",
        )
    return toolchain.hosts[host]


def toolchain_key(toolchain: Toolchain, host: str) -> str:
    """Name the store entry of a toolchain, as unpacked for one host."""
    digests = [wheel.sha256.hex for wheel in wheels_of_host(toolchain, host)]
    return f"toolchain-{toolchain.name}-{host}-{Sha256.of_bytes(canonical_json(digests)).hex[:32]}"


def ensure_toolchain(toolchain: Toolchain, store: Store, console: Console, settings: Settings) -> Entry:
    """Give the unpacked toolchain of this machine, fetched and unpacked where it is not there yet, and verified.

    Raises
    ------
    ToolchainError
        Where nothing is pinned for this machine.
    FetchError, VerifyError, ArchiveError, StoreError
        As fetching, unpacking and storing raise them.
    """
    host = host_name()
    key = toolchain_key(toolchain, host)
    if entry := verified_entry(store, key):
        return entry
    with store.lock(key, console):
        if entry := verified_entry(store, key):  # unpacked by another process, while this one waited
            return entry
        wheels = wheels_of_host(toolchain, host)
        inputs = {wheel.file: str(wheel.sha256) for wheel in wheels}
        with store.stage(key, "toolchain", inputs) as staging:
            where = f"manifests/toolchains/{toolchain.name}.yaml: hosts.{host}"
            for wheel in wheels:
                archive = fetch_wheel(wheel, where, store, console, settings)
                with console.task(f"unpack {wheel.project} {wheel.version}", None):
                    folder = staging.path / wheel.project
                    unpack(archive, folder, subdirectory=".", drop=(), where=f"{where}: {wheel.file}")
            _link_programs(staging.path, wheels)
        return staging.entry


def ensure_runtime(plan: Plan, toolchain: Entry, store: Store, console: Console) -> Entry:
    """Give a zig cache that holds the runtime libraries of the plan's target, made where it is not there yet.

    zig compiles libc++, compiler-rt and the libc stubs of a target when they are first linked, which takes
    minutes. They depend on the toolchain and the target alone, so that builds start from a copy of them.

    Raises
    ------
    ToolchainError
        Where the compiler cannot make a program for the target.
    """
    recipe = canonical_json([plan.compilers(), RUNTIME_TRIALS, RUNTIME_SOURCE])
    key = f"runtime-{plan.machine}-{Sha256.of_bytes(toolchain.key.encode() + recipe).hex[:32]}"
    if entry := verified_entry(store, key):
        return entry
    with store.lock(key, console):
        if entry := verified_entry(store, key):
            return entry
        with store.stage(key, "runtime", {"toolchain": toolchain.key}) as staging:
            title = f"compile the runtime libraries of {plan.machine} (once)"
            with console.task(title, len(RUNTIME_TRIALS), "programs") as task, store.scratch(key) as scratch:
                folders = {"toolchain": toolchain.path, "wrappers": scratch / "wrappers", "build": scratch}
                _lay_out_wrappers(plan, folders)
                cache = {"ZIG_GLOBAL_CACHE_DIR": str(staging.path), "ZIG_LOCAL_CACHE_DIR": str(staging.path)}

                def link(index: int) -> None:
                    _link_trial(RUNTIME_TRIALS[index], scratch, index, cache)
                    task.advance(1)

                # zig compiles them one after the other: two ways of linking at a time keep two cores busy
                with ThreadPoolExecutor(2) as pool:
                    list(pool.map(link, range(len(RUNTIME_TRIALS))))
        return staging.entry


def verified_entry(store: Store, key: str) -> Entry | None:
    """Give an entry that is there, every byte of it hashed again; or None.

    Raises
    ------
    StoreError
        Where it was changed after it was made.
    """
    entry = store.find(key)
    if entry is not None:
        store.verify(entry)
    return entry


def default_platform(defaults: Defaults, recipe: Recipe) -> str:
    """Give the platform that a recipe is built for where none is named: that of this machine.

    Raises
    ------
    UsageError
        Where there is none for it.
    """
    host = host_name()
    if host not in defaults.platforms:
        raise UsageError(
            where="manifests/defaults.yaml: platforms",
            expected=f"one of {', '.join(defaults.platforms)}",
            found=host,
            fix=f"name one with --platform: {', '.join(recipe.platforms)}",
        )
    return defaults.platforms[host]


def _link_programs(root: Path, wheels: tuple[Wheel, ...]) -> None:
    (root / "bin").mkdir()
    for wheel in wheels:
        name, program = PROGRAMS[wheel.project]
        (root / "bin" / name).symlink_to(Path("..") / wheel.project / program)


def _lay_out_wrappers(plan: Plan, folders: dict[str, Path]) -> None:
    folders["wrappers"].mkdir()
    for wrapper in plan.wrappers:
        script = folders["wrappers"] / wrapper.name
        script.write_text(fill(wrapper.script, folders), encoding="utf-8")
        script.chmod(0o755)


def _link_trial(trial: tuple[str, ...], scratch: Path, index: int, cache: dict[str, str]) -> None:
    compiler, *flags = trial
    name, text = RUNTIME_SOURCE[compiler]
    folder = scratch / str(index)
    folder.mkdir()
    (folder / name).write_text(text, encoding="utf-8")
    wrapper = scratch / "wrappers" / compiler
    environment = {**cache, "PATH": str(wrapper.parent), "HOME": str(folder), "TMPDIR": str(folder)}
    done = run_isolated(
        Command((str(wrapper), *flags, name, "-o", "trial"), folder, environment), Surroundings(jobs=1)
    )
    if done.status != 0:
        raise ToolchainError(
            where=f"{compiler} {' '.join(flags)} {name}",
            expected="a program",
            found=f"exit status {done.status}\n{done.text}",
            fix="if the toolchain was changed by hand: python3 noxfile.py -s gc -- --damaged, then the same again",
        )
