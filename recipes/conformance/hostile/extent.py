"""How much a run of attacks tries."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Extent:
    """How much is tried: all attacks or the quick ones, drawn requests, minutes of clients at once.

    `only` is a part of the names (`kind/name`) of the attacks that are wanted; `patience` multiplies every time limit,
    for a busy machine or a slow build, and `memory` the limit of memory, for a build with sanitizers.
    """

    is_quick: bool = False
    drawn: int = 0
    minutes: float = 0.0
    only: str = ""
    patience: float = 1.0
    memory: float = 1.0
    seed: int = 0

    def wants(self, name: str) -> bool:
        """Whether an attack of this name is wanted."""
        return self.only in name
