"""What all work with a store needs: the store, who is told of progress, and what the user set."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from recipes.core.console import Console
    from recipes.core.settings import Settings
    from recipes.store.store import Store


@dataclass(frozen=True)
class Context:
    """The store, console and settings of one command; passed as one value."""

    store: Store
    console: Console
    settings: Settings
