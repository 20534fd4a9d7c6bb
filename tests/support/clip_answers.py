"""The answers to questions about clips, found in what is drawn: another way than that by which they were made."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from recipes.evalset.clips import Clip

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from recipes.evalset.render import Scene, Thing

ORDINALS = ("first", "second")


def shapes(scene: Scene) -> list[str]:
    return [thing.shape for thing in scene.things]


def named(text: str) -> list[str]:
    """The shapes of a question, in order."""
    return re.findall(r"(?:the|a) (\w+?)(?= move| or|\?| appear| in the)", text)


def way(clip: Clip) -> str:
    """Where the one thing goes that does not rest."""
    for before, after in zip(clip.frames[0].things, clip.frames[-1].things, strict=True):
        right, down = after.x - before.x, after.y - before.y
        if abs(right) > 1:
            return "right" if right > 0 else "left"
        if abs(down) > 1:
            return "down" if down > 0 else "up"
    raise AssertionError("nothing moves")


def motion(text: str, seen: Sequence[Scene | Clip]) -> str:
    (clip,) = (part for part in seen if isinstance(part, Clip))
    assert named(text) == [] or named(text)[0] in shapes(clip.frames[0])
    return way(clip)


def order(text: str, seen: Sequence[Scene | Clip]) -> str:
    (clip,) = (part for part in seen if isinstance(part, Clip))
    begins = {
        shape: next(number for number, frame in enumerate(clip.frames) if shape in shapes(frame))
        for shape in named(text)
    }
    assert len(set(begins.values())) == 2
    return min(begins, key=lambda shape: begins[shape])


def shown_in(text: str, clip: Clip) -> list[bool]:
    (shape,) = named(text)
    return [shape in shapes(frame) for frame in clip.frames]


def often(text: str, seen: Sequence[Scene | Clip]) -> str:
    (clip,) = (part for part in seen if isinstance(part, Clip))
    shown = shown_in(text, clip)
    return str(sum(here and not before for here, before in zip(shown, [False, *shown], strict=False)))


def when(text: str, seen: Sequence[Scene | Clip]) -> str:
    (clip,) = (part for part in seen if isinstance(part, Clip))
    pairs = {number // 2 for number, here in enumerate(shown_in(text, clip)) if here}
    return clip.stamps[pairs.pop()].strip("<>").removesuffix(" seconds")


def change(text: str, seen: Sequence[Scene | Clip]) -> str:
    (clip,) = (part for part in seen if isinstance(part, Clip))
    first, last = clip.frames[0].things, clip.frames[-1].things
    if text == "What is added?":
        (added,) = set(last) - set(first)
        return added.shape
    ((before, after),) = ((one, two) for one, two in zip(first, last, strict=True) if one != two)

    def differ(key: Callable[[Thing], object]) -> bool:
        return key(before) != key(after)

    found = [
        name
        for name, key in (
            ("colour", lambda t: t.rgb),
            ("shape", lambda t: t.shape),
            ("place", lambda t: (t.x, t.y)),
        )
        if differ(key)
    ]
    (kind,) = found
    return kind


def beside(text: str, seen: Sequence[Scene | Clip]) -> str:
    scenes = {"clip" if isinstance(part, Clip) else "image": _first(part) for part in seen}
    if text.startswith("What colour"):
        kind = "clip" if "clip" in text else "image"
        (colour,) = {thing.colour for thing in scenes[kind].things if thing.shape == named(text)[0]}
        return colour
    (kind,) = (name for name, scene in scenes.items() if named(text)[0] in shapes(scene))
    return kind


def clips(text: str, seen: Sequence[Scene | Clip]) -> str:
    both = [part for part in seen if isinstance(part, Clip)]
    assert len({(part.frames[0].width, part.frames[0].height) for part in both}) == 1
    if text.startswith("Which clip has"):
        (number,) = (n for n, clip in enumerate(both) if named(text)[0] in shapes(clip.frames[0]))
    else:
        (number,) = (n for n, clip in enumerate(both) if text.endswith(f" {way(clip)}?"))
    return ORDINALS[number]


def _first(part: Scene | Clip) -> Scene:
    return part.frames[0] if isinstance(part, Clip) else part


CLIP_ANSWERS: dict[str, Callable[[str, Sequence[Scene | Clip]], str]] = {
    "motion": motion,
    "order": order,
    "often": often,
    "when": when,
    "change": change,
    "beside": beside,
    "clips": clips,
}
