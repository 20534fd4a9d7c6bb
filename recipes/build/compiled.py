"""The compiled stage: what a plan's compile gave, kept as a store entry of its own.

Its key says what shapes the compiled bytes and nothing else, so that another packaging of them compiles nothing. The
entry holds `bin/`, what the build made, and `record/`, what it was made of (`components/compile_record.py`). Beside it
lies when and how isolated it was compiled: the entry's record has that file's digest.
"""

from __future__ import annotations

import getpass
import os
import platform
import shutil
import stat
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from recipes.build.audit.bundle_files import find_strings
from recipes.build.compile import Workplace, build, record_of
from recipes.build.components.compile_record import RECORD
from recipes.build.evidence_files import evidence_folder
from recipes.build.sharing.stages import take_or_make_signed
from recipes.build.source_tree import ensure_source
from recipes.build.toolchain.host_tools import ask_host_tools
from recipes.build.toolchain.toolchain import ensure_runtime, ensure_toolchain, place_of
from recipes.core.digest import Sha256
from recipes.core.errors import AuditError, BuildError
from recipes.core.filesystem import make_folders, open_to_write, read_no_link, shown, storage_errors
from recipes.core.log import step
from recipes.core.sandbox import demand_isolation
from recipes.core.settings import REQUIRE_ISOLATION

if TYPE_CHECKING:
    from recipes.build.context import Job
    from recipes.build.plan.plan import Plan
    from recipes.core.sandbox import Isolation
    from recipes.store.store import Entry, Store

BIN = "bin"
CIRCUMSTANCES = "compile.json"
CIRCUMSTANCES_INPUT = "circumstances"  # the name of its digest in the entry's record
TELLING_NAME = 8  # letters that a user name must have to be looked for in files


class Circumstances(msgspec.Struct, frozen=True, kw_only=True):
    """What one compile happened in.

    `isolation` is how its steps were cut off from the rest of the machine, or why they were not; `tools` are the
    versions of a host toolchain by program, empty for a pinned one. Times are of UTC, to the second.
    """

    started: datetime
    finished: datetime
    isolation: str
    isolated: bool
    jobs: int
    umask: str
    machine: str
    cores: int | None
    tools: dict[str, str]


def now() -> datetime:
    """Return the time in UTC, to the second."""
    return datetime.now(UTC).replace(microsecond=0)


def ensure_compiled(job: Job, plan: Plan) -> Entry:
    """Return what a plan compiles, compiled where it is missing; verified either way.

    Raises what the stages before it raise, BuildError where CMake or ninja fails, and AuditError where what CMake
    resolved is not what the plan says, or a file names this machine.
    """
    drop_unusable(job, plan)
    inputs = {"plan": str(Sha256.of_bytes(msgspec.json.encode(plan.compile_data(), order="deterministic")))}

    def make(folder: Path) -> None:
        isolation = demand_isolation(is_demanded=REQUIRE_ISOLATION in job.settings.policy)
        (job.console.say if isolation.wrap else job.console.warn)(f"build steps are {isolation.description}")
        # 3. The toolchain.
        step(3, 8, "toolchain", name=job.toolchain.name)
        tools = ask_host_tools(job.toolchain)  # before anything is fetched for a machine that cannot build
        toolchain = ensure_toolchain(job.toolchain, job)
        # 4. The source.
        step(4, 8, "source", commit=job.recipe.source.commit, patches=len(job.recipe.patches))
        source = ensure_source(job)
        # 5. The runtime libraries.
        step(5, 8, "runtime libraries", target=job.platform.target)
        place = place_of(toolchain.path, job.surroundings)
        share = partial(take_or_make_signed, job, job.platform.target)
        runtime = ensure_runtime(plan, toolchain, place, job, share).path if plan.hermetic else None
        with job.store.scratch(plan.compiled_key) as work:
            log = log_path(job.store, plan)
            workplace = Workplace(work, source.path, toolchain.path, place, runtime, log)
            started = now()
            # 6. Configure and compile.
            step(6, 8, "compile", jobs=job.surroundings.jobs, folder=work, log=workplace.log)
            built = build(plan, workplace, job.surroundings, job.console)
            _take(built, folder / BIN)
            for name, data in record_of(plan, workplace, job.surroundings).files().items():
                (folder / RECORD).mkdir(exist_ok=True)
                (folder / RECORD / name).write_bytes(data)
            # a compiler of the machine's own has headers and libraries anywhere
            check_no_leak(
                folder if plan.hermetic else folder / BIN,
                (job.store.root, work, place),
                f"{plan.name}: compiled files",
            )
        data = msgspec.json.encode(_circumstances(job, isolation, started, tools))
        _write(circumstances_path(job.store, plan), data)
        inputs[CIRCUMSTANCES_INPUT] = str(Sha256.of_bytes(data))  # the store reads them when this has ended

    entry, is_new = job.store.ensure(plan.compiled_key, "compiled", inputs, make, console=job.console)
    if not is_new and (found := find_circumstances(job.store, plan)):
        job.console.say(f"compiled before, at {found.finished:%Y-%m-%dT%H:%M:%SZ}, {found.isolation}")
    return entry


def drop_unusable(job: Job, plan: Plan) -> None:
    """Remove what was compiled where it is not known in what circumstances, or they are not what is asked for now.

    Raises ToolchainError where a tool of the machine's own is missing now.
    """
    if job.store.find(plan.compiled_key) is None:
        return
    found = find_circumstances(job.store, plan)
    if found is None:
        why = f"the record of how it was compiled is gone or changed: {circumstances_path(job.store, plan)}"
    elif REQUIRE_ISOLATION in job.settings.policy and not found.isolated:
        why = f"it was compiled {found.isolation}, and the policy {REQUIRE_ISOLATION} demands more"
    elif changed := [] if plan.hermetic else changed_tools(found.tools, ask_host_tools(job.toolchain)):
        why = f"the machine's own tools changed: {', '.join(changed)}"
    else:
        return
    job.console.say(f"compiling {plan.name} again: {why}")
    job.store.discard(plan.compiled_key)


def changed_tools(before: dict[str, str], after: dict[str, str]) -> list[str]:
    """Return the tools of a machine whose version is another one, or that only one of two lists has."""
    return sorted(name for name in before.keys() | after.keys() if before.get(name) != after.get(name))


def find_circumstances(store: Store, plan: Plan) -> Circumstances | None:
    """Return in what circumstances a plan's files were compiled; None where that is not known, or was changed since."""
    entry = store.find(plan.compiled_key)
    try:
        data = read_no_link(circumstances_path(store, plan))
        is_it = entry is not None and entry.inputs.get(CIRCUMSTANCES_INPUT) == str(Sha256.of_bytes(data))
        return msgspec.json.decode(data, type=Circumstances) if is_it else None
    except (OSError, msgspec.DecodeError):
        return None


def check_no_leak(folder: Path, machine: tuple[Path, ...], where: str) -> None:
    """Demand that no file below a folder holds a path or the user of the machine that built it.

    `machine` are folders besides the user's home. Raises AuditError, naming the files.
    """
    needles = {*map(str, machine), f"{Path.home()}/"}
    # a shorter name, such as root, is a word that programs use for other things
    if len(getpass.getuser()) >= TELLING_NAME:
        needles.add(getpass.getuser())
    found = find_strings(folder, sorted(needle.encode() for needle in needles))
    if found:
        raise AuditError(
            where=where,
            expected="no path and no user name of this machine in any file",
            found="\n".join(f"{name} holds {needle.decode()}" for name, needle in found),
            fix="map the path away with -ffile-prefix-map in the platform's flags, or strip the file",
        )


def log_path(store: Store, plan: Plan) -> Path:
    """Return where every line that a plan's last compile here printed is kept."""
    return store.root / "logs" / f"{plan.compiled_key}.log"


def circumstances_path(store: Store, plan: Plan) -> Path:
    """Return where it is kept in what circumstances a plan's files were compiled."""
    return evidence_folder(store, plan.compiled_key) / CIRCUMSTANCES


def _take(built: Path, into: Path) -> None:
    """Copy the files that a build made; a link keeps leading to its neighbour, and none to anywhere else is taken."""
    into.mkdir()
    with storage_errors(into):
        for path in sorted(built.iterdir() if built.is_dir() else ()):
            if path.is_symlink():
                if path.resolve().parent != built.resolve():
                    raise BuildError(
                        where=str(path),
                        expected=f"a file below {built}",
                        found=f"a link to {shown(str(path.readlink()))}",
                        fix="remove the link and build again: nothing of the host is shipped",
                    )
                (into / path.name).symlink_to(path.resolve().name)
            elif path.is_file():
                shutil.copyfile(path, into / path.name)
                (into / path.name).chmod(0o755 if path.stat().st_mode & stat.S_IXUSR else 0o644)


def _circumstances(job: Job, isolation: Isolation, started: datetime, tools: dict[str, str]) -> Circumstances:
    return Circumstances(
        started=started,
        finished=now(),
        isolation=isolation.description,
        isolated=isolation.wrap is not None,
        jobs=job.surroundings.jobs,
        umask=f"{job.surroundings.umask:04o}",
        machine=f"{platform.system()} {platform.release()} {platform.machine()}",
        cores=os.cpu_count(),
        tools=tools,
    )


def _write(path: Path, data: bytes) -> None:
    with storage_errors(path):
        make_folders(path.parent)
        with os.fdopen(open_to_write(path), "wb") as file:
            file.write(data)
