"""The session `reproduce`: builds a second time in a deliberately different environment, and compares.

With `--against`, with what somebody else built: a challenge, whose result can be signed.
"""

from __future__ import annotations

import re
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from recipes.build.advisories import warn_known_issues
from recipes.cli.build import chosen_plan
from recipes.cli.job import open_job
from recipes.cli.options import Parser, Session, add_compile, add_platform, refuse_beside
from recipes.core.digest import Sha256
from recipes.core.errors import OutputError, UndecidedError, UsageError
from recipes.core.filesystem import make_folders, shown, storage_errors, write_durably
from recipes.core.invocation import command_line

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterator

    from securesystemslib.signer import CryptoSigner

    from recipes.build.context import Job
    from recipes.build.plan.plan import Plan
    from recipes.build.reproduce import Rebuilt

DIGEST = re.compile(r"(?:sha256:)?(?P<digits>[0-9a-f]{64})")


@dataclass(frozen=True)
class Challenged:
    """What somebody else built: its digest; the folder it is in, None where only the digest is known."""

    where: str
    tree: Sha256
    folder: Path | None


def add_options(parser: Parser) -> None:
    """Add the session's options."""
    add_platform(parser, architecture=False)
    parser.add_argument(
        "--against",
        metavar="FILE|DIGEST",
        help="compare with this archive, bundle or digest, which somebody else built, and not with an own build",
    )
    parser.add_argument(
        "--key", type=Path, metavar="FILE", help="sign what was seen, as a rebuilder, with this private key"
    )
    parser.add_argument(
        "--evidence",
        type=Path,
        metavar="FOLDER",
        help="where that statement goes (default: beside the archive or bundle)",
    )
    add_compile(parser)


def run(options: argparse.Namespace) -> int:
    """Build again and compare."""
    from recipes.build.reproduce import reproduce

    if options.against is None:
        refuse_beside(
            options, "reproduce", "no --against", ("key", "evidence"), "there is nobody's build to sign for"
        )
        job = open_job(options)
        return reproduce(job, chosen_plan(job, options.target), tuple(options.target or ()))
    refuse_beside(options, "reproduce", "--against", ("target",), "it is of a whole bundle")
    return challenge(options)


def challenge(options: argparse.Namespace) -> int:
    """Build the same plan here and compare with what somebody else built.

    Prints `identical`; raises OutputError where it differs, and UndecidedError where nothing can be said.
    """
    from recipes.build.reproduce import difference, print_variations, rebuilt

    signer = _signer(options)
    with _challenged(options) as (challenged, job):
        warn_known_issues(job)
        plan = job.plan()
        with rebuilt(job, plan, ()) as ours:
            print_variations(ours.variations)
            if ours.tree == challenged.tree:
                _sign(options, signer, challenged, plan, ours, ())
                print(f"identical: {plan.name} is {ours.tree}, as {challenged.where} is")
                return 0
            error = (
                difference(job, plan, challenged.folder, ours.folder)
                if challenged.folder
                else _differs(job, plan, challenged, ours)
            )
            _sign(options, signer, challenged, plan, ours, tuple(error.found.splitlines()))
            print(f"differs: {plan.name} is {ours.tree} here, and {challenged.tree} in {challenged.where}")
            raise error


@contextmanager
def _challenged(options: argparse.Namespace) -> Iterator[tuple[Challenged, Job]]:
    """Yield what is challenged and what it is built from here; raises UndecidedError where that is not the same."""
    from recipes.cli.evidence_input import opened_bundle
    from recipes.evidence.bundle_judgements import plan_digest, read_record
    from recipes.evidence.json_document import text_at, value_at

    digest = DIGEST.fullmatch(options.against)
    if digest and not Path(options.against).exists():
        yield Challenged(options.against, Sha256(digest["digits"]), None), open_job(options)
        return
    path = Path(options.against)
    with opened_bundle(path) as (folder, subject):
        record = read_record(subject.record)
        for name in ("recipe", "platform"):
            stated, asked = text_at(record, name), getattr(options, name)
            if not stated or asked not in {None, stated}:
                raise UsageError(
                    where=shown(options.against),
                    expected=f"a bundle of --{name} {asked}" if asked else "a bundle with a build.json",
                    found=stated or "none",
                    fix=f"leave --{name} out: the bundle says it" if stated else "name a bundle of ours",
                )
            setattr(options, name, stated)
        job = open_job(options)
        if plan_digest(value_at(record, "plan")) != job.plan().digest.hex:
            raise UndecidedError(
                where=subject.where,
                expected=f"a bundle of the plan that this checkout has for {job.plan().name}",
                found="one of another plan: other bytes would say nothing about whoever built it",
                fix=command_line(["why", shown(options.against), job.plan().name]) + " says what differs",
            )
        yield Challenged(subject.where, subject.tree, folder), job


def _differs(job: Job, plan: Plan, challenged: Challenged, ours: Rebuilt) -> OutputError:
    """Return the error for a digest without files: what differs is known where it is the pinned one's."""
    from recipes.build.bundle.listing import describe_mismatch

    is_pinned = challenged.tree == job.platform.output
    listing = job.manifests.output_listing(job.recipe.name, job.platform_name) if is_pinned else None
    return OutputError(
        where=f"{plan.name}: built here",
        expected=str(challenged.tree),
        found=f"{ours.tree}\n{describe_mismatch(listing, ours.folder)}",
        fix="ask whoever has that digest for the bundle, and name it: then the files can be compared",
    )


def _signer(options: argparse.Namespace) -> CryptoSigner | None:
    if options.key is None:
        return None
    from recipes.cli.evidence_input import read_private_key
    from recipes.cli.private_keys import refuse_checkout

    refuse_checkout(options.key)
    if options.evidence is None and not Path(options.against).exists():
        raise UsageError(
            where="reproduce: --key",
            expected="--evidence FOLDER, where the statement goes: a digest lies nowhere",
            found="none",
            fix="add it",
        )
    return read_private_key(options.key)


def _sign(  # noqa: PLR0913, PLR0917 - all that a statement says
    options: argparse.Namespace,
    signer: CryptoSigner | None,
    challenged: Challenged,
    plan: Plan,
    ours: Rebuilt,
    differences: tuple[str, ...],
) -> None:
    from recipes.cli.evidence_input import evidence_beside
    from recipes.evidence.envelope import sign
    from recipes.evidence.material import REBUILD_PREFIX
    from recipes.evidence.provenance_judgements import byproduct
    from recipes.evidence.rebuild import Seen, rebuild_statement
    from recipes.evidence.statement import parse_statement

    if signer is None:
        return
    built = parse_statement(ours.provenance).predicate.get("runDetails")
    seen = Seen(
        plan.digest.hex,
        ours.tree,
        differences,
        byproduct(built, "isolation"),
        byproduct(built, "machine"),
        datetime.now(UTC),
    )
    folder = options.evidence or evidence_beside(Path(options.against))
    path = folder / f"{REBUILD_PREFIX}{signer.public_key.keyid[:16]}.dsse.json"
    with storage_errors(path):
        make_folders(folder)
        write_durably(path, sign(rebuild_statement(plan.name, challenged.tree, seen), signer))
    print(f"signed:   {path}")


SESSION = Session(
    "reproduce",
    "Rebuild in a deliberately different environment, and compare byte by byte.",
    add_options,
    run,
    example="--against llama.cpp-b11312-linux-x86_64-cpu.tar.zst --key ~/rebuilder.key",
)
