"""What must hold in a manifest of what container images are made on, beyond the type of each value."""

from __future__ import annotations

from typing import TYPE_CHECKING

from recipes.manifest.decode import Problem, any_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from recipes.manifest.schema import ImageBase
    from recipes.manifest.strict_yaml import Steps


def image_problems(base: ImageBase) -> Iterator[Problem]:
    """Find files that lie where another one lies, and a health check whose program no package has."""
    for machine, packages in base.machines.items():
        owners: dict[str, str] = {}
        for index, package in enumerate(packages):
            for source, target in package.take.items():
                path: Steps = ("machines", machine, index, "take", source)
                if target in owners:
                    fix = "give one of them another place, or leave it out"
                    yield Problem(path, f"{target} once", f"as {owners[target]} already", fix)
                owners[target] = f"{source} of {package.package}"
        if base.health and base.health[0].removeprefix("/") not in owners:
            programs = [f"/{target}" for target in owners if "/share/" not in target]
            yield Problem(
                ("health", 0),
                f"a file that a package of {machine} puts into the image: {any_of(programs)}",
                f"`{base.health[0]}`",
                "correct its path, or take it out of a package",
            )
