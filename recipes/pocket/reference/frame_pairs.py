"""Takes two images of one size in a row for two frames of one image, as llama.cpp does since video is read. Pure.

Read in tools/mtmd/mtmd.cpp of 2026-08-16: `can_merge_with` asks for equal width and height, and `tokenize` for nothing
between the two; whether they are frames of a video it does not ask (upstream's issue 24303, pull request 21858).
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, TypeGuard

if TYPE_CHECKING:
    from collections.abc import Sequence

    from recipes.evalset.render import Scene
    from recipes.evalset.tasks import Conversation


def pair(conversation: Conversation) -> tuple[Conversation, tuple[Scene, ...]]:
    """Leave out the second of each pair of images.

    The turns are returned with the images that are left, and for each of these its second frame: the image that was
    left out, or itself.
    """
    seconds: list[Scene] = []
    turns = []
    for turn in conversation:
        kept: list[Scene | str] = []
        left_out = _seconds(turn.parts)
        for index, part in enumerate(turn.parts):
            if index not in left_out:
                kept.append(part)
            if _is_image(part):
                seconds[-1 if index in left_out else len(seconds) :] = [part]
        turns.append(replace(turn, parts=tuple(kept)))
    return tuple(turns), tuple(seconds)


def has_pair(conversation: Conversation) -> bool:
    """Whether two images of one size stand in a row in a message."""
    return any(_seconds(turn.parts) for turn in conversation)


def _seconds(parts: Sequence[Scene | str]) -> frozenset[int]:
    """Return the numbers of the parts that are second in a pair; a third image of that size begins another."""
    found: set[int] = set()
    for index in range(1, len(parts)):
        before, here = parts[index - 1], parts[index]
        if index - 1 in found or not (_is_image(before) and _is_image(here)):
            continue
        if (before.height, before.width) == (here.height, here.width):
            found.add(index)
    return frozenset(found)


def _is_image(part: Scene | str) -> TypeGuard[Scene]:
    return not isinstance(part, str)
