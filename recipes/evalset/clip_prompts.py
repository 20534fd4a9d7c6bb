"""The conversations about clips whose probabilities are compared: each tests another path through llama.cpp."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from random import Random
from typing import TYPE_CHECKING

from recipes.evalset.clip_rules import sampled_indices
from recipes.evalset.clip_tasks import COMPOSERS, moving, odd_clip_size, same_twice
from recipes.evalset.clips import Clip
from recipes.evalset.image_sizes import Grid, exact_size
from recipes.evalset.questions import scene_questions
from recipes.evalset.tasks import Conversation, Turn, few_shapes

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from recipes.evalset.render import Scene

    Parts = tuple[Scene | Clip, ...]

SQUARE, PORTRAIT, WIDE, UNSEEN = Grid(3, 3), Grid(5, 2), Grid(2, 5), Grid(5, 5)
MANY = 96  # frames
# name, task, frames and grid of tokens
PLAIN = (
    ("two frames", "motion", 2, SQUARE),
    ("three frames", "order", 3, SQUARE),
    ("four frames", "often", 4, SQUARE),
    ("five frames", "when", 5, SQUARE),
    ("seven frames", "change", 7, Grid(3, 4)),
    ("eight frames", "motion", 8, Grid(4, 3)),
    ("nine frames", "often", 9, SQUARE),
    ("portrait", "when", 6, PORTRAIT),
    ("wide", "motion", 5, WIDE),
    ("sides never trained", "motion", 4, UNSEEN),
)


def clip_conversations() -> Iterator[tuple[str, Conversation]]:
    """Yield them with their names."""
    for name, task, frames, grid in PLAIN:
        yield name, one_turn(_rng(name), task, exact_size(grid), partial(_has_frames, frames))
    for name, task, grid in (("resized", "motion", SQUARE), ("resized, portrait", "change", PORTRAIT)):
        rng = _rng(name)
        yield name, one_turn(rng, task, odd_clip_size(rng, grid), lambda parts: _count(parts) in {4, 5})
    size = exact_size(SQUARE)
    for name, place in (("an image, then a clip", 1), ("a clip, then an image", 0)):
        yield name, one_turn(_rng(name), "beside", size, partial(_has_clip_at, place))
    yield "two clips of one size", one_turn(_rng("two clips"), "clips", size, lambda _: True)
    yield "two equal images, no clip", (same_twice(_rng("two equal images")),)
    yield "two images, then a clip", _after_images(_rng("two images, then a clip"))
    yield "the question before the clip", _question_first(_rng("the question first"))
    yield "a clip in an earlier turn", _earlier_turn(_rng("an earlier turn"))
    yield "sampled of three seconds", _timed("sampled", 30.0, sampled_indices(90, 30.0))
    yield "a frame in ten seconds", _timed("slow", 0.1, (0, 1, 2, 3, 4, 5))
    clip, mover = moving(_rng("many pairs"), exact_size(Grid(2, 2)), MANY, "right")
    yield "many pairs", (Turn((clip, f"Which way does the {mover.shape} move?"), "right", "motion"),)


def one_turn(rng: Random, task: str, size: tuple[int, int], accept: Callable[[Parts], bool]) -> Conversation:
    """Return a question of a task, what is seen first."""
    while True:
        parts, text, answer = COMPOSERS[task](rng, lambda: size)
        if accept(parts):
            return (Turn((*parts, text), answer, task),)


def _has_frames(frames: int, parts: Parts) -> bool:
    return _count(parts) == frames


def _has_clip_at(place: int, parts: Parts) -> bool:
    return isinstance(parts[place], Clip)


def _rng(name: str) -> Random:
    return Random(f"conformance compared {name}")


def _count(parts: Parts) -> int:
    return len(parts[0].frames) if isinstance(parts[0], Clip) else 0


def _question_first(rng: Random) -> Conversation:
    (turn,) = one_turn(rng, "order", exact_size(SQUARE), lambda parts: _count(parts) == 4)
    *seen, text = turn.parts
    return (replace(turn, parts=(text, *seen)),)


def _after_images(rng: Random) -> Conversation:
    """Two images of the clip's size stand before it: they are no frames of it."""
    size = exact_size(Grid(3, 4))
    (turn,) = one_turn(rng, "motion", size, lambda parts: _count(parts) == 3)
    return (replace(turn, parts=(few_shapes(rng, size), few_shapes(rng, size), *turn.parts)),)


def _earlier_turn(rng: Random) -> Conversation:
    while True:
        (turn,) = one_turn(rng, "motion", exact_size(SQUARE), lambda parts: _count(parts) == 5)
        (clip,) = (part for part in turn.parts if isinstance(part, Clip))
        asked = [one for one in scene_questions(rng, clip.frames[0]) if one.task == "colour"]
        if asked:
            return (turn, Turn((asked[0].text,), asked[0].answer, "colour"))


def _timed(name: str, fps: float, indices: tuple[int, ...]) -> Conversation:
    (turn,) = one_turn(_rng(name), "order", exact_size(SQUARE), lambda parts: _count(parts) == len(indices))
    clip, text = turn.parts
    assert isinstance(clip, Clip)  # noqa: S101 - of this task
    return (replace(turn, parts=(replace(clip, fps=fps, indices=indices), text)),)
