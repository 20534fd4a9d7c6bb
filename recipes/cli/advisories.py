"""The session `advisories`: what is known against a recipe, and what feeds say that nobody here looked at."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from recipes.build.advisories import findings
from recipes.cli.job import open_job
from recipes.cli.options import Parser, Session, add_recipe, refuse_beside
from recipes.core.errors import UsageError
from recipes.core.invocation import this_command
from recipes.evidence.feeds.proposal import propose, severity_of
from recipes.evidence.feeds.survey import survey
from recipes.evidence.vex_files import write_vex
from recipes.lock.proposal import Change
from recipes.lock.write import write_proposal

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterable

    from recipes.build.advisories import Finding
    from recipes.evidence.feeds.matching import Match, News
    from recipes.manifest.load import Manifests

SHOWN_FAULTS = 5
SAID = {True: "affected", False: "not affected", None: "versions not told: look"}


def add_options(parser: Parser) -> None:
    """Add the session's options."""
    add_recipe(parser)
    parser.add_argument(
        "--vex",
        type=Path,
        metavar="FOLDER",
        help="write the table as CycloneDX VEX and as OpenVEX into this folder",
    )
    parser.add_argument(
        "--feed",
        action="append",
        metavar="FILE|URL",
        help="instead: read records of OSV or CVE JSON 5 (a .json file, a folder or zip of them, an address), and say"
        " what they know of any recipe that manifests/advisories does not have (repeat for more)",
    )
    parser.add_argument(
        "--write",
        action="store_true",
        help="with --feed: write a manifest for each new finding, to be completed",
    )


def run(options: argparse.Namespace) -> int:
    """Print the table of a recipe, or what is new in feeds."""
    if options.feed:
        refuse_beside(
            options, "advisories", "--feed", ("recipe", "vex"), "a feed is compared with every recipe"
        )
    elif options.write:
        raise UsageError(
            where="advisories: --write",
            expected="--feed with it, whose new findings are written",
            found="no --feed",
            fix="name a feed with --feed, or leave --write out",
        )
    job = open_job(options)
    if options.feed:
        news = survey(options.feed, job.manifests, job, this_command("advisories"))
        print_news(news)
        if options.write:
            changes = proposals(news, job.manifests)
            write_proposal(changes, job.manifests)
            for change in changes:
                print(f"written: {change.path}")
        return 0
    print_table(findings(job.recipe, job.manifests.advisories()))
    if options.vex:
        for path in write_vex(job.recipe, job.manifests, options.vex):
            print(f"written: {path}")
    return 0


def print_table(found: Iterable[Finding]) -> None:
    """Print how a recipe stands to each finding, what affects it first, with what shows it."""
    order = ("affected", "under_investigation", "fixed", "not_affected")
    rows = sorted(found, key=lambda one: (not one.is_grave, order.index(one.status), one.advisory.id))
    width = max((len(one.advisory.id) for one in rows), default=0)
    for one in rows:
        advisory, standing = one.advisory, one.standing
        state = (
            one.status if standing is None or standing.patch is None else f"fixed by patch {standing.patch}"
        )
        mark = "GRAVE" if one.is_grave else ""
        head = f"{mark:<6}{advisory.id:<{width}}  {state:<19}  {advisory.severity:<8}  {advisory.reach:<9}"
        print(f"{head}  {advisory.summary}")
        print(f"{'':<6}{'':<{width}}  {one.evidence}")
    affected, grave = sum(one.status == "affected" for one in rows), sum(one.is_grave for one in rows)
    print(f"{len(rows)} findings: {affected} affect it, {grave} of them grave and within reach")


def print_news(news: News) -> None:
    """Print what is new, what differs, what could not be read, and how much else there was."""
    for record, matches in news.new.values():
        names = ", ".join(record.names)
        print(f"new:     {names} ({severity_of(record) or 'no severity'}): {record.summary}")
        print(f"         {words(matches)}")
        print("".join(f"         {link}\n" for link in record.links[:2]), end="")
    for line in news.differs:
        print(f"differs: {line}")
    for fault in news.faults[:SHOWN_FAULTS]:
        print(f"unread:  {fault}")
    more = len(news.faults) - SHOWN_FAULTS
    print(f"unread:  and {more} more\n" if more > 0 else "", end="")
    print(
        f"{news.read} files read: {len(news.new)} findings are new, {news.known} known, {news.elsewhere} about other"
        f" versions; {len(news.differs)} differ, {len(news.faults)} could not be read"
    )


def words(matches: Iterable[Match]) -> str:
    """Return what a record says of each recipe."""
    return "; ".join(f"{match.recipe} ({match.component}): {SAID[match.covers]}" for match in matches)


def proposals(news: News, manifests: Manifests) -> tuple[Change, ...]:
    """Return a manifest for each new finding, named after its CVE where it has one."""
    day = datetime.now(UTC).date().isoformat()
    folder = manifests.show(manifests.root / "advisories")
    made = (propose(record, matches, day) for record, matches in news.new.values())
    return tuple(Change(f"{folder}/{name}.yaml", None, text) for name, text in made)


SESSION = Session(
    "advisories",
    "List what is known against a recipe, or what feeds of vulnerabilities say that is not known here.",
    add_options,
    run,
    example="--recipe b6751",
)
