"""What must hold within an advisory, and between a recipe and the advisories, beyond the type of each. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

from recipes.manifest.affected import (
    LLAMA_CPP,
    component_version,
    covers,
    package_urls,
    range_text,
    version_key,
)
from recipes.manifest.decode import Problem, unknown

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from recipes.manifest.schema import Advisory, AffectedRange, Recipe, Standing
    from recipes.manifest.strict_yaml import Steps

NOT_PRESENT = "component_not_present"


def advisory_problems(advisory: Advisory, stem: str) -> Iterator[Problem]:
    """Find what does not fit together in an advisory that lies in the file `stem`.yaml."""
    if advisory.id != stem:
        fix = f"write `id: {stem}`, or rename the file to {advisory.id}.yaml"
        yield Problem(("id",), f"`{stem}`, as the file is called", f"`{advisory.id}`", fix)
    for index, one in enumerate(advisory.affected):
        yield from _range(one, ("affected", index), is_build=advisory.component == LLAMA_CPP)


def standing_problems(recipe: Recipe, advisories: Mapping[str, Advisory]) -> Iterator[Problem]:
    """Find what a recipe says of findings that is not known, not whole, or not what their ranges say.

    An affected version is within the published range, and one that upstream has fixed is not. Where our own look at the
    source says otherwise, the status is `not_affected`, with a justification.
    """
    for name, standing in recipe.advisories.items():
        path: Steps = ("advisories", name)
        if name not in advisories:
            fix = f"correct the name, or add manifests/advisories/{name}.yaml"
            yield Problem(path, "a finding of manifests/advisories", unknown(name, advisories), fix)
            continue
        yield from _whole(standing, len(recipe.patches), path)
        yield from _fits(standing, advisories[name], recipe, path)


def _range(one: AffectedRange, path: Steps, *, is_build: bool) -> Iterator[Problem]:
    given = [version for version in (one.introduced, one.fixed, one.last_affected) if version]
    if not given:
        yield Problem(path, "`introduced`, `fixed` or `last_affected`", "none of them", "add one of them")
    if one.fixed and one.last_affected:
        fix = "remove `last_affected`: the first fixed version says more"
        yield Problem(path, "`fixed` or `last_affected`", "both", fix)
    for version in given:
        if version.startswith("b") != is_build:
            expected = "a build number, as b7824" if is_build else "the library's own version, as 0.37.0"
            yield Problem(path, expected, f"`{version}`", "correct the version, or `component`")
    end = one.fixed or one.last_affected
    if one.introduced and end and version_key(end) < version_key(one.introduced):
        yield Problem(
            path,
            "a range that ends after it begins",
            range_text((one,)),
            "exchange the two, or correct one",
        )


def _whole(standing: Standing, patches: int, path: Steps) -> Iterator[Problem]:
    """Find a status without what belongs to it, or with what does not (OpenVEX 0.2.0, "Status Labels")."""
    for key, value, status, why in (
        ("justification", standing.justification, "not_affected", "why it is not affected"),
        ("action", standing.action, "affected", "what who uses it can do"),
    ):
        if (value is not None) != (standing.status == status):
            found = f"`{standing.status}` and " + (f"no `{key}`" if value is None else f"`{key}`")
            fix = f"add `{key}:`, {why}" if value is None else f"remove `{key}`, or write `status: {status}`"
            yield Problem(path, f"`{key}` where the status is {status}, and only there", found, fix)
    if standing.patch is None:
        return
    if standing.status != "fixed":
        fix = "remove `patch`, or write `status: fixed`"
        yield Problem(path, "`patch` only where one fixes it", f"`{standing.status}` and `patch`", fix)
    elif standing.patch > patches:
        fix = "write the number of the patch, counted from 1 in the order of `patches`"
        found = f"patch {standing.patch} of {patches}"
        yield Problem((*path, "patch"), "the number of one of the recipe's patches", found, fix)


def _fits(standing: Standing, advisory: Advisory, recipe: Recipe, path: Steps) -> Iterator[Problem]:
    component = advisory.component
    if component not in package_urls(recipe):
        if standing.justification != NOT_PRESENT:
            expected = f"`justification: {NOT_PRESENT}`, or {component} under `vendored`"
            yield Problem(path, expected, "neither", "write what the source carries")
        return
    is_covered = covers(advisory, recipe)
    found = f"{component} {component_version(recipe, component)}, and `{standing.status}`"
    affected = range_text(advisory.affected)
    if standing.status == "affected" and is_covered is False:
        fix = "widen the range of the advisory, with the source that says so, or correct the status"
        yield Problem(path, f"a version that is affected: {affected}", found, fix)
    if standing.status == "fixed" and standing.patch is None and is_covered:
        fix = "name the `patch` that fixes it, or correct the range of the advisory"
        yield Problem(path, f"a version that is not affected, which is {affected}", found, fix)
