"""What must hold in a table of components, beyond the type of each."""

from __future__ import annotations

import re
from collections import Counter
from typing import TYPE_CHECKING

from recipes.manifest.decode import Problem

if TYPE_CHECKING:
    from collections.abc import Iterator

    from recipes.manifest.schema import Component


def component_problems(components: tuple[Component, ...]) -> Iterator[Problem]:
    """Find what does not fit together in a table of components."""
    for name, times in Counter(each.name for each in components).items():
        if times > 1:
            yield Problem(
                ("components",), "each component once", f"{name} {times} times", f"join what {name} is"
            )
    for index, each in enumerate(components):
        path = ("components", index)
        if not (each.text or each.interface):
            yield Problem(
                path,
                f"where the licence of {each.name} is",
                "nothing",
                "say it under `text:`, or it is no component",
            )
        if not (each.files or each.within or each.linked):
            yield Problem(path, f"files of {each.name}", "none", "give patterns under `files:`, or remove it")
        for version in each.version or ():
            try:
                is_good = re.compile(version.pattern).groups > 0
            except re.error:
                is_good = False
            if not is_good:
                yield Problem(
                    (*path, "version"),
                    "a regular expression with a group for each number",
                    version.pattern,
                    "write one as Python's re reads it",
                )
