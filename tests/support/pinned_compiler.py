"""Small programs made by the pinned zig and kept in the user's store: made once, whatever test asks first.

A file's name in the store is the digest of all that it is made from: the toolchain, how it is called, the source, the
flags, and the bytes of what is linked. So a warm run compiles nothing, and no run takes an old file for a new one.
What takes minutes, a target's runtime libraries, is made before the tests start: tests/integration/conftest.py.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from abc import ABC, abstractmethod
from functools import cached_property
from typing import TYPE_CHECKING

from recipes.build.plan.plan import Plan, canonical_json, make_plan
from recipes.build.toolchain.toolchain import (
    ensure_runtime,
    ensure_toolchain,
    host_name,
    lay_out_wrappers,
    place_of,
    reach_toolchain,
    runtime_key,
    toolchain_key,
)
from recipes.core.console import open_console
from recipes.core.digest import Sha256
from recipes.core.filesystem import copy_tree
from recipes.core.process import Command
from recipes.core.sandbox import Surroundings, run_isolated
from recipes.core.settings import read_settings
from recipes.manifest.load import Manifests
from recipes.store.context import Context
from recipes.store.store import Store

if TYPE_CHECKING:
    from pathlib import Path

    from recipes.manifest.schema import Toolchain

OUT = "{out}"  # in a flag: the folder of what is made


def user_context() -> Context:
    """Return the user's own store, console and settings."""
    settings = read_settings()
    return Context(Store.open(settings.store), open_console(), settings)


def unpacked(toolchain: Toolchain, context: Context) -> Path:
    """Return a toolchain's folder; one that is there is not hashed again, as builds do that."""
    entry = context.store.find(toolchain_key(toolchain, host_name()))
    return (entry or ensure_toolchain(toolchain, context)).path


def prepare_runtime(plan: Plan, toolchain: Toolchain) -> None:
    """Make the runtime libraries of a plan's target where they are not in the store yet."""
    context = user_context()
    unpacked = toolchain_key(toolchain, host_name())
    place = place_of(context.store.entry_path(unpacked), Surroundings(jobs=1))
    if context.store.find(runtime_key(plan, unpacked, place)) is None:
        ensure_runtime(plan, ensure_toolchain(toolchain, context), place, context)


class PinnedCompiler(ABC):
    """The pinned zig as a platform's builds call it.

    Parameters
    ----------
    folder
        For sources, import libraries and the compiler's cache.
    """

    platform: str

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.context = user_context()
        manifests = Manifests()
        recipe = manifests.recipe("b6751")
        self.toolchain = manifests.toolchain(recipe.platforms[self.platform].toolchain)
        self.plan = make_plan(recipe, self.platform, self.toolchain)

    @cached_property
    def zig(self) -> Path:
        """The folder of zig's program and libraries."""
        return unpacked(self.toolchain, self.context) / "ziglang" / "ziglang"

    @property
    @abstractmethod
    def called(self) -> list[str]:
        """What decides how files are made, besides the toolchain and the words of one call."""

    @abstractmethod
    def command(self) -> list[str]:
        """Return the compiler's argv; only asked for where something is made."""

    def run(self, *argv: str, into: Path, cache: Path | None = None) -> None:
        """Run zig, which writes into a folder, with a cache of this compiler's own, or another one."""
        folder = str(cache or self.folder / "zig")
        environment = {**os.environ, "ZIG_GLOBAL_CACHE_DIR": folder, "ZIG_LOCAL_CACHE_DIR": folder}
        subprocess.run(argv, cwd=into, check=True, env=environment, capture_output=True)

    def compile(self, source: str, into: Path, *flags: str | Path, fresh: bool = False) -> Path:
        """Compile a C source to a program, or to a library where the flags say so.

        Parameters
        ----------
        source
            The text.
        into
            The file. What is made beside it goes into the compiler's own folder.
        flags
            Words, and files that are linked; `{out}` stands for the folder of what is made.
        fresh
            Compile it whatever the store holds.
        """
        words = [
            Sha256.of_bytes(flag.read_bytes()).hex if not isinstance(flag, str) else flag for flag in flags
        ]
        made_from = [toolchain_key(self.toolchain, host_name()), self.called, source, into.name, words]

        def make(folder: Path) -> None:
            file = self.folder / f"{into.name}.c"
            file.write_text(source)
            given = [str(flag).replace(OUT, str(folder)) for flag in flags]
            self.run(*self.command(), str(file), *given, "-o", str(folder / into.name), into=folder)

        if fresh:
            made = self.folder / "fresh" / into.name
            made.mkdir(parents=True)
            make(made)
        else:
            key = f"test-{self.platform}-{Sha256.of_bytes(canonical_json(made_from)).hex[:32]}"
            made = self.context.store.ensure(key, "test", {}, make, console=self.context.console).entry.path
        into.parent.mkdir(parents=True, exist_ok=True)
        for path in made.iterdir():
            if path.name == into.name:
                into.unlink(missing_ok=True)
                shutil.copyfile(path, into).chmod(0o755)
            elif not (
                self.folder / path.name
            ).exists():  # a changed library leaves the import library of the first
                shutil.copyfile(path, self.folder / path.name)
        return into


class WrappedCompiler(PinnedCompiler):
    """Calls zig by the plan's own wrapper, beside a copy of the target's runtime libraries, as builds do."""

    flags: tuple[
        str, ...
    ]  # what every call has; with another optimisation zig would make its own libraries anew

    @property
    def called(self) -> list[str]:
        return [*self.plan.compilers(), *self.flags]

    def command(self) -> list[str]:
        return [self._wrapper, *self.flags]

    def run(self, *argv: str, into: Path, cache: Path | None = None) -> None:
        """Run zig where it sees its own libraries at the place that the cache was made for."""
        folder = str(cache or self.folder / "zig")
        environment = {
            "ZIG_GLOBAL_CACHE_DIR": folder,
            "ZIG_LOCAL_CACHE_DIR": folder,
            "HOME": str(self.folder),
        }
        reach = reach_toolchain(self.unpacked, self.place, reads=(), writes=(self.folder, into))
        done = run_isolated(Command(argv, into, environment), reach, Surroundings(jobs=1))
        assert done.status == 0, done.text

    @cached_property
    def unpacked(self) -> Path:
        """The toolchain's folder."""
        return unpacked(self.toolchain, self.context)

    @property
    def place(self) -> Path:
        """Where zig sees it."""
        return place_of(self.unpacked, Surroundings(jobs=1))

    @cached_property
    def _wrapper(self) -> str:
        toolchain = ensure_toolchain(self.toolchain, self.context)
        runtime = ensure_runtime(self.plan, toolchain, self.place, self.context)
        copy_tree(runtime.path, self.folder / "zig")
        wrappers = self.folder / "wrappers"
        lay_out_wrappers(self.plan, {"toolchain": self.place, "build": self.folder, "wrappers": wrappers})
        return str(wrappers / "cc")
