"""Whether a model fits into the memory that is left, and what would. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from recipes.core.errors import MemoryShortError
from recipes.core.filesystem import size_text

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from recipes.models.inspect import MemoryEstimate
    from recipes.serve.free_memory import FreeMemory

LEAST_CONTEXT = 2048  # tokens: less is no use for a question about a picture
STEP = 1024  # that a proposed context is a multiple of
ANYWAY = "--ignore-memory"


@dataclass(frozen=True)
class Wish:
    """What somebody wants to run.

    Parameters
    ----------
    name
        The model's.
    context
        Tokens.
    memory
        What that needs, with the projector where it has one.
    has_pictures
        Whether the projector is loaded.
    """

    name: str
    context: int
    memory: MemoryEstimate
    has_pictures: bool

    @property
    def size_bytes(self) -> int:
        """What it needs in all."""
        return self.memory.total if self.has_pictures else self.memory.without_projector


def demand_memory(wish: Wish, free: FreeMemory, others: Mapping[str, int]) -> None:
    """Demand that it fits.

    Parameters
    ----------
    wish
        What is wanted.
    free
        What is left.
    others
        What other models on this machine need, by name; to be proposed.

    Raises
    ------
    MemoryShortError
        Where it does not, with what would.
    """
    if wish.size_bytes <= free.size_bytes:
        return
    pictures = "with pictures" if wish.has_pictures else "text only"
    raise MemoryShortError(
        where=f"{wish.name}, {wish.context} tokens of context, {pictures}",
        expected=f"{size_text(wish.size_bytes)}: {parts_text(wish)}",
        found=f"{size_text(free.size_bytes)} ({free.source})",
        fix="\n".join((*proposals(wish, free.size_bytes, others), f"to try it all the same: {ANYWAY}")),
    )


def parts_text(wish: Wish) -> str:
    """Say what the memory is for."""
    memory = wish.memory
    parts = [
        f"{size_text(memory.weights)} weights",
        f"{size_text(memory.cache)} keys and values",
        f"about {size_text(memory.compute)} to compute",
    ]
    if wish.has_pictures:
        parts += [
            f"{size_text(memory.projector)} projector",
            f"about {size_text(memory.picture)} for a picture",
        ]
    return ", ".join(parts)


def proposals(wish: Wish, free_bytes: int, others: Mapping[str, int]) -> Iterator[str]:
    """Give what would fit, the nearest to the wish first, else what has to be freed."""
    memory = wish.memory
    found = False
    context = fitting_context(wish, free_bytes, wish.size_bytes)
    if context:
        found = True
        yield f"--context {context} needs {size_text(wish.size_bytes - _saved(wish, context))}"
    if wish.has_pictures:
        if memory.without_projector <= free_bytes:
            found = True
            yield f"--text-only needs {size_text(memory.without_projector)}"
        elif not found and (context := fitting_context(wish, free_bytes, memory.without_projector)):
            found = True
            size = memory.without_projector - _saved(wish, context)
            yield f"--text-only --context {context} needs {size_text(size)}"
    fitting = {name: size for name, size in others.items() if size <= free_bytes and name != wish.name}
    if fitting:
        name = max(fitting, key=lambda name: fitting[name])
        yield f"--model {name} needs {size_text(fitting[name])}"
    elif not found:
        yield f"end other programs that hold {size_text(wish.size_bytes - free_bytes)}"


def fitting_context(wish: Wish, free_bytes: int, size_bytes: int) -> int:
    """Give the longest shorter context that fits, where one of any use does; else 0.

    Parameters
    ----------
    wish
        With the context that is wanted.
    free_bytes
        What is left.
    size_bytes
        What that context needs, with or without the projector.
    """
    if size_bytes <= free_bytes:
        return 0
    room = free_bytes - (size_bytes - wish.memory.cache)  # for keys and values
    tokens = room * wish.context // max(1, wish.memory.cache)
    context = tokens // STEP * STEP
    return context if LEAST_CONTEXT <= context < wish.context else 0


def _saved(wish: Wish, context: int) -> int:
    return wish.memory.cache - wish.memory.cache * context // wish.context
