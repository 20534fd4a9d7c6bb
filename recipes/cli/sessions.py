"""One function per session: runs the stages it is about and prints what a person wants to know."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from recipes.build.advisories import warn_known_issues
from recipes.build.bundle.layout import describe
from recipes.build.pipeline import Bundle, ensure_bundle, provenance_path
from recipes.build.plan.plan import Plan, narrow
from recipes.build.source_tree import ensure_patched, fetch_all
from recipes.build.verify import PinCheck, verify_all
from recipes.core.errors import UsageError
from recipes.core.filesystem import storage_errors
from recipes.fetch.archives.pack import pack

if TYPE_CHECKING:
    import argparse

    from recipes.build.context import Job
    from recipes.core.errors import RecipeError


def fetch(job: Job, options: argparse.Namespace) -> int:  # noqa: ARG001 - each command has this shape
    """Bring the pinned source and toolchain into the store."""
    fetch_all(job)
    print(
        f"everything that {job.recipe.name} for {job.platform_name} is built from is in {job.store.root}, verified"
    )
    return 0


def patch(job: Job, options: argparse.Namespace) -> int:  # noqa: ARG001 - each command has this shape
    """Give the patched source."""
    entry = ensure_patched(job)
    print(f"source of {job.recipe.name} with {len(job.recipe.patches)} patches: {entry.path}")
    for item in job.recipe.patches:
        print(f"  patches/{item.file}: {item.reason}")
    print(f"  {job.recipe.patches[-1].tree if job.recipe.patches else job.recipe.source.tree} (git tree)")
    return 0


def verify(job: Job, options: argparse.Namespace) -> int:  # noqa: ARG001 - each command has this shape
    """Hash again all that is pinned and present."""
    rows: list[PinCheck] = []
    first: RecipeError | None = None
    for row in verify_all(job):
        rows.append(row)
        first = first or row.error
    width = max(len(row.what) for row in rows)
    for row in rows:
        print(f"{row.state:<8} {row.what:<{width}}  {row.digest}")
    if first is not None:
        print(first, file=sys.stderr)
        return first.exit_code
    return 0


def build(job: Job, options: argparse.Namespace) -> int:
    """Give the bundle, built where it is not there yet, and say what it is; or those of all platforms."""
    jobs = [job]
    if options.all_platforms:
        _refuse_beside_all(options)
        jobs = [replace(job, platform_name=name) for name in pinned_platforms(job)]
    warn_known_issues(job, refuse=options.refuse_known_issues or "refuse-known-issues" in job.settings.policy)
    for each in jobs:
        bundle = ensure_bundle(each, chosen_plan(each, options.target))
        print_bundle(each, bundle)
        if options.archive:
            print(f"archive:  {write_archive(each, bundle, options.archive)}")
        sys.stdout.flush()  # the next one may take minutes
    return 0


def pinned_platforms(job: Job) -> list[str]:
    """Give each platform of the recipe whose compiler is pinned, in the manifest's order."""
    platforms = job.recipe.platforms.items()
    pinned = [name for name, each in platforms if job.manifests.toolchain(each.toolchain).kind != "host"]
    for name in (name for name, _ in platforms if name not in pinned):
        job.console.say(
            f"{name} is left out: its compiler is a machine's own; --platform {name} builds it there"
        )
    return pinned


def write_archive(job: Job, bundle: Bundle, folder: Path) -> Path:
    """Write a bundle as a deterministic archive, and give its path.

    Raises
    ------
    StoreError
        Where the folder cannot be written to.
    """
    archive = folder / f"llama.cpp-{job.recipe.name}-{job.platform_name}.tar.zst"
    with storage_errors(folder):
        folder.mkdir(parents=True, exist_ok=True)
        prefix = archive.name.removesuffix(".tar.zst")
        pack(bundle.entry.path, archive, mtime=job.recipe.source.epoch, prefix=prefix)
    return archive


def _refuse_beside_all(options: argparse.Namespace) -> None:
    given = [name for name in ("platform", "architecture", "toolchain", "target") if getattr(options, name)]
    if given:
        raise UsageError(
            where="build --all-platforms",
            expected="no choice of a platform, or of a part of one, beside it",
            found=f"--{given[0]}",
            fix=f"leave out one of the two: --all-platforms or --{given[0]}",
        )


def chosen_plan(job: Job, targets: list[str] | None) -> Plan:
    """Give the job's plan, or its part for some targets."""
    return narrow(job.plan(), tuple(targets)) if targets else job.plan()


def print_bundle(job: Job, bundle: Bundle) -> None:
    """Print where a bundle is, what proves it, and what is in it."""
    entry, plan = bundle.entry, bundle.plan
    if bundle.pinned:
        state = "the pinned one"
    elif not plan.whole:
        state = "not pinned: only some targets"
    else:
        state = f"not pinned: {job.platform.output_unpinned}"
    rows = describe(entry.path)
    print(f"bundle:   {entry.path}")
    how = "built now" if bundle.built else "built before, hashed again"
    print(f"          {plan.name}, version {plan.version}, {how}")
    print(f"digest:   {entry.tree} ({state})")
    print(f"plan:     {plan.digest}")
    print(f"record:   {provenance_path(job.store, plan)}")
    width = max(len(row.name) for row in rows)
    for row in rows:
        print(f"  {row.name:<{width}}  {row.size_bytes / 1e6:7.2f} MB  {row.what}")


def gc(job: Job, options: argparse.Namespace) -> int:
    """Remove what no manifest reaches."""
    from recipes.build.gc_roots import collect
    from recipes.store.fsck import report, set_damaged_aside

    if options.damaged:
        print("\n".join(report(set_damaged_aside(job.store, job.console))))
        return 0
    return collect(job, dry_run=options.dry_run, rejected=options.rejected)


def reproduce(job: Job, options: argparse.Namespace) -> int:
    """Build again in other surroundings and compare."""
    from recipes.build.reproduce import reproduce as compare_builds

    return compare_builds(job, chosen_plan(job, options.target), tuple(options.target or ()))


def conformance(job: Job, options: argparse.Namespace) -> int:
    """Judge a bundle, or another llama.cpp."""
    from recipes.conformance.command import conform

    return conform(job, options)


def mac_check(job: Job, options: argparse.Namespace) -> int:
    """Try a bundle on a Mac."""
    from recipes.conformance.mac_check import run_mac_check

    return run_mac_check(job, options)


def serve(job: Job, options: argparse.Namespace) -> int:
    """Serve a model."""
    from recipes.cli.serve import run_serve

    return run_serve(job, options)


def ask(job: Job, options: argparse.Namespace) -> int:
    """Answer a question about pictures."""
    from recipes.cli.ask import run_ask

    return run_ask(job, options)


def lock(job: Job, options: argparse.Namespace) -> int:
    """Propose new pins."""
    if options.model:
        from recipes.lock.model import propose_model_pins

        return propose_model_pins(job, options)
    from recipes.lock.recipe import propose

    return propose(job, options)


def docs(job: Job, options: argparse.Namespace) -> int:  # noqa: ARG001 - each command has this shape
    """Generate the reference pages and schemas."""
    from recipes.cli.reference_docs import write_reference

    for path in write_reference(Path(job.manifests.project)):
        print(path)
    return 0
