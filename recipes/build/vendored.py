"""The versions of the libraries that a source carries, read from the source itself, as its components say where."""

from __future__ import annotations

from typing import TYPE_CHECKING

from recipes.build.components.licences import version_of
from recipes.core.errors import VerifyError
from recipes.core.filesystem import read_no_link
from recipes.manifest.affected import component_version, version_key

if TYPE_CHECKING:
    from pathlib import Path

    from recipes.manifest.schema import Component, Recipe


def read_version(component: Component, source: Path) -> str | None:
    """Return the version of a library that a source carries; None where it is not there or says none."""

    def read(name: str) -> bytes | None:
        path = source / name
        return read_no_link(path) if path.is_file() else None

    return version_of(component, read) or None


def check_version(recipe: Recipe, library: str, source: Path) -> str | None:
    """Return the version of a vendored library that the source confirms; None where the library says none.

    Raises VerifyError where the source has another one than the recipe says.
    """
    listed = recipe.components if isinstance(recipe.components, tuple) else ()
    component = next((each for each in listed if each.name == library), None)
    if component is None or not component.version:
        return None
    said, found = component_version(recipe, library), read_version(component, source)
    if said is None or found is None or version_key(said) != version_key(found):
        raise VerifyError(
            where=f"manifests/recipes/{recipe.name}.yaml: vendored.{library}",
            expected=f"the version of {component.version[0].file}: {found or 'the source has none'}",
            found=said or "none",
            fix="correct the version, and look again at what `advisories` says of it",
        )
    return found
