"""Which versions a finding affects: build numbers of llama.cpp, versions of the libraries that it carries. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from recipes.manifest.schema import Advisory, AffectedRange, Recipe

LLAMA_CPP = "llama.cpp"


def version_key(version: str) -> tuple[int, ...]:
    """Return what versions are ordered by; zeros at the end say nothing.

    >>> version_key("b7824"), version_key("0.30.1") < version_key("0.37"), version_key("1.0") == version_key("1")
    ((7824,), True, True)
    """
    numbers = [int(part) for part in version.removeprefix("b").split(".")]
    while numbers and numbers[-1] == 0:
        numbers.pop()
    return tuple(numbers)


def is_affected(version: str, ranges: Sequence[AffectedRange]) -> bool:
    """Return whether a version is in one of some ranges, which is true of any version where there are none."""
    key = version_key(version)
    return not ranges or any(
        (one.introduced is None or version_key(one.introduced) <= key)
        and (one.fixed is None or key < version_key(one.fixed))
        and (one.last_affected is None or key <= version_key(one.last_affected))
        for one in ranges
    )


def package_urls(recipe: Recipe) -> dict[str, str]:
    """Return the package URL of each component of a recipe that findings are about, llama.cpp first."""
    place = recipe.source.repository.removeprefix("https://").removesuffix(".git").split("/")
    upstream = "/".join(place[1:]) if place[0] == "github.com" else f"ggml-org/{LLAMA_CPP}"
    return {LLAMA_CPP: f"pkg:github/{upstream}@b{recipe.source.build_number}", **recipe.vendored}


def component_version(recipe: Recipe, component: str) -> str | None:
    """Return the version of a component of a recipe; None where it has none, or the recipe does not carry it."""
    return package_urls(recipe).get(component, "").partition("@")[2] or None


def covers(advisory: Advisory, recipe: Recipe) -> bool | None:
    """Return whether the published range has what a recipe carries; None where its version is not known."""
    if advisory.component not in package_urls(recipe):
        return False
    version = component_version(recipe, advisory.component)
    return None if version is None else is_affected(version, advisory.affected)


def range_text(ranges: Sequence[AffectedRange]) -> str:
    """Return ranges for people, as `from b7492, through b9060`."""
    words = [
        ", ".join(
            f"{word} {version}"
            for word, version in (
                ("from", one.introduced),
                ("before", one.fixed),
                ("through", one.last_affected),
            )
            if version
        )
        for one in ranges
    ]
    return "; ".join(words) or "every version"
