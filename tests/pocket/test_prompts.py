"""The prompts that a llama.cpp is asked: what they try, that none was trained on, and that they are told apart."""

from __future__ import annotations

import io
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from recipes.evalset.held_out import EVERY_TASK
from recipes.evalset.image_sizes import TRAINING_GRIDS, grid_of
from recipes.evalset.prompts import (
    HELD_OUT_OF_EACH,
    SPLIT,
    Prompt,
    compared,
    compared_clips,
    digest,
    everything,
    held_out,
    png,
    words,
)
from recipes.evalset.render import Scene, draw
from recipes.evalset.tasks import TASKS, Turn, held_out_conversation
from tests.pocket.conftest import PROMPTS
from tests.pocket.test_tasks import ANSWERS, asked_words

ALL = everything()


def cells(prompt: Prompt) -> list[int]:
    return [grid_of(scene.height, scene.width).cells for scene in prompt.scenes]


def test_there_are_enough_of_each_kind() -> None:
    assert len(compared()) == len(PROMPTS) >= 24
    assert sum(not prompt.scenes for prompt in PROMPTS.values()) >= 3
    assert sum(len(prompt.scenes) == 2 for prompt in PROMPTS.values()) >= 3
    assert sum(len(prompt.turns) > 1 for prompt in PROMPTS.values()) >= 3
    assert sum(prompt.is_resized for prompt in PROMPTS.values()) >= 4
    assert (
        sum(isinstance(prompt.turns[-1].parts[0], str) for prompt in PROMPTS.values() if prompt.scenes) >= 2
    )
    with_images = len(TASKS) - 1
    assert with_images * HELD_OUT_OF_EACH >= 200
    assert [len(held_out(task)) for task in TASKS] == [HELD_OUT_OF_EACH] * len(TASKS)
    asked = [prompt for task in EVERY_TASK for prompt in held_out(task)]
    assert (*compared(), *compared_clips(), *asked) == ALL
    assert len({prompt.name for prompt in asked}) == len(EVERY_TASK) * HELD_OUT_OF_EACH


def test_the_large_ones_are_larger_than_training_and_than_a_ubatch() -> None:
    most = max(grid.cells for grid in TRAINING_GRIDS)
    for name in ("number, larger than in training", "large", "larger than a ubatch"):
        assert cells(PROMPTS[name])[0] > most
    assert cells(PROMPTS["larger than a ubatch"]) == [24 * 32]
    assert 24 * 32 > 512
    sizes = [(scene.width, scene.height) for scene in PROMPTS["larger than a ubatch"].scenes]
    assert sizes == [(1024, 768)]  # at which b7710 aborts


def test_names_say_which_are_resized() -> None:
    for name, prompt in PROMPTS.items():
        assert prompt.is_resized is name.startswith("resized"), name


OF_IMAGES = [prompt for prompt in ALL if prompt.turns[-1].task in TASKS and not prompt.is_of_clips]


@pytest.mark.parametrize("prompt", OF_IMAGES, ids=lambda prompt: prompt.name)
def test_each_answer_follows_from_what_is_drawn(prompt: Prompt) -> None:
    scenes = []
    for turn in prompt.turns:
        scenes += [part for part in turn.parts if isinstance(part, Scene)]
        assert ANSWERS[turn.task](asked_words(turn), scenes) == turn.answer
    assert prompt.expected == prompt.turns[-1].answer


def test_the_held_out_questions_are_of_a_split_that_nothing_else_has() -> None:
    assert SPLIT not in {"training", "validation", "held-out"}
    for task in TASKS:
        for index, prompt in enumerate(held_out(task)):
            assert prompt.turns == held_out_conversation(index, task, SPLIT)


def test_no_picture_is_there_twice() -> None:
    scenes = [scene for prompt in ALL if not prompt.is_of_clips for scene in prompt.scenes]
    assert len(set(scenes)) == len(scenes)


def test_all_of_it_is_made_the_same_again() -> None:
    assert everything() == ALL


def test_the_digest_knows_every_text_answer_and_pixel_and_their_order() -> None:
    some = (PROMPTS["two images"], PROMPTS["text, three turns"])
    first = digest(some)
    assert digest(list(some)) == first
    (turn,) = some[0].turns
    one, other, text = turn.parts
    assert isinstance(one, Scene)
    assert isinstance(other, Scene)
    changed = [
        Turn((other, one, text), turn.answer, turn.task),
        Turn((one, other, f"{text} "), turn.answer, turn.task),
        Turn((one, other, text), f"{turn.answer} ", turn.task),
        Turn((text, one, other), turn.answer, turn.task),
        Turn((replace(one, noise_seed=1), other, text), turn.answer, turn.task),
    ]
    digests = {digest((replace(some[0], turns=(another,)), some[1])) for another in changed}
    assert len(digests | {first, digest(some[::-1]), digest(some[:1])}) == len(changed) + 3


def test_a_text_cannot_pass_into_its_neighbour() -> None:
    one, other = (Prompt("x", (Turn(parts, "c", "text"),)) for parts in (("a", "b"), ("ab",)))
    assert digest([one]) != digest([other])


def test_a_png_file_holds_the_pixels() -> None:
    image = draw(PROMPTS["read, square"].scenes[0])
    opened = Image.open(io.BytesIO(png(image)))
    assert opened.format == "PNG"
    assert np.array_equal(np.asarray(opened), np.asarray(image))


def test_people_read_every_question_and_the_answers_but_the_last() -> None:
    prompt = PROMPTS["three turns about an image"]
    lines = prompt.question.splitlines()
    assert len(lines) == 5
    assert lines[0::2] == [words(turn) for turn in prompt.turns]
    assert lines[1::2] == [f"({turn.answer})" for turn in prompt.turns[:-1]]
    between = PROMPTS["image after words"]
    assert between.question.startswith("Look at the image. ")
