"""Questions that a scene answers: the answers follow from the scene, by construction."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, NamedTuple

from recipes.evalset.render import SHAPES
from recipes.evalset.scenes import COLOURS

if TYPE_CHECKING:
    from random import Random

    from recipes.evalset.render import Scene, Thing

MOST_COUNTED = 5
CLEARLY = 1.5  # a direction is clear where its distance is this many times the other one
DIRECTIONS = ("left", "right", "above", "below")
ORDINALS = ("first", "second")
LETTERS = ("bcdfghjklmnprstvwz", "aeiou")


class TaskQuestion(NamedTuple):
    """A question of a task (by its name) and the one right answer."""

    task: str
    text: str
    answer: str


def plural(shape: str) -> str:
    """Return the plural of a shape's name."""
    return f"{shape}es" if shape.endswith("ss") else f"{shape}s"


def direction(thing: Thing, other: Thing) -> str | None:
    """Return where a thing is as seen from another one; None if that is not clear."""
    right, down = thing.x - other.x, thing.y - other.y
    if abs(right) >= CLEARLY * abs(down):
        return "right" if right > 0 else "left"
    if abs(down) >= CLEARLY * abs(right):
        return "below" if down > 0 else "above"
    return None


def single_things(scene: Scene) -> list[Thing]:
    """Return the things whose shape is unique in the scene."""
    shapes = Counter(thing.shape for thing in scene.things)
    return [thing for thing in scene.things if shapes[thing.shape] == 1]


def shape_questions(rng: Random, scene: Scene) -> list[TaskQuestion]:
    """Ask for the shape of the thing of a colour, or of the only thing."""
    colours = Counter(thing.colour for thing in scene.things)
    questions = [
        TaskQuestion("shape", f"What shape is the {thing.colour} one?", thing.shape)
        for thing in scene.things
        if colours[thing.colour] == 1
    ]
    if len(scene.things) == 1 and rng.random() < 0.5:
        return [TaskQuestion("shape", "What shape is this?", scene.things[0].shape)]
    return questions


def colour_questions(rng: Random, scene: Scene) -> list[TaskQuestion]:
    """Ask for the colour of a shape, or of the only thing."""
    if len(scene.things) == 1 and rng.random() < 0.3:
        return [TaskQuestion("colour", "What colour is it?", scene.things[0].colour)]
    return [
        TaskQuestion("colour", f"What colour is the {thing.shape}?", thing.colour)
        for thing in single_things(scene)
    ]


def count_questions(rng: Random, scene: Scene) -> list[TaskQuestion]:
    """Ask how many things of a shape there are."""
    counts = Counter(thing.shape for thing in scene.things)
    wording = rng.choice(("How many {} are there?", "Count the {}."))
    return [
        TaskQuestion("count", wording.format(plural(shape)), str(count))
        for shape, count in counts.items()
        if count <= MOST_COUNTED
    ]


def where_questions(rng: Random, scene: Scene) -> list[TaskQuestion]:
    """Ask where one shape is relative to another."""
    single = single_things(scene)
    wording = rng.choice(("Where is the {} relative to the {}?", "Where is the {}, seen from the {}?"))
    return [
        TaskQuestion("where", wording.format(thing.shape, other.shape), where)
        for thing in single
        for other in single
        if thing is not other and (where := direction(thing, other))
    ]


def which_questions(rng: Random, first: Scene, second: Scene) -> list[TaskQuestion]:
    """Ask which of two images has a shape or colour that the other lacks."""
    wording = rng.choice(("Which image has a {}?", "In which image is a {}?"))
    questions = []
    for ordinal, scene, other in zip(ORDINALS, (first, second), (second, first), strict=True):
        shapes = {t.shape for t in scene.things} - {t.shape for t in other.things}
        colours = {t.colour for t in scene.things} - {t.colour for t in other.things}
        questions += [TaskQuestion("which", wording.format(shape), ordinal) for shape in sorted(shapes)]
        questions += [
            TaskQuestion("which", wording.format(f"{colour} shape"), ordinal) for colour in sorted(colours)
        ]
    return questions


def read_questions(rng: Random, scene: Scene) -> list[TaskQuestion]:
    """Ask for the written number."""
    if scene.number is None:
        return []
    wording = rng.choice(("What number is this?", "Read the number."))
    return [TaskQuestion("read", wording, scene.number.digits)]


def text_question(rng: Random) -> TaskQuestion:
    """Ask something without an image: repeat a word or digits, or a small sum."""
    kind = rng.choice(("word", "digits", "plus", "minus"))
    if kind == "word":
        word = "".join(rng.choice(LETTERS[index % 2]) for index in range(rng.choice((4, 5, 6))))
        return TaskQuestion("text", f"Repeat: {word}", word)
    if kind == "digits":
        digits = "".join(rng.choice("0123456789") for _ in range(rng.choice((3, 4, 5))))
        return TaskQuestion("text", f"Repeat: {digits}", digits)
    one, other = rng.randint(0, 9), rng.randint(0, 9)
    if kind == "plus":
        return TaskQuestion("text", f"What is {one} plus {other}?", str(one + other))
    one, other = max(one, other), min(one, other)
    return TaskQuestion("text", f"What is {one} minus {other}?", str(one - other))


def scene_questions(rng: Random, scene: Scene) -> list[TaskQuestion]:
    """Return all questions about one image."""
    makers = (shape_questions, colour_questions, count_questions, where_questions, read_questions)
    return [question for maker in makers for question in maker(rng, scene)]


def vocabulary_lines() -> list[str]:
    """Return every wording with every name, to train the tokenizer."""
    lines = ["user\n", "assistant\n", "system\n", *DIRECTIONS, *ORDINALS, *COLOURS, *SHAPES]
    for shape in SHAPES:
        lines += [f"How many {plural(shape)} are there?", f"Count the {plural(shape)}."]
        lines += [
            f"What colour is the {shape}?",
            f"Which image has a {shape}?",
            f"In which image is a {shape}?",
        ]
        lines += [
            f"Where is the {shape} relative to the {shape}?",
            f"Where is the {shape}, seen from the {shape}?",
        ]
    for colour in COLOURS:
        lines += [f"What shape is the {colour} one?", f"Which image has a {colour} shape?"]
    lines += ["What shape is this?", "What colour is it?", "What number is this?", "Read the number."]
    lines += [
        "What is 1 plus 2?",
        "What is 2 minus 1?",
        "Repeat: ",
        "The image is below.",
        "Look at the image.",
    ]
    return lines
