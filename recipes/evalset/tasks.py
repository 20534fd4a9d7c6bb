"""Conversations about drawn images, with answers: for training, and held out from it.

A conversation is identified by its split and index. Both are in its seed: no two splits share a seed.
"""

from __future__ import annotations

from dataclasses import dataclass
from random import Random
from typing import TYPE_CHECKING

from recipes.evalset import questions
from recipes.evalset.image_sizes import (
    SIZE_CLASSES,
    TRAINING_GRIDS,
    UNSEEN_GRIDS,
    Grid,
    exact_size,
    odd_size,
    training_grids,
)
from recipes.evalset.questions import DIRECTIONS, MOST_COUNTED, TaskQuestion
from recipes.evalset.render import Scene
from recipes.evalset.scenes import (
    Placement,
    choose_kinds,
    compatible_colours,
    number_scene,
    place,
    shapes_scene,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from recipes.evalset.clips import Clip

SPLITS = ("training", "validation", "held-out", "conformance")
TASKS = ("shape", "colour", "count", "where", "which", "read", "text")
TRAINING_WEIGHTS = (5, 3, 18, 30, 12, 28, 4)  # harder tasks are drawn more often
KINDS_OF_SIZE = ("trained", "unseen", "resized")  # of held-out images: as in training, other grids, resized
MOST_TURNS = 4


@dataclass(frozen=True)
class Turn:
    """The user's message, images, clips and texts in order, with its task and the right answer."""

    parts: tuple[Scene | Clip | str, ...]
    answer: str
    task: str


Conversation = tuple[Turn, ...]


def seed_of(split: str, index: int) -> int:
    """Return the seed of a conversation; the splits divide the integers among them."""
    return index * len(SPLITS) + SPLITS.index(split)


def training_conversation(
    index: int, size_class: int, split: str = "training", weights: Sequence[int] = TRAINING_WEIGHTS
) -> Conversation:
    """Return a conversation of up to MOST_TURNS turns, its images of one size class, an index into SIZE_CLASSES.

    The weights are of the tasks.
    """
    rng = Random(seed_of(split, index))
    above = SIZE_CLASSES[size_class - 1] if size_class else 0
    grids = training_grids(SIZE_CLASSES[size_class], above=above)

    def size() -> tuple[int, int]:
        grid = rng.choice(grids)
        return odd_size(rng, grid) if rng.random() < 0.35 else exact_size(grid)

    task = rng.choices(TASKS, weights)[0]
    turns = [*compose(rng, task, size)]
    images = [part for turn in turns for part in turn.parts if isinstance(part, Scene)]
    for _ in range(rng.randint(0, MOST_TURNS - len(turns))):
        follow = follow_up(rng, images)
        if follow is not None:
            turns.append(Turn((follow.text,), follow.answer, follow.task))
    if rng.random() < 0.05:
        turns.insert(0, text_turn(rng))
    return tuple(turns)


def kind_of_size(index: int) -> str:
    """Return the kind of sizes of a held-out conversation's images."""
    return ("trained", "unseen", "trained", "resized")[index % 4]


def held_out_conversation(index: int, task: str, split: str = "held-out") -> Conversation:
    """Return one question of a task: half at sizes of training, a quarter at unseen grids, a quarter resized."""
    rng = Random(seed_of(split, index * len(TASKS) + TASKS.index(task)))
    kind = kind_of_size(index)

    def size() -> tuple[int, int]:
        if kind == "unseen":
            return exact_size(rng.choice(UNSEEN_GRIDS))
        grid: Grid = rng.choice(TRAINING_GRIDS)
        return odd_size(rng, grid) if kind == "resized" else exact_size(grid)

    return compose(rng, task, size, held_out=True)


def follow_up(rng: Random, images: list[Scene]) -> TaskQuestion | None:
    """Return one more question about the images so far; None if there is nothing to ask."""
    if not images:
        return questions.text_question(rng)
    if len(images) > 1:
        asked = questions.which_questions(rng, images[0], images[1])
    else:
        asked = questions.scene_questions(rng, images[0])
    if not asked:
        return None
    task = rng.choice(sorted({question.task for question in asked}))
    return rng.choice([question for question in asked if question.task == task])


def compose(
    rng: Random, task: str, size: Callable[[], tuple[int, int]], *, held_out: bool = False
) -> Conversation:
    """Return scenes with a question of a task; in training, two images may come in two turns."""
    if task == "text":
        return (text_turn(rng),)
    if task == "which":
        return which_turns(rng, size, held_out=held_out)
    while True:
        scene = COMPOSERS[task](rng, size())
        asked = [q for q in questions.scene_questions(rng, scene) if q.task == task]
        if task == "count":  # the shape composed for this question comes first
            asked = asked[:1]
        if task == "where":
            first = {scene.things[0].shape, scene.things[1].shape}
            asked = [q for q in asked if all(shape in q.text for shape in first)]
        if asked:
            question = rng.choice(asked)
            return (Turn(arrange(rng, (scene,), question.text), question.answer, task),)


def text_turn(rng: Random) -> Turn:
    """Return a turn without an image."""
    question = questions.text_question(rng)
    return Turn((question.text,), question.answer, "text")


def which_turns(rng: Random, size: Callable[[], tuple[int, int]], *, held_out: bool) -> Conversation:
    """Return two images in one turn, or in training sometimes one in each of two turns."""
    while True:
        first, second = (few_shapes(rng, size()) for _ in range(2))
        asked = questions.which_questions(rng, first, second)
        if not asked:
            continue
        ordinal = rng.choice(questions.ORDINALS)
        fitting = [question for question in asked if question.answer == ordinal] or asked
        question = rng.choice(fitting)
        earlier = questions.scene_questions(rng, first)
        if not held_out and earlier and rng.random() < 0.15:
            before = rng.choice(earlier)
            return (
                Turn(arrange(rng, (first,), before.text), before.answer, before.task),
                Turn((second, question.text), question.answer, "which"),
            )
        return (Turn(arrange(rng, (first, second), question.text), question.answer, "which"),)


def arrange(rng: Random, images: tuple[Scene | Clip, ...], text: str) -> tuple[Scene | Clip | str, ...]:
    """Return images or clips before the question, or sometimes after it, or after a few words."""
    roll = rng.random()
    if roll < 0.1:
        return (text, *images)
    if roll < 0.2:
        return ("Look at the image.", *images, text)
    return (*images, text)


def few_shapes(rng: Random, size: tuple[int, int]) -> Scene:
    """Return a scene of one to three shapes."""
    count = rng.choice((1, 1, 2, 3))
    return shapes_scene(rng, size, choose_kinds(rng, count), place(rng, size, count))


def counted_shapes(rng: Random, size: tuple[int, int]) -> Scene:
    """Return a scene of one to five things of a shape, and up to three others."""
    count, others = rng.randint(1, MOST_COUNTED), rng.choice((0, 1, 2, 3))
    total = min(count + others, max(count, size[0] * size[1] // 1100))
    kinds = choose_kinds(rng, total)
    shape = kinds[0][0]
    palette = compatible_colours(rng)
    rest = [kind for kind in kinds[count:] if kind[0] != shape]
    kinds = [(shape, rng.choice(palette)) for _ in range(count)] + rest
    return shapes_scene(rng, size, kinds, place(rng, size, len(kinds)))


def related_shapes(rng: Random, size: tuple[int, int]) -> Scene:
    """Return a scene of two shapes in a clear direction from each other, and up to two others."""
    height, width = size
    wanted = rng.choice(DIRECTIONS)
    across = wanted in {"left", "right"}

    def clear(layout: list[Placement]) -> bool:
        one, other = layout[0], layout[1]
        right, down = one.x - other.x, one.y - other.y
        far, near = (abs(right), abs(down)) if across else (abs(down), abs(right))
        sign = right if across else down
        return far >= questions.CLEARLY * near and (sign > 0) == (wanted in {"right", "below"})

    total = 2 + (rng.choice((0, 0, 1, 2)) if height * width > 9000 else 0)
    kinds = choose_kinds(rng, total)
    while len({shape for shape, _ in kinds}) < total:
        kinds = choose_kinds(rng, total)
    return shapes_scene(rng, size, kinds, place(rng, size, total, clear))


COMPOSERS: dict[str, Callable[[Random, tuple[int, int]], Scene]] = {
    "shape": few_shapes,
    "colour": few_shapes,
    "count": counted_shapes,
    "where": related_shapes,
    "read": number_scene,
}
