"""The session `publish`: bundles, and what is said of them, into a registry."""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from recipes.build.bundle.layout import RECORD, encode_record
from recipes.build.evidence_files import PROVENANCE, signed_name
from recipes.build.pipeline import find_bundle, mismatch
from recipes.build.publications import bundle_publication, runtime_publications, stage_publications
from recipes.cli.evidence_input import evidence_beside, opened_bundle, read_documents, subject_of
from recipes.cli.job import bundle_missing, open_job, pinned_platforms
from recipes.cli.options import Parser, Session, add_platform, add_sign_key, refuse_beside, repository
from recipes.core.errors import EvidenceError, OutputError, UsageError
from recipes.core.filesystem import shown
from recipes.evidence.documents import judge_documents
from recipes.registry.publish import Publication, publish

if TYPE_CHECKING:
    import argparse

    from recipes.build.context import Job
    from recipes.build.plan.plan import Plan
    from recipes.evidence.material import Subject


def add_options(parser: Parser) -> None:
    """Add the session's options."""
    parser.add_argument(
        "bundle",
        type=Path,
        nargs="?",
        metavar="BUNDLE",
        help="a folder or an archive of a bundle (default: the store's, of the recipe for the platform)",
    )
    add_platform(parser, architecture=False)
    parser.add_argument(
        "--all-platforms", action="store_true", help="every bundle of the recipe that the store has"
    )
    parser.add_argument(
        "--to",
        type=repository,
        required=True,
        metavar="REGISTRY/REPO",
        help="a repository of an OCI registry; https, unless http:// stands before it",
    )
    parser.add_argument(
        "--stages", action="store_true", help="also the patched source and the web page of the recipe"
    )
    add_sign_key(parser, "with --stages: ")
    parser.add_argument(
        "--mount-from",
        action="append",
        default=[],
        metavar="REPO",
        help="another repository of that registry: what it has is not sent again (repeat for more)",
    )


def run(options: argparse.Namespace) -> int:
    """Publish, and print what is there now."""
    if options.all_platforms:
        refuse_beside(
            options, "publish", "--all-platforms", ("bundle", "platform"), "the first takes each platform"
        )
    if options.bundle:
        refuse_beside(options, "publish", "BUNDLE", ("recipe", "platform"), "a bundle says of what it is")
    others = tuple(repository(f"{options.to.host}/{each}").path for each in options.mount_from)
    with ExitStack() as stack:
        publications = _publications(options, stack)
        job = publications[0][0]
        every = [each for _, each in publications]
        if options.stages:
            every += stage_publications(job)
            every += runtime_publications([each for each, _ in publications])
        for each in publish(job, options.to, every, others):
            facts = each.publication.facts
            name = f"{facts.recipe}@{facts.platform}" if facts.platform else f"{facts.kind} of {facts.recipe}"
            print(f"{name}: {each.reference}")
            print(f"  manifest: {each.manifest.digest} ({'sent now' if each.is_new else 'there before'})")
            state = "the pinned one" if each.publication.pinned else "not pinned: taken with a signature only"
            print(f"  tree:     sha256:{facts.tree} ({state})")
            for document in sorted(each.publication.documents):
                print(f"  with:     {document}")
    return 0


def _publications(options: argparse.Namespace, stack: ExitStack) -> list[tuple[Job, Publication]]:
    if options.bundle:
        return [_of_path(options, options.bundle, stack)]
    job = open_job(options)
    if not options.all_platforms:
        return [of_store(job)]
    found = []
    for each in (replace(job, platform_name=name) for name in pinned_platforms(job)):
        if find_bundle(each, each.plan()):
            found.append(of_store(each))
        else:
            job.console.warn(f"{each.plan().name} is left out: the store has no such bundle")
    return found or [of_store(job)]


def of_store(job: Job) -> tuple[Job, Publication]:
    """Return how the store's bundle of a job is published; raises BundleMissingError where it has none."""
    plan = job.plan()
    bundle = find_bundle(job, plan)
    if bundle is None:
        raise bundle_missing(job, "the bundle that is to be published")
    path = bundle.entry.path
    return job, _publication(job, plan, path, subject_of(path, path), evidence_beside(path))


def _of_path(options: argparse.Namespace, path: Path, stack: ExitStack) -> tuple[Job, Publication]:
    """Return what is published of a folder or an archive: the bundle of the recipe and platform that it names."""
    folder, subject = stack.enter_context(opened_bundle(path))
    options.recipe, options.platform = _named(path, subject)
    job = open_job(options)
    plan = job.plan()
    if subject.record != encode_record(plan.record()):
        raise OutputError(
            where=subject.where,
            expected=f"a bundle of plan {plan.digest}, which these pins of {plan.name} give",
            found="one of another plan: its build.json differs",
            fix="publish it from the version of this project that built it, or build it again",
        )
    if job.platform.output not in {None, subject.tree}:
        raise mismatch(job, plan, folder, subject.tree)
    return job, _publication(job, plan, folder, subject, evidence_beside(path))


def _publication(job: Job, plan: Plan, folder: Path, subject: Subject, evidence: Path) -> Publication:
    """Return how a bundle is published with the documents of a folder; an EvidenceError names one of another."""
    documents = read_documents(evidence)
    broken = [row for row in judge_documents(documents, subject) if not row.holds]
    if broken:
        raise EvidenceError(
            where=shown(str(evidence)),
            expected=f"documents about {subject.tree} alone, each whole",
            found="\n".join(
                f"{row.what}: expected {row.expected}; found {shown(row.found)}" for row in broken
            ),
            fix="remove what is not of this bundle, or build and sign it again: nothing was published",
        )
    if PROVENANCE not in documents and signed_name(PROVENANCE) not in documents:
        job.console.warn(f"{plan.name} is published without provenance: there is none in {evidence}")
    return bundle_publication(job, plan, folder, subject.tree, documents)


class _Record(msgspec.Struct):
    recipe: str
    platform: str


def _named(path: Path, subject: Subject) -> tuple[str, str]:
    try:
        record = msgspec.json.decode(subject.record or b"", type=_Record)
    except ValueError as error:
        raise UsageError(
            where=str(path),
            expected="a bundle: a folder with build.json in it, or its archive",
            found=f"no {RECORD} that `build` wrote",
            fix="name the bundle that `build` prints, or leave it out to publish the store's own",
        ) from error
    return record.recipe, record.platform


SESSION = Session(
    "publish",
    "Publish bundles and their evidence to an OCI registry, by digest.",
    add_options,
    run,
    example="--to registry.example.org/team/llama",
)
