"""The session `build`: from pins to a verified bundle."""

from __future__ import annotations

import argparse
import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from recipes.build.advisories import demand_no_known_issues
from recipes.build.archive import write_archive
from recipes.build.bundle.layout import describe
from recipes.build.evidence_files import SBOM, evidence_folder
from recipes.build.pipeline import Bundle, ensure_bundle
from recipes.build.plan.plan import narrow
from recipes.build.provenance import provenance_path
from recipes.cli.evidence_input import subject_of
from recipes.cli.job import open_jobs, pinned_platforms
from recipes.cli.options import (
    Parser,
    Session,
    add_compile,
    add_permit,
    add_platform,
    add_sign_key,
    refuse_beside,
    repository,
    seconds,
)
from recipes.core.errors import UsageError
from recipes.core.filesystem import make_folders, read_no_link, storage_errors, write_durably
from recipes.core.settings import REQUIRE_ISOLATION
from recipes.evidence.bundle_judgements import read_record
from recipes.evidence.json_document import read_object
from recipes.evidence.materials import find_materials
from recipes.evidence.sbom import sbom
from recipes.evidence.sbom_judgements import judge_sbom
from recipes.evidence.vex_files import write_vex
from recipes.registry.claims import LEASE_S, MOST_LEASE_S, SHORTEST_LEASE_S

if TYPE_CHECKING:
    from recipes.build.context import Job
    from recipes.build.plan.plan import Plan

PARTS = ("platform", "architecture", "toolchain", "target")
ALONE = ("no_cache", "architecture", "toolchain", "target", "archive", "preload")


def add_options(parser: Parser) -> None:
    """Add the session's options."""
    add_platform(parser, recipes=True)
    parser.add_argument(
        "--all-platforms",
        action="store_true",
        help="for every platform of the recipe whose compiler is pinned, one after the other",
    )
    parser.add_argument(
        "--share",
        type=repository,
        metavar="REGISTRY/REPO",
        help="build together with all who name the same repository of a registry, and publish there",
    )
    parser.add_argument(
        "--lease",
        type=lease,
        metavar="SECONDS",
        help=f"with --share: after how long a silence others take over what this one builds (default: {LEASE_S:g})",
    )
    add_sign_key(parser, "with --share: ")
    parser.add_argument(
        "--archive", type=Path, metavar="FOLDER", help="also write the bundle as a deterministic .tar.zst"
    )
    parser.add_argument(
        "--refuse-known-issues", action="store_true", help="refuse a recipe that any finding affects"
    )
    add_permit(parser)
    parser.add_argument(
        "--require-isolation",
        action="store_true",
        help="refuse to build where build steps cannot be isolated from the user's files and the network",
    )
    parser.add_argument(
        "--toolchain",
        choices=("host",),
        help="use the machine's own compiler, as the platform's `host:` says (default: the pinned one)",
    )
    parser.add_argument(
        "--no-cache", action="store_true", help="build all that is not in the store, and ask no cache"
    )
    # how `reproduce` shifts the build's clock
    parser.add_argument("--preload", type=Path, help=argparse.SUPPRESS)
    add_compile(parser)


def run(options: argparse.Namespace) -> int:
    """Print a bundle, built where it is missing; or those of all platforms, and of several recipes."""
    if options.all_platforms:
        refuse_beside(options, "build", "--all-platforms", PARTS, "the first builds each platform whole")
    if options.share:
        refuse_beside(
            options, "build", "--share", ALONE, "what is shared is whole, and others build some of it"
        )
    elif alone := [f"--{name}" for name in ("lease", "sign_key") if getattr(options, name)]:
        option = alone[0].replace("_", "-")
        raise UsageError(
            where=f"build: {option}",
            expected="--share REGISTRY/REPO beside it: it is about what is built together",
            found=f"{option} alone",
            fix="leave it out, or name the repository with --share",
        )
    jobs = []
    for job in open_jobs(options, list(dict.fromkeys(options.recipes or [None]))):
        demanded = {REQUIRE_ISOLATION} if options.require_isolation else set()
        settings = replace(job.settings, policy=job.settings.policy | demanded)
        names = pinned_platforms(job) if options.all_platforms else [job.platform_name]
        permitted = demand_no_known_issues(job, permit=options.permit, refuse_all=options.refuse_known_issues)
        jobs += [replace(job, settings=settings, permitted=permitted, platform_name=name) for name in names]
    if options.share:
        from recipes.cli.shared_build import build_together  # publishes too

        return build_together(jobs, build_one, options.share, options.lease or LEASE_S)
    for job in jobs:
        bundle = build_one(job, chosen_plan(job, options.target))
        if options.archive:
            print(f"archive:  {write_archive(job, bundle.plan, bundle.entry, options.archive)}")
        sys.stdout.flush()  # the next one may take minutes
    return 0


def build_one(job: Job, plan: Plan) -> Bundle:
    """Return a plan's bundle, built where it is missing, with its documents beside it; and print it."""
    bundle = ensure_bundle(job, plan)
    write_sbom(job, bundle)
    write_vex(job.recipe, job.manifests, evidence_folder(job.store, bundle.plan.bundle_key))
    print_bundle(job, bundle)
    return bundle


def lease(text: str) -> float:
    """Read how long a lease is, or raise an ArgumentTypeError."""
    value = seconds(text)
    if SHORTEST_LEASE_S <= value <= MOST_LEASE_S:
        return value
    expected = f"{SHORTEST_LEASE_S:g} to {MOST_LEASE_S:g} seconds"
    raise argparse.ArgumentTypeError(f"{expected} are expected, not {text!r}")


def write_sbom(job: Job, bundle: Bundle) -> None:
    """Write a bundle's bill of materials beside it, where it is new, or has none that is whole."""
    path = evidence_folder(job.store, bundle.plan.bundle_key) / SBOM
    if path.exists() and not bundle.built and is_whole_sbom(path, bundle.entry.path):
        return
    materials = find_materials(job, bundle.plan, bundle.entry)
    if materials is None:
        job.console.warn(
            f"no bill of materials for {bundle.plan.name}: what was compiled is not in the store"
        )
        return
    with storage_errors(path):
        make_folders(path.parent)
        write_durably(path, sbom(materials))


def is_whole_sbom(path: Path, bundle: Path) -> bool:
    """Whether a bill of materials is one of a bundle, as `verify` judges it."""
    subject = subject_of(bundle, bundle)
    try:
        said = read_object(read_no_link(path))
    except (OSError, ValueError):
        return False
    return all(row.holds for row in judge_sbom(said, subject, read_record(subject.record)))


def chosen_plan(job: Job, targets: list[str] | None) -> Plan:
    """Return the job's plan, or its part for some targets."""
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
    if bundle.taken:
        how = f"taken from {bundle.taken.reference}"
    print(f"          {plan.name}, version {plan.version}, {how}")
    print(f"digest:   {entry.tree} ({state})")
    print(f"plan:     {plan.digest}")
    print(f"record:   {provenance_path(job.store, plan)}")
    width = max(len(row.name) for row in rows)
    for row in rows:
        print(f"  {row.name:<{width}}  {row.size_bytes / 1e6:7.2f} MB  {row.what}")


SESSION = Session(
    "build",
    "Fetch, verify, patch, build and bundle, and compare with the pinned digest.",
    add_options,
    run,
    example="--archive out",
)
