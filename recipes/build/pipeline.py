"""From plan to verified bundle: build, lay out, check, compare with the pinned digest.

Every stage verifies what it reads by digest; nothing depends on another command having run before.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from recipes.build.audit.macho.weak_symbols import keep_hidden_symbols
from recipes.build.bundle.layout import find_shipped, is_pin_of, lay_out, write_record
from recipes.build.bundle.listing import describe_mismatch
from recipes.build.bundle.version_output import read_version
from recipes.build.bundle_audit import check_structure
from recipes.build.bundle_provenance import drop_if_unproven, warn_of_provenance, write_provenance
from recipes.build.compiled import (
    BIN,
    changed_tools,
    check_no_leak,
    ensure_compiled,
)
from recipes.build.components.inventory import find_used, reader
from recipes.build.components.licences import licence_files
from recipes.build.provenance import PROVENANCE_INPUT, provenance_path, recorded_tools
from recipes.build.shared import keep_taken, wanted_bundle
from recipes.build.source_tree import ensure_source
from recipes.build.toolchain.host_tools import ask_host_tools
from recipes.build.toolchain.toolchain import ensure_toolchain, host_name
from recipes.core.digest import Sha256, hash_tree
from recipes.core.errors import AuditError, OutputError
from recipes.core.log import step
from recipes.core.process import Command
from recipes.core.sandbox import Reach, Surroundings, run_isolated
from recipes.registry.caches import take_tree
from recipes.store.build_history import explain_rebuild

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from recipes.build.context import Job
    from recipes.build.plan.plan import Plan
    from recipes.registry.caches import Taken
    from recipes.store.store import Entry

UNPIN = "write `output_unpinned: WHY` in the place of `output: ...` in the manifest"


@dataclass(frozen=True)
class Parts:
    """What a bundle is laid out of: what was compiled, and the source and the toolchain, which have the licences."""

    compiled: Entry
    source: Path
    toolchain: Path


@dataclass(frozen=True)
class Bundle:
    """A verified bundle in the store."""

    entry: Entry
    plan: Plan
    pinned: Sha256 | None
    built: bool
    taken: Taken | None = None  # where it was taken from, if that was now


def find_bundle(job: Job, plan: Plan) -> Bundle | None:
    """Return the bundle of a plan that is built already: every byte of it hashed again, and compared with the pin.

    Raises StoreError where it was changed after it was built, and OutputError where it is whole, and not the pinned
    one.
    """
    entry = job.store.find_verified(plan.bundle_key, lambda entry: _check_bundle(job, plan, entry))
    if entry is not None:
        warn_of_provenance(job, plan, entry)
    return Bundle(entry, plan, _pinned(job, plan), built=False) if entry else None


def ensure_bundle(job: Job, plan: Plan) -> Bundle:
    """Return a plan's bundle, taken from a cache or built where it is missing; verified either way.

    1. Check that the pinned digest was taken of this plan.
    2. Find the bundle in the store; where it is there, hash it again, compare it with the pin, and end. Else ask the
       caches; what nothing pins is taken where the job's policy accepts what is said of it.
    3. Fetch and unpack the toolchain.
    4. Fetch, verify and patch the source; build its page.
    5. Compile the runtime libraries of the target.
    6. Configure and compile. Where the same was compiled before, this and the three steps before it are not done.
    7. Lay the bundle out, check its files, and compare it with the pin.
    8. Write the provenance.

    Raises OutputError where it is not the pinned one, or cannot be: then before anything is built.
    """
    # 1. The pin.
    step(1, 8, "check the pin", plan=plan.name, digest=plan.digest)
    check_pin(job, plan)
    # 2. The bundle that is there.
    step(2, 8, "find the bundle", key=plan.bundle_key)
    drop_if_tools_changed(job, plan)
    drop_if_unproven(job, plan)
    inputs = plan.named_inputs()
    taken: Taken | None = None

    def make(folder: Path) -> None:
        nonlocal taken
        taken = take_tree(job, wanted_bundle(job, plan), folder) if plan.hermetic else None
        if taken:
            keep_taken(job, plan, taken, inputs)
            return
        say_why(job, plan)
        # 3. to 6. The compiled files.
        compiled = ensure_compiled(job, plan)
        # 7. The bundle.
        step(7, 8, "bundle", pinned=_pinned(job, plan))
        parts = Parts(compiled, ensure_source(job).path, ensure_toolchain(job.toolchain, job).path)
        tree = make_bundle(job, plan, parts, folder)
        # 8. The provenance.
        step(8, 8, "provenance", path=provenance_path(job.store, plan))
        # before the bundle appears, and bound to it: the entry's record has its digest
        inputs[PROVENANCE_INPUT] = write_provenance(job, plan, tree)

    entry, is_new = _ensure_entry(job, plan, inputs, make)
    if is_new and plan.whole:
        job.store.history.record_inputs(plan.name, plan.named_inputs())
    return Bundle(entry, plan, _pinned(job, plan), built=is_new and not taken, taken=taken)


def find_or_take_bundle(job: Job, plan: Plan, take: Callable[[Path], Taken | None]) -> Bundle | None:
    """Return a plan's bundle from the store, or as `take` fills an empty folder with it; None where it does not.

    What `take` brings MUST be the pinned tree, or one that a policy accepted. Raises as `find_bundle` does, OutputError
    where the pin was not taken of this plan, and what `take` raises.
    """
    check_pin(job, plan)
    inputs = plan.named_inputs()
    taken: Taken | None = None

    def make(folder: Path) -> None:
        nonlocal taken
        taken = take(folder)
        if taken is None:
            raise _NotThereError
        keep_taken(job, plan, taken, inputs)

    try:
        entry, _ = _ensure_entry(job, plan, inputs, make)
    except _NotThereError:
        return None
    return Bundle(entry, plan, _pinned(job, plan), built=False, taken=taken)


def take_bundle(job: Job, plan: Plan) -> Bundle | None:
    """Return a plan's bundle, which is not in the store, from the first of the user's caches that has it."""
    if not job.settings.caches or not plan.hermetic:
        return None
    return find_or_take_bundle(job, plan, lambda folder: take_tree(job, wanted_bundle(job, plan), folder))


class _NotThereError(Exception):
    """No registry has the bundle."""


def _ensure_entry(
    job: Job, plan: Plan, inputs: dict[str, str], make: Callable[[Path], None]
) -> tuple[Entry, bool]:
    """Return a plan's bundle in the store, filled by `make` where it is missing, and whether it was."""
    entry, is_new = job.store.ensure(
        plan.bundle_key,
        "bundle",
        inputs,
        make,
        console=job.console,
        check=lambda entry: _check_bundle(job, plan, entry),
    )
    if not is_new:
        warn_of_provenance(job, plan, entry)
    return entry, is_new


def _pinned(job: Job, plan: Plan) -> Sha256 | None:
    return job.platform.output if plan.whole else None


def _check_bundle(job: Job, plan: Plan, entry: Entry) -> None:
    if _pinned(job, plan) not in {None, entry.tree}:
        raise mismatch(job, plan, entry.path, entry.tree)


def drop_if_tools_changed(job: Job, plan: Plan) -> None:
    """Remove a bundle that the machine's own tools made when they were others: its plan does not name them.

    Raises ToolchainError where such a tool is missing now.
    """
    if not plan.hermetic and job.store.find(plan.bundle_key) is not None:
        before = recorded_tools(provenance_path(job.store, plan))
        if changed := changed_tools(before, ask_host_tools(job.toolchain)):
            job.console.say(
                f"building {plan.name} again: the machine's own tools changed: {', '.join(changed)}"
            )
            job.store.discard(plan.bundle_key)


def make_bundle(job: Job, plan: Plan, parts: Parts, into: Path) -> Sha256:
    """Lay out what was built, check it, compare it with the pinned digest, and return its digest.

    Raises AuditError where a built file is not as the plan says, and OutputError where the bundle is not the pinned
    one; it is kept for comparison, outside the entries.
    """
    where = f"{plan.name}: bundle"
    built = parts.compiled.path / BIN
    present = find_shipped(built, plan.contents, partial=not plan.whole)
    used = find_used(plan, parts.compiled, present, where)
    licences = licence_files(used, reader(parts.source, parts.toolchain, job.manifests.root), where)
    lay_out(built, present, licences, into)
    if plan.inputs.sdk:  # linked by zig
        keep_hidden_symbols(into)
    write_record(into, plan.record())
    check_structure(plan, into, parts.source, parts.toolchain, where)
    check_no_leak(into, (job.store.root,), where)
    check_version(plan, into, where)
    digest = hash_tree(into, Sha256)
    if _pinned(job, plan) not in {None, digest}:
        kept = job.store.reject(into, f"{plan.name}: not the pinned bundle")
        raise mismatch(job, plan, kept, digest)
    return digest


def mismatch(job: Job, plan: Plan, path: Path, found: Sha256) -> OutputError:
    """Return the error for a bundle that is not the pinned one, naming the files that differ."""
    listing = job.manifests.output_listing(job.recipe.name, job.platform_name)
    return OutputError(
        where=f"{job.where}: platforms.{job.platform_name}.output",
        expected=str(job.platform.output),
        found=f"{found}, at {path}\n{describe_mismatch(listing, path)}",
        fix=(
            f"python3 noxfile.py -s reproduce -- --recipe {plan.recipe} --platform {plan.platform} tells whether it is"
            f" stable;\nif the pin is wrong, {UNPIN}, then\n{pin_commands(plan)}"
        ),
    )


def check_pin(job: Job, plan: Plan) -> None:
    """Demand that the pinned output can come out of the plan; raises OutputError where it was pinned of another."""
    if not plan.whole or job.platform.output is None:
        return
    if is_pin_of(plan, job.manifests.output_listing(job.recipe.name, job.platform_name)):
        return
    raise OutputError(
        where=f"{job.where}: platforms.{job.platform_name}.output",
        expected="a digest of what these pins give",
        found=f"{job.platform.output}, pinned before the recipe or its toolchain was changed: its build.json differs",
        fix=(
            "take the change back; or, if it is intended,\n"
            f"python3 noxfile.py -s lock -- --recipe {plan.recipe} --write\n{pin_commands(plan)}"
        ),
    )


def pin_commands(plan: Plan) -> str:
    """Return the commands that build a bundle and pin it, a line each."""
    chosen = f"-- --recipe {plan.recipe} --platform {plan.platform}"
    return f"python3 noxfile.py -s build {chosen}\npython3 noxfile.py -s lock {chosen} --output --write"


def check_version(plan: Plan, bundle: Path, where: str) -> None:
    """Demand that the built program says who it is, where this machine can run it.

    Raises AuditError where it prints another build number or commit, or does not run.
    """
    # Apple calls its processors arm64, everyone else aarch64
    runs_here = host_name().replace("arm64", "aarch64") == f"{plan.system}-{plan.machine}"
    if not plan.probe or not plan.whole or not runs_here:
        return
    program, *arguments = plan.probe
    command = Command((str(bundle / "bin" / program), *arguments), bundle)
    done = run_isolated(command, Reach((bundle,), ()), Surroundings(jobs=1))
    if done.status != 0 or read_version(done.text) != plan.version:
        raise AuditError(
            where=f"{where}: {' '.join(plan.probe)}",
            expected=f"exit status 0 and `version: {plan.version}`",
            found=f"exit status {done.status} and\n{done.text}",
            fix="give LLAMA_BUILD_NUMBER and LLAMA_BUILD_COMMIT of the pinned commit under `cmake:` in the manifest",
        )


def say_why(job: Job, plan: Plan) -> None:
    """Say in one line which input changed since this recipe was last built here."""
    before = job.store.history.last_inputs(plan.name)
    if before is not None and plan.whole:
        job.console.say(f"building {plan.name} again: {explain_rebuild(before, plan.named_inputs())}")
