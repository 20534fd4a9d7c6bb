"""Takes two images of one size in a row for two frames of one image, as llama.cpp did for some months. Pure.

Read in tools/mtmd/mtmd.cpp of 2026-08-16: `can_merge_with` asks for equal width and height, and `tokenize` for nothing
between the two; whether they are frames of a video it does not ask (upstream's issue 24303, pull request 21858).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from recipes.evalset.render import Scene
from recipes.pocket.model.preprocess import Pair

if TYPE_CHECKING:
    from collections.abc import Sequence

    from recipes.evalset.clips import Clip
    from recipes.evalset.tasks import Conversation


class Paired(NamedTuple):
    """A message whose images of one size in a row are pairs; else as `Turn`."""

    parts: tuple[Scene | Clip | Pair | str, ...]
    answer: str
    task: str


def pair(conversation: Conversation) -> tuple[Paired, ...]:
    """Return the turns with the images that stand two by two as pairs."""
    turns = []
    for turn in conversation:
        seconds = _seconds(turn.parts)
        parts: list[Scene | Clip | Pair | str] = []
        for index, part in enumerate(turn.parts):
            before = turn.parts[index - 1]
            if index in seconds and isinstance(before, Scene) and isinstance(part, Scene):
                parts[-1] = Pair(before, part)
            else:
                parts.append(part)
        turns.append(Paired(tuple(parts), turn.answer, turn.task))
    return tuple(turns)


def has_pair(conversation: Conversation) -> bool:
    """Whether two images of one size stand in a row in a message."""
    return any(_seconds(turn.parts) for turn in conversation)


def _seconds(parts: Sequence[Scene | Clip | str]) -> frozenset[int]:
    """Return the numbers of the parts that are second in a pair; a third image of that size begins another."""
    found: set[int] = set()
    for index in range(1, len(parts)):
        before, here = parts[index - 1], parts[index]
        if index - 1 in found or not (isinstance(before, Scene) and isinstance(here, Scene)):
            continue
        if (before.height, before.width) == (here.height, here.width):
            found.add(index)
    return frozenset(found)
