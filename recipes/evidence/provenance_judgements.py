"""What is judged of provenance: the plan that it names, who built it, how isolated, with what, and when. Pure."""

from __future__ import annotations

import base64
import binascii
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from recipes.build.plan.host_override import HOST
from recipes.evidence.bundle_judgements import plan_digest
from recipes.evidence.json_document import list_at, text_at, value_at
from recipes.evidence.judgement import Judgement, fails, judge, missing

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from recipes.evidence.material import Expectation
    from recipes.manifest.policy import Policy

DAY_S = 24 * 3600
CLOCK_SKEW_S = 600  # how far in the future a time may lie: two machines' clocks differ
ISOLATED = "isolated by "
# the end of a builder's id, recipes/build/provenance.py
PINNED_COMPILER, IS_ISOLATED = ":pinned-compiler:", ":isolated"
# what a plan reads by a digest, and provenance names among what was read
READ = ("commit", "source_tree", "source_tree_sha256", "patched_tree_sha256", "page_tree_sha256", "sdk")


def judge_provenance(
    said: Mapping[str, object],
    record: Mapping[str, object] | None,
    expected: Expectation | str,
    policy: Policy,
    now: datetime,
) -> Iterator[Judgement]:
    """Judge what provenance says against the bundle's own record, this checkout and the policy."""
    definition = value_at(said, "buildDefinition")
    plan = value_at(definition, "internalParameters", "plan")
    digest = text_at(definition, "internalParameters", "planSha256")
    is_same = record is not None and plan == record.get("plan") and plan_digest(plan) == digest
    found = f"plan {digest[:16]}" if is_same else "another plan: it is of another build"
    yield judge("provenance: plan", is_same, "the plan that the bundle records", found)
    for key in ("recipe", "platform"):
        stated, recorded = text_at(definition, "externalParameters", key), text_at(record, key)
        yield judge(f"provenance: {key}", bool(stated) and stated == recorded, recorded, stated or "none")
    read = digests_read(definition)
    unsaid = sorted(set(_digests_of(plan)) - read)
    found = f"not {unsaid[0][:16]}..., of {len(unsaid)}" if unsaid else f"all {len(read)}"
    yield judge("provenance: inputs", not unsaid, "each pin of the plan among what was read", found)
    yield from _pins(definition, plan, expected, policy)
    yield from _builder(value_at(said, "runDetails"), plan, policy)
    yield from _age(text_at(said, "runDetails", "metadata", "finishedOn"), policy, now)


def byproduct(run: object, name: str) -> str:
    """Return the text of a byproduct, whose content is bytes: base64; "" where there is none."""
    for each in list_at(run, "byproducts"):
        if text_at(each, "name") == name:
            try:
                return base64.b64decode(text_at(each, "content"), validate=True).decode()
            except (binascii.Error, ValueError):
                return ""
    return ""


def commit_of(definition: object) -> str:
    """Return the upstream commit that provenance names among what was read."""
    found = (text_at(each, "digest", "gitCommit") for each in list_at(definition, "resolvedDependencies"))
    return next(filter(None, found), "")


def digests_read(definition: object) -> set[str]:
    """Return each digest of what provenance says was read."""
    return {
        digest
        for each in list_at(definition, "resolvedDependencies")
        for digest in _texts(value_at(each, "digest"))
    }


def _digests_of(plan: object) -> list[str]:
    single = (text_at(plan, "inputs", key) for key in READ)
    return [*filter(None, single), *patches_of(plan)]


def _texts(digest: object) -> list[str]:
    values = digest.values() if isinstance(digest, dict) else ()
    return [each for each in values if isinstance(each, str)]


def patches_of(plan: object) -> list[str]:
    """Return the digest of each patch of a plan."""
    return [text_at(each, "sha256") for each in list_at(plan, "inputs", "patches")]


def _pins(
    definition: object, plan: object, expected: Expectation | str, policy: Policy
) -> Iterator[Judgement]:
    commit = commit_of(definition)
    if policy.pin == "required" and not isinstance(expected, str):
        yield judge("provenance: commit", commit == expected.commit, expected.commit, commit or "none")
    if policy.commits is not None:
        allowed = [each.hex for each in policy.commits]
        yield judge("policy: commits", commit in allowed, ", ".join(allowed) or "none", commit or "none")
    if policy.patches is not None:
        allowed = [each.hex for each in policy.patches]
        others = [each for each in patches_of(plan) if each not in allowed]
        found = f"another: {others[0]}" if others else f"{len(patches_of(plan))} of them"
        yield judge("policy: patches", not others, f"{len(allowed)} allowed patches alone", found)


def _builder(run: object, plan: object, policy: Policy) -> Iterator[Judgement]:
    builder, isolation = text_at(run, "builder", "id"), byproduct(run, "isolation")
    if policy.isolation == "required":
        what, wanted = "policy: isolation", "isolated build steps"
        if not isolation:
            yield missing(what, wanted)
        else:
            is_so = builder.endswith(IS_ISOLATED) and isolation.startswith(ISOLATED)
            yield judge(what, is_so, wanted, f"{isolation}, by {builder}")
    if policy.compiler == "pinned":
        tools, kind = value_at(run, "builder", "version"), text_at(plan, "inputs", "toolchain", "kind")
        is_so = PINNED_COMPILER in builder and not tools and kind != HOST
        yield judge("policy: compiler", is_so, "a pinned compiler", builder or "no builder")


def _age(finished: str, policy: Policy, now: datetime) -> Iterator[Judgement]:
    what = "provenance: time"
    try:
        when = datetime.fromisoformat(finished)
        age_s = (now - (when if when.tzinfo else when.replace(tzinfo=UTC))).total_seconds()
    except ValueError:
        yield fails(what, "when the build ended", finished[:60] or "nothing")
        return
    yield judge(what, age_s >= -CLOCK_SKEW_S, "a time that is past", finished)
    if policy.max_age_days is not None:
        expected = f"built at most {policy.max_age_days} days ago"
        yield judge(
            "policy: age", age_s <= policy.max_age_days * DAY_S, expected, f"{age_s / DAY_S:.0f} days ago"
        )
