"""What is judged of the bundle itself: its files, its record, its archive, and this checkout's pin. Pure."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from recipes.build.bundle.layout import RECORD, encode_record
from recipes.build.plan.plan import canonical_json
from recipes.core.digest import Sha256
from recipes.core.filesystem import shown
from recipes.evidence.json_document import read_object, text_at, value_at
from recipes.evidence.judgement import Judgement, judge, missing

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from recipes.evidence.material import Material
    from recipes.manifest.policy import Policy

FILE_MODES = {"100644", "100755"}
SUM_LINE = re.compile(r"(?P<digest>[0-9a-f]{64}) [ *](?P<name>[^/\n]+)\n")
ARCHIVE_NAME = "llama.cpp-"


def read_record(data: bytes | None) -> Mapping[str, object] | None:
    """Return what build.json says; None where there is none that `build` could have written."""
    try:
        record = read_object(data or b"")
        return record if encode_record(record) == data else None
    except (ValueError, TypeError):
        return None


def plan_digest(plan: object) -> str:
    """Return the SHA-256 that names a plan, as of its canonical JSON; "" where it is none."""
    try:
        return Sha256.of_bytes(canonical_json(plan)).hex if isinstance(plan, dict) else ""
    except (TypeError, OverflowError, RecursionError):
        return ""


def name_of(record: Mapping[str, object] | None) -> str:
    """Return RECIPE@PLATFORM as the bundle says it; "" where it does not."""
    recipe, platform = text_at(record, "recipe"), text_at(record, "platform")
    return f"{recipe}@{platform}" if recipe and platform else ""


def judge_bundle(material: Material, policy: Policy) -> Iterator[Judgement]:
    """Judge the bytes: regular files alone, a record, and the digest that this checkout pins."""
    subject, record = material.subject, read_record(material.subject.record)
    strange = sorted(name for name, entry in subject.files.items() if entry.mode not in FILE_MODES)
    found = f"a link: {shown(strange[0])}" if strange else f"{len(subject.files)} files"
    yield judge("bundle: files", bool(subject.files) and not strange, "regular files alone", found)
    name = name_of(record)
    yield judge("bundle: record", bool(name), f"{RECORD}, as `build` writes it", name or "none")
    yield from _archive(material, record)
    expected = material.expected
    if isinstance(expected, str):
        yield missing("bundle: pin", "a recipe of this checkout", expected)
        return
    if policy.pin == "required":
        if expected.output is None:
            yield missing("bundle: pin", f"a digest for {expected.name}", f"not pinned: {expected.unpinned}")
        else:
            yield judge(
                "bundle: pin", subject.tree == expected.output, str(expected.output), str(subject.tree)
            )
        same = plan_digest(value_at(record, "plan")) == expected.plan_sha256
        found = "the same" if same else "another: `why` says what differs"
        yield judge("bundle: plan", same, "the plan that this checkout's manifests give", found)


def _archive(material: Material, record: Mapping[str, object] | None) -> Iterator[Judgement]:
    if material.subject.archive is None:
        return
    name, digest = material.subject.archive
    what = "archive: checksum"
    if material.checksum is None:
        yield missing(what, f"{shown(name)}.sha256")
    else:
        match = SUM_LINE.fullmatch(material.checksum[:4096].decode("utf-8", "replace"))
        found = f"sha256:{match['digest']}" if match else "no line of sha256sum"
        yield judge(what, found == str(digest), str(digest), found)
    wanted = f"{ARCHIVE_NAME}{text_at(record, 'recipe')}-{text_at(record, 'platform')}"
    if name.startswith(ARCHIVE_NAME):  # a name of the user's own says nothing
        rest = name.removeprefix(wanted)
        is_so = rest != name and rest[:1] in {".", "-"}
        yield judge("archive: name", is_so, f"{wanted}...", shown(name))
