"""Runs a plan: configure, check what CMake resolved against the plan, compile."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from recipes.build.audit import cmake as audit
from recipes.build.audit.flag_rules import LIBC, AllowedFlags
from recipes.build.components.compile_record import CompileRecord, make_record
from recipes.build.plan.plan import Plan, fill
from recipes.build.toolchain.sdk import lay_out_sdk
from recipes.build.toolchain.toolchain import lay_out_wrappers, reach_toolchain
from recipes.core.errors import BuildError
from recipes.core.filesystem import copy_tree, read_no_link
from recipes.core.process import Command
from recipes.core.sandbox import Surroundings, run_isolated

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from recipes.core.console import Console
    from recipes.core.sandbox import Reach

# how the loader names the folder of the file that it loads; Windows looks there anyway
ORIGINS = {"linux": "$ORIGIN", "macos": "@loader_path", "windows": ""}
HOST_PROGRAMS = ("CMAKE_UNAME",)  # asked what the building machine is, which decides nothing of the target
HOST_FOLDERS = (Path("/opt"), Path("/Library/Developer"), Path("/Applications/Xcode.app"))
NINJA_PROGRESS = re.compile(r"^\[(\d+)/(\d+)\] ")


@dataclass(frozen=True)
class Workplace:
    """The folders of one build: everything is written below `work`, which is empty, and into `log`.

    `place` is where commands see the toolchain, and `runtime` a zig cache that holds the target's runtime libraries, or
    None.
    """

    work: Path
    source: Path
    toolchain: Path
    place: Path
    runtime: Path | None
    log: Path

    @property
    def build(self) -> Path:
        """Where CMake and ninja write."""
        return self.work / "build"

    def folders(self) -> dict[str, Path]:
        """Return what the placeholders of a plan stand for."""
        return {
            "source": self.source,
            "build": self.build,
            "toolchain": self.place,
            "wrappers": self.work / "wrappers",
            "sdk": self.work / "sdk",
        }

    def reach(self, plan: Plan) -> Reach:
        """Return what a command of the build sees: a compiler of the machine's own may lie in further folders."""
        tools = () if plan.hermetic else tuple(path for path in HOST_FOLDERS if path.is_dir())
        return reach_toolchain(self.toolchain, self.place, reads=(self.source, *tools), writes=(self.work,))


def build(plan: Plan, workplace: Workplace, surroundings: Surroundings, console: Console) -> Path:
    """Build a plan's targets and return the folder that holds what was built.

    Raises BuildError where CMake or ninja fails (the log is named and kept), VerifyError where the SDK is not the
    pinned one, and AuditError where what CMake resolved is not what the plan says.
    """
    _prepare(plan, workplace)
    with console.task(f"configure {plan.name}", None):
        _run(plan, plan.configure, workplace, surroundings)
    configured = workplace.log.read_text(encoding="utf-8", errors="replace")
    audit.check_used(configured, plan.overridden, where=f"{plan.name}: configure")
    check_configured(plan, workplace.folders())
    _compile(plan, workplace, surroundings, console)
    return workplace.build / "bin"


def record_of(plan: Plan, workplace: Workplace, surroundings: Surroundings) -> CompileRecord:
    """Return what was compiled and linked; raises BuildError where ninja does not say what the compiler read."""
    build, lines = workplace.build, list[str]()
    command = ("{toolchain}/bin/ninja", "-C", "{build}", "-t", "deps")
    _run(plan, command, workplace, surroundings, lines.append, log=False)
    return make_record(
        json.loads(read_no_link(build / "compile_commands.json")),
        read_no_link(build / "build.ninja").decode(),
        lines,
        workplace.folders(),
        lambda name: (build / name).is_file(),
    )


def check_configured(plan: Plan, folders: Mapping[str, Path]) -> None:
    """Compare CMake's resolved cache and compile commands with the plan.

    Raises AuditError, naming the option, flag or path that the plan does not list.
    """
    where = f"{plan.name}: configure"
    expected = {name: fill(value, folders) for name, value in plan.cache}
    # a host toolchain brings headers and libraries of the machine: all of it is within bounds
    roots = (*folders.values(), *(() if plan.hermetic else Path("/").iterdir()))
    # what a step wrote is read, and never what a link leads to that it put there
    cache = read_no_link(folders["build"] / "CMakeCache.txt").decode()
    audit.check_cache(cache, expected, allowed_roots=roots, where=where, exceptions=HOST_PROGRAMS)
    commands = json.loads(read_no_link(folders["build"] / "compile_commands.json"))
    allowed = AllowedFlags(
        plan.isa_flags, plan.march, libraries=(*LIBC, *plan.libraries), origin=ORIGINS[plan.system]
    )
    audit.check_commands(commands, allowed, roots=roots, where=where)
    ninja = read_no_link(folders["build"] / "build.ninja").decode()
    audit.check_link_commands(ninja, allowed, roots=roots, where=where)


def _prepare(plan: Plan, workplace: Workplace) -> None:
    workplace.log.parent.mkdir(parents=True, exist_ok=True)
    workplace.log.unlink(missing_ok=True)
    for folder in (workplace.build, workplace.build / "home", workplace.build / "tmp"):
        folder.mkdir(parents=True)
    lay_out_sdk(plan, workplace.folders()["sdk"])
    lay_out_wrappers(plan, workplace.folders())
    if workplace.runtime:
        copy_tree(workplace.runtime, workplace.build / "zig")


def _compile(plan: Plan, workplace: Workplace, surroundings: Surroundings, console: Console) -> None:
    total = _count_steps(plan, workplace, surroundings)
    with console.task(f"compile {plan.name}", total, "steps") as task:

        def show(line: str) -> None:
            if match := NINJA_PROGRESS.match(line):
                task.position(int(match[1]))

        _run(plan, (*plan.compile, "-j", str(surroundings.jobs)), workplace, surroundings, show)


def _count_steps(plan: Plan, workplace: Workplace, surroundings: Surroundings) -> int | None:
    counted = run_isolated(
        _command((*plan.compile, "-n"), plan, workplace), workplace.reach(plan), surroundings
    )
    last = [match for line in counted.tail if (match := NINJA_PROGRESS.match(line))]
    return int(last[-1][2]) if last else None


def _command(argv: tuple[str, ...], plan: Plan, workplace: Workplace) -> Command:
    folders = workplace.folders()
    return Command(
        tuple(fill(word, folders) for word in argv),
        cwd=workplace.build,
        env={name: fill(value, folders) for name, value in plan.environment},
    )


def _run(  # noqa: PLR0913 - one call
    plan: Plan,
    argv: tuple[str, ...],
    workplace: Workplace,
    surroundings: Surroundings,
    on_line: Callable[[str], None] | None = None,
    *,
    log: bool = True,
) -> None:
    command = _command(argv, plan, workplace)
    into = workplace.log if log else None
    done = run_isolated(command, workplace.reach(plan), surroundings, log=into, on_line=on_line)
    if done.status != 0:
        raise BuildError(
            where=f"{plan.name}: {Path(argv[0]).name}",
            expected="exit status 0",
            found=f"exit status {done.status}, after\n{done.text}",
            fix=f"read the whole log, kept at {workplace.log}",
        )
