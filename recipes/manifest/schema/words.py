"""The scalars of manifests."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta

Name = Annotated[
    str,
    Meta(
        pattern=r"^[A-Za-z0-9][A-Za-z0-9._+-]*$", description="letters, digits, dot, underscore, plus, dash"
    ),
]
Url = Annotated[str, Meta(pattern=r"^https?://[^\s]+$", description="a full http or https address")]
Text = Annotated[str, Meta(min_length=1)]
RelativePath = Annotated[
    str,
    Meta(
        pattern=r"^(?!/)(?!.*(^|/)\.\.(/|$))[^\x00-\x1f\\]+$",
        description="a POSIX path below the folder it is read in: no leading slash, no `..`",
    ),
]
CacheAddress = Annotated[
    str,
    Meta(
        pattern=r"^(https?://)?[^\s/@]+/[^\s@:]+$",
        description="a repository of a registry, as HOST[:PORT]/REPOSITORY; https, unless http:// stands before it",
    ),
]
Repository = Annotated[
    str,
    Meta(
        pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*/[A-Za-z0-9][A-Za-z0-9._-]*$",
        description="a repository of a hub, as OWNER/NAME",
    ),
]
Version = Annotated[
    str,
    Meta(
        pattern=r"^b?[0-9]+(\.[0-9]+)*$", description="a version of digits and dots, or b and a build number"
    ),
]
PackageUrl = Annotated[
    str,
    Meta(
        pattern=r"^pkg:[a-z]+/[A-Za-z0-9._-]+/[A-Za-z0-9._-]+(@[A-Za-z0-9._+-]+)?$",
        description="a package URL, as pkg:github/OWNER/NAME@VERSION",
    ),
]
GitDirectory = Annotated[
    RelativePath | None,
    Meta(description="where the archive has a git directory, whose objects prove the source's commit"),
]
Day = Annotated[str, Meta(pattern=r"^20[0-9]{2}-[01][0-9]-[0-3][0-9]$", description="a day, as 2026-11-30")]
PatchNumber = Annotated[int, Meta(ge=1)]
Justification = Annotated[
    str,
    Meta(
        pattern=(
            "^(component_not_present|vulnerable_code_not_present|vulnerable_code_not_in_execute_path"
            "|vulnerable_code_cannot_be_controlled_by_adversary|inline_mitigations_already_exist)$"
        ),
        description="why a recipe is not affected, in OpenVEX's words",
    ),
]
SizeBytes = Annotated[int, Meta(ge=1, le=1 << 40, description="its size, exactly")]
CmakeValue = Annotated[str, Meta(description="the exact value that CMake's cache must hold after configure")]
