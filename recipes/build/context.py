"""What a command works on: one recipe for one platform, with its store, console, settings and environment."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from recipes.build.plan.plan import Plan, make_plan
from recipes.build.sharing.stage_job import StageJob
from recipes.core.errors import PinMissingError

if TYPE_CHECKING:
    from collections.abc import Callable

    from recipes.core.sandbox import Surroundings
    from recipes.manifest.load import Manifests
    from recipes.manifest.schema import Platform, Toolchain
    from recipes.registry.caches import Accept


@dataclass(frozen=True, kw_only=True)
class Job(StageJob):
    """One recipe for one platform, and where it is worked on."""

    manifests: Manifests
    platform_name: str
    surroundings: Surroundings
    permitted: tuple[str, ...] = ()  # grave findings, by name: provenance records them
    accept: Callable[[Plan], Accept] | None = None  # what judges a bundle of a cache that nothing pins

    @property
    def platform(self) -> Platform:
        """The platform's part of the recipe."""
        return self.recipe.platforms[self.platform_name]

    @property
    def toolchain(self) -> Toolchain:
        """The toolchain that the platform names."""
        return self.manifests.toolchain(self.platform.toolchain)

    @property
    def node(self) -> Toolchain | None:
        """What builds the recipe's web page, where it builds one."""
        return self.manifests.toolchain(self.recipe.page.toolchain) if self.recipe.page else None

    @property
    def where(self) -> str:
        """The recipe's file, for errors."""
        return f"manifests/recipes/{self.recipe.name}.yaml"

    def plan(self) -> Plan:
        """How it is built; raises PinMissingError where its page, which is a part of that, is not pinned."""
        if self.recipe.page is not None and self.recipe.page.tree_sha256 is None:
            raise PinMissingError(
                where=f"{self.where}: page",
                expected="`tree_sha256`: a bundle has the page in it, and is planned by the page's digest",
                found=f"none: {self.recipe.page.tree_unpinned}",
                fix=f"python3 noxfile.py -s lock -- --recipe {self.recipe.name} --page --write  # builds the page",
            )
        return make_plan(self.recipe, self.platform_name, self.toolchain)
