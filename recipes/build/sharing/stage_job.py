"""What a stage that builds share is worked on with; nothing here talks to registries: who verifies needs none."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from recipes.store.context import Context

if TYPE_CHECKING:
    from collections.abc import Callable

    from recipes.core.digest import Sha256
    from recipes.manifest.schema import Recipe
    from recipes.registry.caches import Accept
    from recipes.registry.workers import Worker

    Sign = Callable[[str, Sha256], bytes]  # signs that a stage of a key has a tree


@dataclass(frozen=True, kw_only=True)
class StageJob(Context):
    """What a stage of a recipe is worked on with, and with whom it is shared."""

    recipe: Recipe
    accept_stage: Callable[[str], Accept] | None = None  # what judges a stage that nothing pins, by its key
    sign_stage: Sign | None = None
    worker: Worker | None = None  # who this is among those that build together
