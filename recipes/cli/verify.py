"""The session `verify`: hashes again everything that is pinned and present, or judges a bundle that somebody built."""

from __future__ import annotations

import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from recipes.build.advisories import findings, summary
from recipes.build.provenance import provenance_path, recorded_permissions
from recipes.cli.job import open_job, open_manifests
from recipes.cli.options import Parser, Session, add_platform, refuse_beside
from recipes.core.errors import EvidenceError
from recipes.core.filesystem import shown
from recipes.core.invocation import command_line

if TYPE_CHECKING:
    import argparse
    from collections.abc import Sequence

    from recipes.evidence.judgement import Judgement

OF_THE_STORE = ("recipe", "platform", "architecture", "all_origins")  # what says which pins are hashed again
OF_A_BUNDLE = ("policy", "key", "evidence")
DEFAULT_POLICY = Path("policies") / "default.yaml"


def add_options(parser: Parser) -> None:
    """Add the session's options."""
    parser.add_argument(
        "bundle",
        type=Path,
        nargs="?",
        metavar="FILE|FOLDER",
        help="an archive or an unpacked bundle: judge it by what lies beside it, offline (default: this store)",
    )
    add_platform(parser)
    parser.add_argument(
        "--all-origins",
        action="store_true",
        help="also download the source from each of its origins, and prove its tree, and its commit where one can",
    )
    parser.add_argument(
        "--policy",
        type=Path,
        metavar="FILE",
        help="what is demanded of a bundle (default: manifests/policies/default.yaml)",
    )
    parser.add_argument(
        "--key",
        type=Path,
        action="append",
        metavar="FILE",
        help="a public key that must have signed each statement (repeat: any of them)",
    )
    parser.add_argument(
        "--evidence",
        type=Path,
        metavar="FOLDER",
        help="where the documents of the bundle lie (default: beside it, in NAME.evidence)",
    )


def run(options: argparse.Namespace) -> int:
    """Print a row for each pin, or for each judgement; the exit code is that of the first failure."""
    if options.bundle is not None:
        refuse_beside(options, "verify", "FILE|FOLDER", OF_THE_STORE, "a bundle says itself what it is")
        return judge_bundle(options)
    refuse_beside(
        options, "verify", "no FILE|FOLDER", OF_A_BUNDLE, "the store is compared with its pins alone"
    )
    from recipes.build.verify import verify_all  # what fetches and builds, and judges no bundle

    job = open_job(options)
    rows = list(verify_all(job, all_origins=options.all_origins))
    width = max(len(row.what) for row in rows)
    for row in rows:
        print(f"{row.state:<8} {row.what:<{width}}  {row.digest}")
    permitted = recorded_permissions(provenance_path(job.store, job.plan()))
    for line in summary(findings(job.recipe, job.manifests.advisories()), permitted):
        print(f"known    {line}")
    first = next((row.error for row in rows if row.error is not None), None)
    if first is not None:
        print(first, file=sys.stderr)
        return first.exit_code
    return 0


def judge_bundle(options: argparse.Namespace) -> int:
    """Judge a bundle by the documents beside it, this checkout and a policy; an EvidenceError names what fails."""
    from recipes.cli.evidence_input import material_of, opened_bundle, read_keys
    from recipes.evidence.verification import verify
    from recipes.manifest.policy import load_policy

    manifests = open_manifests(options)
    policy_path = options.policy or manifests.root / DEFAULT_POLICY
    policy = load_policy(policy_path, manifests.show(policy_path))
    keys = read_keys(options.key or [])
    with opened_bundle(options.bundle) as (_, subject):
        material = material_of(subject, options.bundle, options.evidence, manifests)
    rows = verify(material, policy, keys, datetime.now(UTC))
    print_judgements(rows)
    if broken := [row for row in rows if not row.holds]:
        raise refusal(subject.where, manifests.show(policy_path), broken)
    print(f"verified: {subject.where} is {subject.tree}, and all of {manifests.show(policy_path)} holds")
    return 0


def print_judgements(rows: Sequence[Judgement]) -> None:
    """Print a line for each judgement."""
    width = max(len(row.what) for row in rows)
    for row in rows:
        print(f"{row.state.value:<8} {row.what:<{width}}  {shown(row.found)}")


def refusal(where: str, policy: str, broken: Sequence[Judgement]) -> EvidenceError:
    """Return the error that names everything that fails or is missing."""
    lines = (
        f"{row.what} {row.state.value}: expected {row.expected}; found {shown(row.found)}" for row in broken
    )
    return EvidenceError(
        where=where,
        expected=f"all that {policy} demands",
        found="\n".join(lines),
        fix=(
            "do not use it where something fails; where something is only missing, ask whoever published it,\n"
            f"or build it yourself: {command_line(['build'])}"
        ),
    )


SESSION = Session(
    "verify",
    "Hash again everything that is pinned and present; or judge a bundle by what is said of it, offline.",
    add_options,
    run,
    example="llama.cpp-b11312-linux-x86_64-cpu.tar.zst --key their.pub",
)
