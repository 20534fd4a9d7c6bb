"""The stages in order: fetch -> verify -> patch -> build -> bundle, each a store entry named by its inputs.

Every stage verifies what it reads by digest; nothing depends on another command having run before.
"""

from __future__ import annotations

import getpass
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from recipes import elf
from recipes.build import Workplace, build
from recipes.bundle import is_pin_of, lay_out, write_record
from recipes.diff import parse_patch
from recipes.digest import Sha1, Sha256, hash_file, hash_tree
from recipes.errors import AuditError, OutputError, StoreError, VerifyError
from recipes.history import explain_rebuild
from recipes.host_tools import ask_host_tools
from recipes.macho.coalescing import keep_hidden_symbols
from recipes.origins import fetch_source, fetch_wheel
from recipes.outputs import describe_mismatch
from recipes.page import PageJob, ensure_page, fetch_packages
from recipes.patch import apply_patch
from recipes.plan import Plan, final_tree, make_plan
from recipes.process import Command
from recipes.provenance import Circumstances, now, recorded_tools, statement, write_statement
from recipes.sandbox import Surroundings, find_isolation, run_isolated
from recipes.storage import copy_writable, storage_errors
from recipes.structure import check_structure
from recipes.toolchain import (
    ensure_runtime,
    ensure_toolchain,
    host_name,
    verified_entry,
    wheels_of_host,
)
from recipes.version_line import read_version

if TYPE_CHECKING:
    from recipes.console import Console
    from recipes.manifest import Manifests
    from recipes.schema import Platform, Recipe, Toolchain
    from recipes.settings import Settings
    from recipes.store import Entry, Store

UNPIN = "write `output_unpinned: WHY` in the place of `output: ...` in the manifest"
TELLING_NAME = 8  # letters that a user name must have to be looked for in files


@dataclass(frozen=True)
class Job:
    """One recipe for one platform, and where it is worked on."""

    manifests: Manifests
    recipe: Recipe
    platform_name: str
    store: Store
    console: Console
    settings: Settings
    surroundings: Surroundings

    @property
    def platform(self) -> Platform:
        """The platform's part of the recipe."""
        return self.recipe.platforms[self.platform_name]

    @property
    def toolchain(self) -> Toolchain:
        """The toolchain that the platform names."""
        return self.manifests.toolchain(self.platform.toolchain)

    @property
    def where(self) -> str:
        """The recipe's file, for errors."""
        return f"manifests/recipes/{self.recipe.name}.yaml"

    def plan(self) -> Plan:
        """How it is built."""
        return make_plan(self.recipe, self.platform_name, self.toolchain)


@dataclass(frozen=True)
class Bundle:
    """A verified bundle in the store."""

    entry: Entry
    plan: Plan
    pinned: Sha256 | None
    built: bool


def fetch_all(job: Job) -> None:
    """Bring everything that a build reads into the store: source, toolchain wheels, a page's packages; verified."""
    ensure_unpatched(job)
    for wheel in wheels_of_host(job.toolchain, host_name()):
        where = f"manifests/toolchains/{job.toolchain.name}.yaml: hosts.{host_name()}"
        fetch_wheel(wheel, where, job.store, job.console, job.settings)
    if job.recipe.page is not None:
        fetch_packages(page_job(job, ensure_patched(job)))


def find_source(store: Store, tree: Sha256) -> Entry | None:
    """Give a source tree that is in the store, every byte of it hashed again and compared with the pin itself.

    Raises
    ------
    StoreError
        Where the entry is not that tree.
    """
    entry = verified_entry(store, source_key(tree))
    if entry is not None and entry.tree != tree:
        raise StoreError(
            where=str(entry.path),
            expected=f"tree {tree}, as pinned",
            found=f"tree {entry.tree}, set aside in {store.set_aside(entry.key, 'not the tree of its name')}",
            fix="run the same command again: the source is unpacked anew",
        )
    return entry


def ensure_unpatched(job: Job) -> Entry:
    """Give the source as upstream's commit has it, from the first origin that delivers that very tree."""
    source = job.recipe.source
    key = source_key(source.tree_sha256)
    if entry := find_source(job.store, source.tree_sha256):
        return entry
    with job.store.lock(key, job.console):
        if entry := find_source(job.store, source.tree_sha256):
            return entry
        inputs = {"commit": str(source.commit), "tree": str(source.tree)}
        with job.store.stage(key, "source", inputs) as staging:
            where = f"{job.where}: source.origins"
            fetched = fetch_source(
                job.recipe.name, source, where, job.store, job.console, job.settings, into=staging.path
            )
        for failure in fetched.failures:
            job.console.warn(f"origin passed over: {failure}")
        job.console.say(
            f"source of {job.recipe.name}: commit {source.commit.hex}, from {fetched.origin_label}"
        )
        return staging.entry


def page_job(job: Job, source: Entry) -> PageJob:
    """Give what the recipe's page is made with, node fetched where it is not there yet."""
    page = job.recipe.page
    assert page is not None  # noqa: S101 - asked for only where there is one
    toolchain = job.manifests.toolchain(page.toolchain)
    node = ensure_toolchain(toolchain, job.store, job.console, job.settings)
    return PageJob(
        recipe=job.recipe,
        page=page,
        toolchain=toolchain,
        source=source.path,
        node=node,
        store=job.store,
        console=job.console,
        settings=job.settings,
        surroundings=job.surroundings,
    )


def ensure_source(job: Job) -> Entry:
    """Give the source that is compiled: patched, and with the page in it where the recipe builds one."""
    patched = ensure_patched(job)
    if job.recipe.page is None:
        return patched
    page = ensure_page(page_job(job, patched))
    key = paged_source_key(job.recipe)
    if entry := verified_entry(job.store, key):
        return entry
    with job.store.lock(key, job.console):
        if entry := verified_entry(job.store, key):
            return entry
        inputs = {"source": patched.key, "page": page.key}
        with job.store.stage(key, "source", inputs) as staging:
            copy_writable(patched.path, staging.path)
            into = staging.path / job.recipe.page.into
            into.mkdir(parents=True)
            copy_writable(page.path, into)
        return staging.entry


def ensure_patched(job: Job) -> Entry:
    """Give the patched source: each patch checked by its hash, each resulting tree by both of its digests."""
    if not job.recipe.patches:
        return ensure_unpatched(job)
    wanted = job.recipe.patches[-1].tree_sha256
    key = source_key(wanted)
    if entry := find_source(job.store, wanted):
        return entry
    with job.store.lock(key, job.console):
        if entry := find_source(job.store, wanted):
            return entry
        unpatched = ensure_unpatched(job)
        inputs = {"source": unpatched.key, **{patch.file: str(patch.sha256) for patch in job.recipe.patches}}
        with (
            job.console.task(f"patch {job.recipe.name}", len(job.recipe.patches), "patches") as task,
            job.store.stage(key, "source", inputs) as staging,
        ):
            copy_writable(unpatched.path, staging.path)
            for index in range(len(job.recipe.patches)):
                apply_pinned(job, index, staging.path)
                task.advance(1)
        return staging.entry


def apply_pinned(job: Job, index: int, tree: Path) -> None:
    """Apply one patch of the series, exactly, and check what comes out.

    Raises
    ------
    VerifyError
        Where the patch is not the pinned one, or the tree that results is not.
    PatchError
        Where it does not apply exactly.
    """
    patch = job.recipe.patches[index]
    path = job.manifests.patches / patch.file
    found = hash_file(path)
    where = f"{job.where}: patches[{index}]"
    if found != patch.sha256:
        raise VerifyError(
            where=f"{where}.sha256",
            expected=f"patches/{patch.file} with {patch.sha256}",
            found=str(found),
            fix=(
                f"git checkout patches/{patch.file},"
                f" or pin the change: python3 noxfile.py -s lock -- --recipe {job.recipe.name}"
            ),
        )
    apply_patch(parse_patch(path.read_bytes(), f"patches/{patch.file}"), tree)
    results = ((patch.tree, hash_tree(tree, Sha1)), (patch.tree_sha256, hash_tree(tree, Sha256)))
    for expected, result in results:
        if result != expected:
            raise VerifyError(
                where=f"{where}.tree",
                expected=f"{expected} after patches/{patch.file}",
                found=str(result),
                fix=f"pin the tree that results: python3 noxfile.py -s lock -- --recipe {job.recipe.name}",
            )


def find_bundle(job: Job, plan: Plan) -> Bundle | None:
    """Give the bundle of a plan that is built already: every byte of it hashed again, and compared with the pin.

    Raises
    ------
    StoreError
        Where it was changed after it was built.
    OutputError
        Where it is whole, and not the pinned one.
    """
    entry = job.store.find(plan.bundle_key)
    if entry is None:
        return None
    job.store.verify(entry)
    pinned = job.platform.output if plan.whole else None
    if pinned is not None and entry.tree != pinned:
        raise mismatch(job, plan, entry.path, entry.tree)
    return Bundle(entry, plan, pinned, built=False)


def ensure_bundle(job: Job, plan: Plan) -> Bundle:
    """Give a plan's bundle, built where it is not there yet; verified either way.

    Raises
    ------
    OutputError
        Where it is not the pinned one, or cannot be: then before anything is built.
    """
    check_pin(job, plan)
    drop_if_tools_changed(job, plan)
    if found := find_bundle(job, plan):
        return found
    with job.store.lock(plan.bundle_key, job.console):
        if found := find_bundle(job, plan):  # built by another process, while this one waited
            return found
        say_why(job, plan)
        tools = ask_host_tools(job.toolchain)  # before anything is fetched for a machine that cannot build
        toolchain = ensure_toolchain(job.toolchain, job.store, job.console, job.settings)
        source = ensure_source(job)
        runtime = ensure_runtime(plan, toolchain, job.store, job.console).path if plan.hermetic else None
        with job.store.scratch(plan.bundle_key) as work:
            workplace = Workplace(work, source.path, toolchain.path, runtime, log_path(job.store, plan))
            started = now()
            built = build(plan, workplace, job.surroundings, job.console)
            with job.store.stage(plan.bundle_key, "bundle", plan.named_inputs()) as staging:
                make_bundle(job, plan, workplace, built, staging.path)
        circumstances = Circumstances(started, now(), find_isolation(), job.surroundings, tools)
        with storage_errors(job.store.root):
            content = statement(plan, staging.entry.tree.hex, circumstances)
            write_statement(provenance_path(job.store, plan), content)
        if plan.whole:
            job.store.history.record_inputs(plan.name, plan.named_inputs())
        return Bundle(staging.entry, plan, job.platform.output if plan.whole else None, built=True)


def drop_if_tools_changed(job: Job, plan: Plan) -> None:
    """Remove a bundle that the machine's own tools made when they were others: its plan does not name them.

    Raises
    ------
    ToolchainError
        Where such a tool is missing now.
    """
    if plan.hermetic or job.store.find(plan.bundle_key) is None:
        return
    before, now_said = recorded_tools(provenance_path(job.store, plan)), ask_host_tools(job.toolchain)
    if before != now_said:
        changed = sorted(
            name for name in before.keys() | now_said.keys() if before.get(name) != now_said.get(name)
        )
        job.console.say(f"building {plan.name} again: the machine's own tools changed: {', '.join(changed)}")
        job.store.discard(plan.bundle_key)


def make_bundle(job: Job, plan: Plan, workplace: Workplace, built: Path, into: Path) -> None:
    """Lay out what was built, check it, and compare it with the pinned digest.

    Raises
    ------
    AuditError
        Where a built file departs from the plan.
    OutputError
        Where the bundle is not the pinned one; it is kept for comparison, outside the entries.
    """
    where = f"{plan.name}: bundle"
    lay_out(built, workplace.source, plan.contents, into, partial=not plan.whole)
    if plan.inputs.sdk:  # linked by zig
        keep_hidden_symbols(into)
    write_record(into, plan.record())
    check_structure(plan, into, workplace.source, workplace.toolchain, where)
    check_no_leak(into, job.store.root, workplace.work, where)
    check_version(plan, into, where)
    digest = hash_tree(into, Sha256)
    if plan.whole and job.platform.output not in (None, digest):
        kept = job.store.reject(into, f"{plan.name}: not the pinned bundle")
        raise mismatch(job, plan, kept, digest)


def mismatch(job: Job, plan: Plan, path: Path, found: Sha256) -> OutputError:
    """Give the error for a bundle that is not the pinned one, naming the files that differ."""
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
    """Demand that the pinned output can come out of the plan.

    Raises
    ------
    OutputError
        Where it was pinned of another plan.
    """
    if not plan.whole or job.platform.output is None:
        return
    if is_pin_of(plan, job.manifests.output_listing(job.recipe.name, job.platform_name)):
        return
    raise OutputError(
        where=f"{job.where}: platforms.{job.platform_name}.output",
        expected="a digest of what these pins give",
        found=f"{job.platform.output}, pinned before the recipe or its toolchain was changed: its build.json differs",
        fix=(
            "take the change back; or, if it is meant,\n"
            f"python3 noxfile.py -s lock -- --recipe {plan.recipe} --write\n{pin_commands(plan)}"
        ),
    )


def pin_commands(plan: Plan) -> str:
    """Give the commands that build a bundle and pin it, a line each."""
    chosen = f"-- --recipe {plan.recipe} --platform {plan.platform}"
    return f"python3 noxfile.py -s build {chosen}\npython3 noxfile.py -s lock {chosen} --output --write"


def check_no_leak(bundle: Path, store: Path, work: Path, where: str) -> None:
    """Demand that no file of a bundle holds a path or the user of the machine that built it.

    Raises
    ------
    AuditError
        Naming the files.
    """
    needles = {str(store), str(work), f"{Path.home()}/"}
    # a shorter name, such as root, is a word that programs use for other things
    if len(getpass.getuser()) >= TELLING_NAME:
        needles.add(getpass.getuser())
    found = elf.find_strings(bundle, sorted(needle.encode() for needle in needles))
    if found:
        raise AuditError(
            where=where,
            expected="no path and no user name of this machine in any file",
            found="\n".join(f"{name} holds {needle.decode()}" for name, needle in found),
            fix="map the path away with -ffile-prefix-map in the platform's flags, or strip the file",
        )


def check_version(plan: Plan, bundle: Path, where: str) -> None:
    """Demand that the built program says who it is, where this machine can run it.

    Raises
    ------
    AuditError
        Where it prints another build number or commit, or does not run.
    """
    # Apple calls its processors arm64, everyone else aarch64
    runs_here = host_name().replace("arm64", "aarch64") == f"{plan.system}-{plan.machine}"
    if not plan.probe or not plan.whole or not runs_here:
        return
    program, *arguments = plan.probe
    done = run_isolated(Command((str(bundle / "bin" / program), *arguments), bundle), Surroundings(jobs=1))
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


def log_path(store: Store, plan: Plan) -> Path:
    """Give where every line that a plan's last build here printed is kept."""
    return store.root / "logs" / f"{plan.bundle_key}.log"


def provenance_path(store: Store, plan: Plan) -> Path:
    """Give where the provenance of a plan's last build here is kept."""
    return store.root / "provenance" / f"{plan.bundle_key}.json"


def source_key(tree: Sha256) -> str:
    """Name the store entry of a source tree."""
    return f"source-{tree.hex[:32]}"


def paged_source_key(recipe: Recipe) -> str:
    """Name the store entry of a recipe's patched source with its page in it."""
    assert recipe.page is not None  # noqa: S101 - asked for only where there is one
    return f"source-{final_tree(recipe).hex[:16]}-page-{recipe.page.tree_sha256.hex[:16]}"
