"""What is known against a component, and how a recipe stands to it."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta, Struct

from recipes.manifest.schema.words import Day, Justification, Name, PatchNumber, Text, Url, Version


class AffectedRange(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A range of versions that a finding affects, in OSV's words: builds of llama.cpp, or versions of a library."""

    introduced: Annotated[
        Version | None, Meta(description="the first that is affected; none from the very first")
    ] = None
    fixed: Annotated[Version | None, Meta(description="the first that is not; none where none is known")] = (
        None
    )
    last_affected: Annotated[
        Version | None, Meta(description="the last that is said to be affected, where no fix is named")
    ] = None


class Advisory(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One finding against llama.cpp, against a library that it carries, or against what a recipe makes of them."""

    schema: Annotated[str, Meta(pattern="^advisory/1$", description="the format of this file")]
    id: Annotated[Name, Meta(description="the file's name without its ending: a CVE's, a GHSA's, or our own")]
    aliases: Annotated[tuple[Name, ...], Meta(description="the same finding's other identifiers")] = ()
    component: Annotated[
        Name, Meta(description="`llama.cpp`, or a library that recipes list under `vendored`")
    ]
    summary: Annotated[Text, Meta(description="what goes wrong, in a sentence")]
    severity: Annotated[
        str,
        Meta(
            pattern="^(none|low|medium|high|critical)$",
            description="as its publisher rates it, ours by CVSS; none: a fault, but no vulnerability",
        ),
    ]
    cvss: Annotated[tuple[Text, ...], Meta(description="its CVSS vectors, as published")] = ()
    reach: Annotated[
        str,
        Meta(
            pattern="^(request|file|option|unshipped)$",
            description=(
                "what is enough for it: a request to a server with its defaults, a model's file given to a program;"
                " or an option that is off by default and that `serve` never gives; or it is in no bundle"
            ),
        ),
    ]
    affects: Annotated[Text, Meta(description="the use that is affected")]
    affected: Annotated[
        tuple[AffectedRange, ...], Meta(description="the versions that are affected; without any: all")
    ] = ()
    weaknesses: Annotated[tuple[Name, ...], Meta(description="of the CWE list, as CWE-787")] = ()
    links: Annotated[tuple[Url, ...], Meta(min_length=1, description="where it is reported or fixed")]
    says: Annotated[Text, Meta(description="what these sources say")]
    checked: Annotated[Day, Meta(description="the day on which they were looked at")]
    hostile: Annotated[
        tuple[Text, ...],
        Meta(
            description="what of the session `hostile` it lets through: kinds, or single attacks as `kind: name`"
        ),
    ] = ()


class Standing(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How a recipe stands to one finding, in the words of VEX."""

    status: Annotated[
        str,
        Meta(
            pattern="^(affected|not_affected|fixed|under_investigation)$",
            description="fixed: by a patch of ours, or by upstream before this source",
        ),
    ]
    justification: Justification | None = None
    patch: Annotated[
        PatchNumber | None, Meta(description="which of the recipe's patches fixes it, counted from 1")
    ] = None
    evidence: Annotated[Text, Meta(description="the line, the patch or the trial that shows it")]
    action: Annotated[Text | None, Meta(description="what who is affected can do")] = None
