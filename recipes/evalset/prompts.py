"""The prompts on which a llama.cpp is compared with the reference, and the held-out questions.

All are drawn from the split `conformance`, which training never sees.
"""

from __future__ import annotations

import hashlib
import io
from dataclasses import dataclass
from random import Random
from typing import TYPE_CHECKING

from recipes.evalset.clip_prompts import clip_conversations
from recipes.evalset.clips import Clip
from recipes.evalset.held_out import EVERY_TASK, held_out_question
from recipes.evalset.image_sizes import Grid, exact_size, resized
from recipes.evalset.questions import scene_questions, which_questions
from recipes.evalset.render import Scene, draw
from recipes.evalset.tasks import (
    COMPOSERS,
    TASKS,
    Conversation,
    Turn,
    few_shapes,
    seed_of,
    text_turn,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from PIL import Image

    from recipes.evalset.questions import TaskQuestion

SPLIT = "conformance"
HELD_OUT_OF_EACH = 36  # questions of each task
Size = tuple[int, int]  # height and width in pixels


@dataclass(frozen=True)
class Prompt:
    """A conversation, named by what it tests; the model answers its last turn."""

    name: str
    turns: Conversation
    is_of_clips: bool = False  # compared as a clip is

    @property
    def scenes(self) -> tuple[Scene, ...]:
        """Its images, in order."""
        return tuple(part for turn in self.turns for part in turn.parts if isinstance(part, Scene))

    @property
    def clips(self) -> tuple[Clip, ...]:
        """Its clips, in order."""
        return tuple(part for turn in self.turns for part in turn.parts if isinstance(part, Clip))

    @property
    def is_resized(self) -> bool:
        """Whether an image or a clip in it does not fill whole cells as it is."""
        return any(clip.is_resized for clip in self.clips) or any(
            resized(scene.height, scene.width) != (scene.height, scene.width) for scene in self.scenes
        )

    @property
    def question(self) -> str:
        """Its texts, with the answers of all turns but the last."""
        lines = []
        for turn in self.turns[:-1]:
            lines += [words(turn), f"({turn.answer})"]
        return "\n".join((*lines, words(self.turns[-1])))

    @property
    def expected(self) -> str:
        """The right answer, which follows from the scene."""
        return self.turns[-1].answer


def words(turn: Turn) -> str:
    """Return the texts of a turn."""
    return " ".join(part for part in turn.parts if isinstance(part, str))


def png(image: Image.Image) -> bytes:
    """Return an image as a PNG file."""
    file = io.BytesIO()
    image.save(file, "PNG")
    return file.getvalue()


def digest(prompts: Iterable[Prompt]) -> str:
    """Return the SHA-256 of prompts, texts and pixels: it shows whether images are drawn differently here."""
    sha256 = hashlib.sha256()
    for prompt in prompts:
        for turn in prompt.turns:
            for part in (*turn.parts, turn.answer):
                if isinstance(part, str):
                    sha256.update(b"text\0" + part.encode() + b"\0")
                    continue
                if isinstance(part, Clip):
                    sha256.update(f"clip\0{part.fps} {part.indices}\0".encode())
                for scene in part.frames if isinstance(part, Clip) else (part,):
                    image = draw(scene)
                    sha256.update(b"image\0%d %d\0" % image.size + image.tobytes())
    return sha256.hexdigest()


def held_out(task: str) -> tuple[Prompt, ...]:
    """Return the held-out questions of a task."""
    return tuple(
        Prompt(f"{task} {index}", held_out_question(index, task, SPLIT)) for index in range(HELD_OUT_OF_EACH)
    )


def compared() -> tuple[Prompt, ...]:
    """Return the prompts whose probabilities are compared: each tests another path through llama.cpp."""
    return (*_texts(), *_single_images(), *_several_images(), *_places(), *_resized(), *_large())


def compared_clips() -> tuple[Prompt, ...]:
    """Return the prompts about clips whose probabilities are compared."""
    return tuple(Prompt(name, turns, is_of_clips=True) for name, turns in clip_conversations())


def everything() -> tuple[Prompt, ...]:
    """Return the compared prompts and every held-out question."""
    asked = (prompt for task in EVERY_TASK for prompt in held_out(task))
    return (*compared(), *compared_clips(), *asked)


def rng_of(name: str) -> Random:
    """Return the random generator of a prompt, seeded by its name."""
    number = int.from_bytes(hashlib.sha256(name.encode()).digest()[:6], "big")
    return Random(seed_of(SPLIT, number))


def _texts() -> tuple[Prompt, ...]:
    single = tuple(Prompt(f"text alone {n}", (text_turn(rng_of(f"text {n}")),)) for n in range(3))
    rng = rng_of("text, three turns")
    return (*single, Prompt("text, three turns", tuple(text_turn(rng) for _ in range(3))))


def asked_about(rng: Random, task: str, size: Size) -> tuple[Scene, TaskQuestion]:
    """Return a scene of a size, and a question of a task that it answers."""
    while True:
        scene = COMPOSERS[task](rng, size)
        asked = [question for question in scene_questions(rng, scene) if question.task == task]
        if asked:
            return scene, rng.choice(asked)


def one_image(
    name: str,
    task: str,
    size: Size,
    arrange: Callable[[Scene, str], tuple[Scene | str, ...]] = lambda s, q: (s, q),
) -> Prompt:
    """Return a prompt about one image; `arrange` puts image and question in order.

    The name says what it tests, and is the seed of every random choice.
    """
    rng = rng_of(name)
    scene, question = asked_about(rng, task, size)
    return Prompt(name, (Turn(arrange(scene, question.text), question.answer, task),))


def _single_images() -> tuple[Prompt, ...]:
    square, wide, tall = (exact_size(Grid(*sides)) for sides in ((5, 5), (2, 7), (8, 3)))
    return (
        *(one_image(f"{task}, square", task, square) for task in TASKS if task not in {"which", "text"}),
        one_image("colour, wide", "colour", wide),
        one_image("where, wide", "where", exact_size(Grid(3, 8))),
        one_image("shape, tall", "shape", tall),
        one_image("where, tall", "where", tall),
        one_image("number, larger than in training", "read", exact_size(Grid(7, 8))),
    )


def _several_images() -> tuple[Prompt, ...]:
    prompts = []
    for name, sizes in (
        ("two images", (Grid(4, 4), Grid(4, 4))),
        ("two images of other sizes", (Grid(3, 5), Grid(6, 3))),
    ):
        rng = rng_of(name)
        first, second, question = which_of_two(rng, tuple(map(exact_size, sizes)))
        prompts.append(Prompt(name, (Turn((first, second, question.text), question.answer, "which"),)))
    rng = rng_of("two images, one a turn")
    first, second, question = which_of_two(rng, (exact_size(Grid(4, 5)), exact_size(Grid(5, 4))))
    earlier = rng.choice(scene_questions(rng, first))
    turns = (
        Turn((first, earlier.text), earlier.answer, earlier.task),
        Turn((second, question.text), question.answer, "which"),
    )
    return (*prompts, Prompt("two images, one a turn", turns))


def which_of_two(rng: Random, sizes: tuple[Size, ...]) -> tuple[Scene, Scene, TaskQuestion]:
    """Return two scenes, and a question which of them has something that the other lacks."""
    while True:
        first, second = (few_shapes(rng, size) for size in sizes)
        asked = which_questions(rng, first, second)
        if asked:
            return first, second, rng.choice(asked)


def _places() -> tuple[Prompt, ...]:
    """Images that are not at the start, and questions after other questions."""
    after = one_image(
        "image after the question", "colour", exact_size(Grid(4, 4)), lambda scene, text: (text, scene)
    )
    between = one_image(
        "image after words",
        "count",
        exact_size(Grid(4, 6)),
        lambda scene, text: ("Look at the image.", scene, text),
    )
    rng = rng_of("three turns about an image")
    scene = few_shapes(rng, exact_size(Grid(5, 4)))
    asked = [*scene_questions(rng, scene)][:3]
    turns = tuple(
        Turn((scene, question.text) if index == 0 else (question.text,), question.answer, question.task)
        for index, question in enumerate(asked)
    )
    text_first = rng_of("text, then an image")
    second, question = asked_about(text_first, "shape", exact_size(Grid(4, 4)))
    return (
        after,
        between,
        Prompt("three turns about an image", turns),
        Prompt(
            "text, then an image",
            (text_turn(text_first), Turn((second, question.text), question.answer, "shape")),
        ),
    )


def _resized() -> tuple[Prompt, ...]:
    """Images that are not whole cells: enlarged and shrunk a little, and enlarged a lot."""
    return (
        one_image("resized, a little smaller", "colour", (150, 141)),
        one_image("resized, a little larger", "read", (173, 205)),
        one_image("resized, one side", "where", (160, 203)),
        one_image("resized, too small", "shape", (60, 70)),
    )


def _large() -> tuple[Prompt, ...]:
    """Far larger than in training; the second has more tokens than llama.cpp's default ubatch of 512."""
    return (
        one_image("large", "colour", exact_size(Grid(12, 16))),
        one_image("larger than a ubatch", "count", exact_size(Grid(24, 32))),
    )
