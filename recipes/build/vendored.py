"""The versions of the libraries that a source carries, read from the source itself."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from recipes.core.errors import VerifyError
from recipes.manifest.affected import component_version, version_key

if TYPE_CHECKING:
    from pathlib import Path

    from recipes.manifest.schema import Recipe

# Where each library says its version, and the numbers of it; minja says none.
VERSION_LINES = {
    "cpp-httplib": ("vendor/cpp-httplib/httplib.h", r'^#define CPPHTTPLIB_VERSION "([0-9.]+)"'),
    "nlohmann-json": (
        "vendor/nlohmann/json.hpp",
        r"^#define NLOHMANN_JSON_VERSION_(?:MAJOR|MINOR|PATCH) (\d+)",
    ),
    "stb_image": ("vendor/stb/stb_image.h", r"\A/\* stb_image - v([0-9.]+)"),
    "miniaudio": ("vendor/miniaudio/miniaudio.h", r"^#define MA_VERSION_(?:MAJOR|MINOR|REVISION) +(\d+)"),
}
READ_BYTES = 1 << 20  # the lines above stand in the first part of files that are several megabytes


def read_version(source: Path, library: str) -> str | None:
    """Return the version of a library that a source carries; None where it is not there or says none."""
    place, pattern = VERSION_LINES.get(library, ("", ""))
    try:
        with (source / place).open("rb") as file:
            text = file.read(READ_BYTES).decode(errors="replace")
    except OSError:
        return None
    return ".".join(re.findall(pattern, text, re.MULTILINE)) or None


def check_version(recipe: Recipe, library: str, source: Path) -> str | None:
    """Return the version of a vendored library that the source confirms; None where the library says none.

    Raises VerifyError where the source has another one than the recipe says.
    """
    said, found = component_version(recipe, library), read_version(source, library)
    if library in VERSION_LINES and (
        said is None or found is None or version_key(said) != version_key(found)
    ):
        raise VerifyError(
            where=f"manifests/recipes/{recipe.name}.yaml: vendored.{library}",
            expected=f"the version of {VERSION_LINES[library][0]}: {found or 'the source has none'}",
            found=said or "none",
            fix="correct the version, and look again at what `advisories` says of it",
        )
    return found
