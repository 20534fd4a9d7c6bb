"""Whether a model fits into the available memory, and what would fit. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from recipes.core.errors import MemoryShortError
from recipes.core.filesystem import size_text
from recipes.models.report import memory_parts
from recipes.serve.model_choice import served_kind

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from recipes.models.inspect import MemoryEstimate
    from recipes.serve.free_memory import FreeMemory

LEAST_CONTEXT = 2048  # tokens: fewer are too few for a question about an image
STEP = 1024  # a proposed context is a multiple of it
ANYWAY = "--ignore-memory"


@dataclass(frozen=True)
class MemoryDemand:
    """A model with a context of so many tokens, the memory for both, and whether the projector is loaded."""

    name: str
    context: int
    memory: MemoryEstimate
    images: bool

    @property
    def size_bytes(self) -> int:
        """The needed bytes."""
        return self.memory.needed(images=self.images)

    def with_context(self, context: int, *, images: bool) -> int:
        """Return the bytes for a shorter context."""
        return (
            self.memory.needed(images=images)
            - self.memory.cache
            + self.memory.cache * context // self.context
        )


@dataclass(frozen=True)
class Sharing:
    """Whether models are in memory one at a time, what remains beside each, and the words for it."""

    one_at_a_time: bool
    spare_bytes: tuple[int | None, ...]
    words: str = ""


def share(needs: Sequence[int | None], free: FreeMemory | None) -> Sharing:
    """Decide how models that need so many bytes share the free memory: together only where all are known to fit."""
    if free is None:
        spare: list[int | None] = [None] * len(needs)
    else:
        spare = [None if need is None else free.size_bytes - need for need in needs]
    if len(needs) == 1:
        return Sharing(one_at_a_time=False, spare_bytes=tuple(spare))
    known = [need for need in needs if need is not None]
    alone = "one model at a time is in memory, and another one is loaded when it is asked for: "
    if free is None or len(known) < len(needs):
        return Sharing(
            one_at_a_time=True,
            spare_bytes=tuple(spare),
            words=f"{alone}it is unknown whether there is enough for all of them",
        )
    total = sum(known)
    words = f"all {len(needs)} need {size_text(total)}, and {size_text(free.size_bytes)} is available"
    if total > free.size_bytes:
        return Sharing(one_at_a_time=True, spare_bytes=tuple(spare), words=f"{alone}{words}")
    each = (free.size_bytes - total) // len(needs)
    together = "the models are in memory together, each from when it is first asked for: "
    return Sharing(one_at_a_time=False, spare_bytes=(each,) * len(needs), words=f"{together}{words}")


def demand_memory(demand: MemoryDemand, free: FreeMemory, others: Mapping[str, int]) -> None:
    """Demand that a model fits; the fix of the MemoryShortError says what would.

    `others` are the bytes that other models on this machine need, by name, for the proposals.
    """
    if demand.size_bytes <= free.size_bytes:
        return
    parts = ", ".join(memory_parts(demand.memory, images=demand.images))
    raise MemoryShortError(
        where=f"{demand.name}, {demand.context} tokens of context, {served_kind(images=demand.images)}",
        expected=f"{size_text(demand.size_bytes)}: {parts}",
        found=f"{size_text(free.size_bytes)} ({free.source})",
        fix="\n".join((*proposals(demand, free.size_bytes, others), f"to try it anyway: {ANYWAY}")),
    )


def proposals(demand: MemoryDemand, free_bytes: int, others: Mapping[str, int]) -> Iterator[str]:
    """Yield what would fit, the most similar first; if nothing would, what has to be freed."""
    found = False
    context = fitting_context(demand, free_bytes, images=demand.images)
    if context:
        found = True
        yield f"--context {context} needs {size_text(demand.with_context(context, images=demand.images))}"
    if demand.images:
        text_bytes = demand.memory.needed(images=False)
        if text_bytes <= free_bytes:
            found = True
            yield f"--text-only needs {size_text(text_bytes)}"
        elif not found and (context := fitting_context(demand, free_bytes, images=False)):
            found = True
            size_bytes = demand.with_context(context, images=False)
            yield f"--text-only --context {context} needs {size_text(size_bytes)}"
    fitting = {name: size for name, size in others.items() if size <= free_bytes and name != demand.name}
    if fitting:
        name = max(fitting, key=lambda name: fitting[name])
        yield f"--model {name} needs {size_text(fitting[name])}"
    elif not found:
        yield f"close other programs that use {size_text(demand.size_bytes - free_bytes)}"


def fitting_context(demand: MemoryDemand, free_bytes: int, *, images: bool) -> int:
    """Return the longest shorter context that fits, with or without images; 0 if it would be too short."""
    size_bytes = demand.memory.needed(images=images)
    if size_bytes <= free_bytes:
        return 0
    room = free_bytes - (size_bytes - demand.memory.cache)  # for the KV cache
    context = room * demand.context // max(1, demand.memory.cache) // STEP * STEP
    return context if LEAST_CONTEXT <= context < demand.context else 0
