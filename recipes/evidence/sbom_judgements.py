"""What is judged of a bill of materials: its format, and that it is of this bundle. Pure."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from recipes.evidence.json_document import list_at, text_at, value_at
from recipes.evidence.judgement import Judgement, judge

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from recipes.evidence.material import Subject

DIGEST = re.compile(r"\b[0-9a-f]{64}\b")
FORMAT, VERSIONS = "CycloneDX", ("1.6", "1.7")


def judge_sbom(said: Mapping[str, object], subject: Subject) -> Iterator[Judgement]:
    """Judge a CycloneDX document."""
    form, version = text_at(said, "bomFormat"), text_at(said, "specVersion")
    is_known = form == FORMAT and version in VERSIONS
    yield judge(
        "sbom: format", is_known, f"{FORMAT} {' or '.join(VERSIONS)}", f"{form} {version}".strip() or "none"
    )
    digests = digests_of_subject(said)
    found = ", ".join(digests)[:200] or "of no bundle"
    yield judge("sbom: bundle", subject.tree.hex in digests, f"of {subject.tree.hex}", found)


def digests_of_subject(said: Mapping[str, object]) -> list[str]:
    """Return the digests of what a document is the bill of: hashes and properties of its metadata's component."""
    component = value_at(said, "metadata", "component")
    hashes = [text_at(each, "content") for each in list_at(component, "hashes")]
    values = [text_at(each, "value") for each in list_at(component, "properties")]
    return [each for text in (*hashes, *values) for each in DIGEST.findall(text)]
