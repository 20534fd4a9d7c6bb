"""What a record of a feed becomes as a finding of this project, for a person to complete. Pure."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING

from recipes.manifest.edit_values import dump_canonical
from recipes.manifest.schema import Advisory

if TYPE_CHECKING:
    from collections.abc import Iterable

    from recipes.evidence.feeds.matching import Match
    from recipes.evidence.feeds.records import Record

HEAD = "# yaml-language-server: $schema=../schema/advisory.schema.json\n"


def propose(record: Record, matches: Iterable[Match], day: str) -> tuple[str, str]:
    """Return the name and the text of the manifest for a record that some recipes match.

    Its reach is that of a request until somebody has looked, and each recipe that it covers is under investigation.
    """
    found = list(matches)
    name = next((each for each in record.names if each.startswith("CVE-")), record.id)
    advisory = Advisory(
        schema="advisory/1",
        id=name,
        aliases=tuple(each for each in record.names if each != name),
        component=found[0].component,
        summary=record.summary or "its record has no summary",
        severity=severity_of(record) or "high",
        cvss=record.vectors,
        reach="request",
        affects="not looked at yet",
        affected=found[0].ranges,
        weaknesses=record.weaknesses,
        links=record.links or (f"https://osv.dev/vulnerability/{name}",),
        says="as the feed has it, not looked at yet",
        checked=day,
    )
    return name, HEAD + dump_canonical(advisory)


def severity_of(record: Record) -> str | None:
    """Return the severity that a record states, or that its vectors stand for; None where it says neither."""
    if record.rating is not None:
        return record.rating
    from cvss import CVSS3, CVSS4, CVSSError

    order = ("none", "low", "medium", "high", "critical")
    found = []
    for vector in record.vectors:
        with suppress(CVSSError):
            word = CVSS4(vector).severity if vector.startswith("CVSS:4") else CVSS3(vector).severities()[0]
            found.append(word.lower())
    return max(found, key=order.index, default=None)
