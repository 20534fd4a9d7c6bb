"""Manifests in which a patch is listed and not pinned yet, as `lock` must be able to read them.

Every other command refuses them, and names `lock` as the fix.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from recipes.core.errors import PinMissingError
from recipes.manifest.decode import parse
from recipes.manifest.edit_values import replace_pins
from recipes.manifest.load import Manifests
from recipes.manifest.schema import Recipe
from recipes.manifest.strict_yaml import read, read_file

if TYPE_CHECKING:
    from recipes.manifest.strict_yaml import Document, Steps

DIGITS = {"sha256": 64, "tree": 40, "tree_sha256": 64}  # of each digest of a patch


class UnfinishedManifests(Manifests):
    """Manifests whose recipes may lack digests of their patches; in the place of each stands one that is none.

    What is made of such a recipe MUST replace these digests, and MUST load what it made with `Manifests`.
    """

    def recipe(self, name: str) -> Recipe:
        """Return a recipe, with placeholders for what its patches lack; raises as `Manifests.recipe`."""
        try:
            return super().recipe(name)
        except PinMissingError:
            path = self.root / "recipes" / f"{name}.yaml"
            document = read_file(path, self.show(path))
            # what else is absent only a new source can give, and that replaces whatever stands there
            fix = f"write any digits there, then python3 noxfile.py -s lock -- --recipe {name} --source ..."
            self._recipes[name] = parse(read(fill_patches(document), document.where), Recipe, fix)
            return self._recipes[name]


def fill_patches(document: Document) -> str:
    """Return a manifest with a placeholder for each digest that a patch lacks, another one for each patch."""
    patches = document.data.get("patches", []) if isinstance(document.data, dict) else []
    changes: dict[Steps, str] = {
        ("patches", number, name): f"{number + 1:0{digits}x}"
        for number, patch in enumerate(patches)
        if isinstance(patch, dict)
        for name, digits in DIGITS.items()
        if name not in patch
    }
    return replace_pins(document.text, changes)
