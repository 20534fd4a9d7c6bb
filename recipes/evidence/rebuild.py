"""What a rebuilder says: that from the same plan the same bytes came out, or others. Pure.

No predicate of in-toto's says this; ours has the type urn:pinned-llama:rebuild:1 and these members:

verdict     `identical` or `differs`
planSha256  the digest of the plan that was built
found       {"gitTree": ...}: the bundle that came out
differences the files that differ, a line each
builder     isolation and machine, for people
finishedOn  when the build ended, in UTC
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from recipes.core.filesystem import shown
from recipes.evidence.documents import check_about, check_type, is_rebuild
from recipes.evidence.envelope import EnvelopeError, open_envelope
from recipes.evidence.json_document import text_at, value_at
from recipes.evidence.judgement import Judgement, fails, holds, judge, missing
from recipes.evidence.keys import distinct
from recipes.evidence.statement import GIT_TREE, REBUILD, parse_statement, statement, subjects_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from datetime import datetime

    from securesystemslib.signer import SSlibKey

    from recipes.core.digest import Sha256
    from recipes.evidence.material import Subject

IDENTICAL, DIFFERS = "identical", "differs"
SHOWN_DIFFERENCES = 200


@dataclass(frozen=True)
class Seen:
    """What one rebuild gave."""

    plan_sha256: str
    found: Sha256
    differences: tuple[str, ...]
    isolation: str
    machine: str
    finished: datetime


def rebuild_statement(name: str, against: Sha256, seen: Seen) -> bytes:
    """Return the statement of a rebuilder about the bundle `against`, which somebody else built."""
    return statement(
        subjects_of(name, against),
        REBUILD,
        {
            "verdict": IDENTICAL if seen.found == against else DIFFERS,
            "planSha256": seen.plan_sha256,
            "found": {GIT_TREE: seen.found.hex},
            "differences": list(seen.differences[:SHOWN_DIFFERENCES]),
            "builder": {"isolation": seen.isolation, "machine": seen.machine},
            "finishedOn": seen.finished.strftime("%Y-%m-%dT%H:%M:%SZ"),
        },
    )


def judge_rebuilds(
    files: Mapping[str, bytes],
    subject: Subject,
    plan_sha256: str,
    rebuilders: Sequence[SSlibKey],
    at_least: int,
) -> Iterator[Judgement]:
    """Judge each rebuilder's statement, and count the different rebuilders who got this bundle.

    A key counts once, however many names, files or signatures it has. One that got other bytes fails the bundle.
    """
    agreed: set[str] = set()
    for name in filter(is_rebuild, sorted(files)):
        what = f"rebuild {shown(name)}"
        try:
            opened = open_envelope(files[name], distinct(rebuilders))
            said = parse_statement(opened.payload)
            check_type(said, REBUILD)
            check_about(said, subject)
        except (EnvelopeError, ValueError) as error:
            yield fails(what, f"a rebuilder's statement about {subject.tree}", str(error))
            continue
        verdict = text_at(said.predicate, "verdict")
        found = text_at(value_at(said.predicate, "found"), GIT_TREE)
        stated_plan = text_at(said.predicate, "planSha256")
        if not opened.signed_by:
            yield holds(
                what,
                "by a rebuilder of the policy, to count",
                "by nobody who is asked for: not counted",
            )
            continue
        is_same = (verdict, found) == (IDENTICAL, subject.tree.hex) and stated_plan == plan_sha256
        by = ", ".join(sorted(each[:16] for each in opened.signed_by))
        yield judge(what, is_same, f"{IDENTICAL}, of the bundle's plan", f"{verdict or 'nothing'}, says {by}")
        agreed |= opened.signed_by if is_same else set()
    if at_least:
        expected = f"{at_least} of {len(distinct(rebuilders))} rebuilders"
        found = f"{len(agreed)}: {', '.join(sorted(each[:16] for each in agreed)) or 'none'}"
        what = "policy: rebuilders"
        is_enough = len(agreed) >= at_least
        yield judge(what, is_enough, expected, found) if agreed else missing(what, expected, found)
