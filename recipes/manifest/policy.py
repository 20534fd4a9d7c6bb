"""The shape of a policy, what must hold between its parts, and its reader: what a user demands of a bundle's evidence.

Every demand is written out, that of nothing too, so that one which was forgotten or misspelled is never one fewer.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Annotated

from msgspec import Meta, Struct

from recipes.core.digest import Sha1, Sha256
from recipes.manifest.decode import Problem, parse, refuse_first
from recipes.manifest.schema import Name, Text
from recipes.manifest.strict_yaml import read_file

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

STATEMENTS = ("provenance", "sbom", "vex", "conformance")
PublicKeyDigits = Annotated[
    str,
    Meta(
        pattern="^[0-9a-f]{64}$",
        description="an ed25519 public key, 64 digits 0-9 and a-f, as `attest` prints it",
    ),
]
Count = Annotated[int, Meta(ge=0, le=64)]
Demand = Annotated[str, Meta(pattern="^(required|any)$")]


class _Part(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """As of manifests: immutable, by keyword, unknown keys refused."""


class Signer(_Part, frozen=True, kw_only=True):
    """Somebody whose word counts, by the key that they sign with."""

    name: Annotated[Name, Meta(description="who it is, for people")]
    key: PublicKeyDigits


class Rebuilders(_Part, frozen=True, kw_only=True):
    """Who builds again what others built, and how many of them must have got the same digest."""

    at_least: Annotated[int, Meta(ge=1, le=64, description="how many of them, each counted once")]
    of: Annotated[tuple[Signer, ...], Meta(min_length=1, description="none of them a signer too")]


class Policy(_Part, frozen=True, kw_only=True):
    """What a user demands of a bundle and of what is said of it."""

    schema: Annotated[str, Meta(pattern="^policy/1$", description="the format of this file")]
    summary: Annotated[Text, Meta(description="what it is for, in a line")]
    pin: Annotated[
        Demand, Meta(description="required: the digest is the one that this checkout's recipe pins")
    ]
    statements: Annotated[
        tuple[Annotated[str, Meta(pattern=f"^({'|'.join(STATEMENTS)})$")], ...],
        Meta(min_length=1, description="what must be said of the bundle"),
    ]
    signers: Annotated[tuple[Signer, ...], Meta(description="whose signatures count; `--key` adds to them")]
    signatures: Annotated[
        Count,
        Meta(description="how many different signers must have signed each statement; 0: none needs to be"),
    ]
    rebuilders: Annotated[
        Rebuilders | None, Meta(description="who must have built the same; nobody where it is absent")
    ] = None
    commits: Annotated[
        tuple[Sha1, ...] | None, Meta(description="the only upstream commits; any where it is absent")
    ] = None
    patches: Annotated[
        tuple[Sha256, ...] | None,
        Meta(description="the only patches, by their sha256; any where it is absent"),
    ] = None
    isolation: Annotated[
        Demand, Meta(description="required: build steps saw no network and no other process")
    ]
    compiler: Annotated[
        str, Meta(pattern="^(pinned|any)$", description="pinned: by a digest, and not a machine's own")
    ]
    conformance: Annotated[
        str,
        Meta(
            pattern="^(whole|passed|any)$",
            description="whole: passed, and each part of the suite was run; passed: what was run",
        ),
    ]
    findings: Annotated[
        str,
        Meta(
            pattern="^(none|permitted|any)$",
            description=(
                "none: nothing of high severity affects it within reach;"
                " permitted: nothing but what `permits` names and provenance records"
            ),
        ),
    ]
    permits: Annotated[
        tuple[Name, ...], Meta(description="identifiers of findings that this policy lives with")
    ] = ()
    max_age_days: Annotated[
        Annotated[int, Meta(ge=1, le=36500)] | None, Meta(description="how long ago it may have been built")
    ] = None


def load_policy(path: Path, where: str) -> Policy:
    """Read a policy and check it; raises ManifestError where it is empty, misspelled, or cannot hold."""
    document = read_file(path, where)
    policy = parse(document, Policy, "write out what is demanded: docs/reference/manifest-policy.md")
    refuse_first(document, policy_problems(policy))
    return policy


def policy_problems(policy: Policy) -> Iterator[Problem]:
    """Find demands that contradict each other, or that nobody could meet."""
    rebuilders = policy.rebuilders
    everybody = (*policy.signers, *(rebuilders.of if rebuilders else ()))
    for what in ("key", "name"):
        counts = Counter(getattr(one, what) for one in everybody)
        for value, count in counts.items():
            if count > 1:
                found = f"{value} {count} times"
                path = ("rebuilders", "of") if rebuilders else ("signers",)
                yield Problem(path, f"each {what} once: who has two is one", found, "remove all but one")
    if policy.signatures > len(policy.signers):
        expected = f"at most {len(policy.signers)}, as many as there are signers"
        yield Problem(("signatures",), expected, str(policy.signatures), "name more signers, or demand fewer")
    if rebuilders and rebuilders.at_least > len(rebuilders.of):
        expected = f"at most {len(rebuilders.of)}, as many as are named"
        yield Problem(
            ("rebuilders", "at_least"), expected, str(rebuilders.at_least), "name more, or demand fewer"
        )
    needs = {
        "isolation": (policy.isolation != "any", "provenance"),
        "compiler": (policy.compiler != "any", "provenance"),
        "max_age_days": (policy.max_age_days is not None, "provenance"),
        "commits": (policy.commits is not None, "provenance"),
        "patches": (policy.patches is not None, "provenance"),
        "conformance": (policy.conformance != "any", "conformance"),
        "findings": (policy.findings != "any", "vex"),
    }
    for name, (is_demanded, statement) in needs.items():
        if is_demanded and statement not in policy.statements:
            fix = f"add {statement}, or take the demand away"
            yield Problem(
                (name,), f"`{statement}` under `statements`, which says it", "a demand without it", fix
            )
    if policy.permits and policy.findings != "permitted":
        fix = "write `findings: permitted`, or remove `permits`"
        yield Problem(("permits",), "`findings: permitted`", f"`findings: {policy.findings}`", fix)
