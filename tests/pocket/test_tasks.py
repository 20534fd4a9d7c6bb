"""Answers follow from what is drawn; splits and sizes are kept apart; the same seed draws the same picture."""

from __future__ import annotations

import hashlib
import math
import re
from random import Random
from typing import TYPE_CHECKING

import PIL
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from recipes.evalset.image_sizes import (
    CELL_PX,
    LEAST_TOKENS,
    SIZE_CLASSES,
    TRAINING_GRIDS,
    UNSEEN_GRIDS,
    Grid,
    exact_size,
    grid_of,
    odd_size,
    training_grids,
)
from recipes.evalset.questions import CLEARLY, MOST_COUNTED, count_questions, direction, plural
from recipes.evalset.render import SHAPES, Number, Scene, Stroke, Thing, draw, number_box
from recipes.evalset.scenes import BACKGROUNDS, COLOURS, CONTRAST, LEAST_RADIUS_PX, contrast
from recipes.evalset.tasks import (
    MOST_TURNS,
    SPLITS,
    TASKS,
    TRAINING_WEIGHTS,
    Conversation,
    Turn,
    held_out_conversation,
    seed_of,
    training_conversation,
)
from recipes.pocket.model.preprocess import scenes_of
from tests.support.conversations import ANY, INDICES

if TYPE_CHECKING:
    from collections.abc import Callable

SINGULAR = {plural(shape): shape for shape in SHAPES}
MANY = settings(max_examples=150)


def asked_words(turn: Turn) -> str:
    """The question, without the words that may stand before an image."""
    (text,) = (part for part in turn.parts if isinstance(part, str) and part != "Look at the image.")
    return text


def matched(pattern: str, text: str) -> tuple[str, ...]:
    found = re.fullmatch(pattern, text)
    assert found, text
    return tuple(group for group in found.groups() if group is not None)


# Each gives the answer anew, from the words of the question and the scenes alone.


def shape_asked(text: str, scenes: list[Scene]) -> str:
    things = scenes[0].things
    if text == "What shape is this?":
        (thing,) = things
    else:
        (colour,) = matched(r"What shape is the (\w+) one\?", text)
        (thing,) = (thing for thing in things if thing.colour == colour)
    return thing.shape


def colour_asked(text: str, scenes: list[Scene]) -> str:
    things = scenes[0].things
    if text == "What colour is it?":
        (thing,) = things
    else:
        (shape,) = matched(r"What colour is the (\w+)\?", text)
        (thing,) = (thing for thing in things if thing.shape == shape)
    return thing.colour


def count_asked(text: str, scenes: list[Scene]) -> str:
    (shapes,) = matched(r"How many (\w+) are there\?|Count the (\w+)\.", text)
    count = [thing.shape for thing in scenes[0].things].count(SINGULAR[shapes])
    assert 1 <= count <= MOST_COUNTED
    return str(count)


def where_asked(text: str, scenes: list[Scene]) -> str:
    one, other = matched(r"Where is the (\w+)(?: relative to|, seen from) the (\w+)\?", text)
    (thing,), (from_it,) = ([t for t in scenes[0].things if t.shape == shape] for shape in (one, other))
    right, down = thing.x - from_it.x, thing.y - from_it.y
    assert max(abs(right), abs(down)) >= 1.5 * min(abs(right), abs(down))
    if abs(right) > abs(down):
        return "right" if right > 0 else "left"
    return "below" if down > 0 else "above"


def which_asked(text: str, scenes: list[Scene]) -> str:
    (what,) = matched(r"(?:Which image has|In which image is) a (\w+(?: shape)?)\?", text)
    colour = what.removesuffix(" shape")
    shown = [
        any(thing.shape == what or (what != colour and thing.colour == colour) for thing in scene.things)
        for scene in scenes[:2]
    ]
    assert sorted(shown) == [False, True]
    return ("first", "second")[shown.index(True)]


def read_asked(text: str, scenes: list[Scene]) -> str:
    assert text in {"What number is this?", "Read the number."}
    number = scenes[0].number
    assert number is not None
    assert re.fullmatch("[0-9]{3}", number.digits)
    return number.digits


def text_asked(text: str, _scenes: list[Scene]) -> str:
    if text.startswith("Repeat: "):
        (said,) = matched(r"Repeat: ([a-z]{4,6}|[0-9]{3,5})", text)
        return said
    one, sign, other = matched(r"What is (\d) (plus|minus) (\d)\?", text)
    result = int(one) + int(other) if sign == "plus" else int(one) - int(other)
    assert result >= 0
    return str(result)


ANSWERS: dict[str, Callable[[str, list[Scene]], str]] = {
    "shape": shape_asked,
    "colour": colour_asked,
    "count": count_asked,
    "where": where_asked,
    "which": which_asked,
    "read": read_asked,
    "text": text_asked,
}


@MANY
@given(ANY)
def test_every_answer_follows_from_the_scenes(conversation: Conversation) -> None:
    for number, turn in enumerate(conversation):
        so_far = scenes_of(conversation[: number + 1])
        assert ANSWERS[turn.task](asked_words(turn), so_far) == turn.answer


@MANY
@given(ANY)
def test_a_question_needs_the_images_that_are_there(conversation: Conversation) -> None:
    needed = {"text": 0, "which": 2}
    for number, turn in enumerate(conversation):
        count = len(scenes_of(conversation[: number + 1]))
        assert count == needed.get(turn.task, 1) or (turn.task == "text" and count == 0), turn.task


@MANY
@given(INDICES, st.integers(0, len(SIZE_CLASSES) - 1))
def test_a_training_conversation_is_of_one_class_of_sizes(index: int, size_class: int) -> None:
    conversation = training_conversation(index, size_class)
    assert 1 <= len(conversation) <= MOST_TURNS + 1
    least = SIZE_CLASSES[size_class - 1] if size_class else LEAST_TOKENS - 1
    for scene in scenes_of(conversation):
        grid = grid_of(scene.height, scene.width)
        assert grid in TRAINING_GRIDS
        assert least < grid.cells <= SIZE_CLASSES[size_class]


@MANY
@given(INDICES, st.sampled_from(TASKS), st.sampled_from(SPLITS[1:]))
def test_a_held_out_question_is_one_of_its_task_at_the_sizes_of_its_index(
    index: int, task: str, split: str
) -> None:
    (turn,) = held_out_conversation(index, task, split)
    assert turn.task == task
    kind = ("trained", "unseen", "trained", "resized")[index % 4]
    for scene in scenes_of((turn,)):
        grid = grid_of(scene.height, scene.width)
        assert (grid in UNSEEN_GRIDS) is (kind == "unseen")
        assert (grid in TRAINING_GRIDS) is (kind != "unseen")
        assert ((scene.height, scene.width) == exact_size(grid)) is (kind != "resized")


@MANY
@given(ANY)
def test_things_lie_inside_the_picture_and_apart_and_stand_out_from_it(conversation: Conversation) -> None:
    for scene in scenes_of(conversation):
        for index, thing in enumerate(scene.things):
            assert thing.radius >= LEAST_RADIUS_PX
            assert thing.radius < thing.x < scene.width - thing.radius
            assert thing.radius < thing.y < scene.height - thing.radius
            assert contrast(COLOURS[thing.colour], thing.rgb) <= 3 * 14
            for other in scene.things[:index]:
                apart = max(abs(thing.x - other.x), abs(thing.y - other.y))
                assert apart > thing.radius + other.radius
        near = [
            b for b in BACKGROUNDS if max(abs(x - y) for x, y in zip(b, scene.background, strict=True)) <= 8
        ]
        for thing in scene.things:
            assert any(contrast(b, COLOURS[thing.colour]) >= CONTRAST for b in near)


@MANY
@given(ANY.filter(lambda conversation: any(scene.number for scene in scenes_of(conversation))))
def test_a_number_lies_inside_the_picture(conversation: Conversation) -> None:
    for scene in scenes_of(conversation):
        if scene.number is not None:
            left, top, right, bottom = number_box(scene.number.digits, scene.number.font_px)
            assert scene.number.x + left >= 2
            assert scene.number.y + top >= 2
            assert scene.number.x + right <= scene.width - 2
            assert scene.number.y + bottom <= scene.height - 2


SEEDS = st.tuples(st.sampled_from(SPLITS), st.integers(0, 10**12))


@given(SEEDS, SEEDS)
def test_no_two_conversations_share_a_seed_whatever_their_splits(
    one: tuple[str, int], other: tuple[str, int]
) -> None:
    assert (seed_of(*one) == seed_of(*other)) is (one == other)


def test_seeds_of_neighbours_in_all_splits_are_different() -> None:
    seeds = [seed_of(split, index) for split in SPLITS for index in range(500)]
    assert sorted(seeds) == list(range(len(seeds)))


@given(st.tuples(INDICES, st.sampled_from(TASKS)), st.tuples(INDICES, st.sampled_from(TASKS)))
def test_no_two_held_out_questions_share_a_seed(one: tuple[int, str], other: tuple[int, str]) -> None:
    numbers = [index * len(TASKS) + TASKS.index(task) for index, task in (one, other)]
    assert (numbers[0] == numbers[1]) is (one == other)


@settings(max_examples=20)
@given(INDICES, st.sampled_from(TASKS))
def test_the_split_makes_another_question(index: int, task: str) -> None:
    asked = {held_out_conversation(index, task, split) for split in SPLITS}
    # a text may be asked twice by chance; a picture never
    assert len(asked) == len(SPLITS) or task == "text"


def test_sizes_that_training_never_sees_are_longer_wider_or_larger() -> None:
    assert not set(UNSEEN_GRIDS) & set(TRAINING_GRIDS)
    assert len(set(UNSEEN_GRIDS)) == len(UNSEEN_GRIDS)
    widest = max(max(grid.rows / grid.columns, grid.columns / grid.rows) for grid in TRAINING_GRIDS)
    largest = max(grid.cells for grid in TRAINING_GRIDS)
    longest = max(max(grid.rows, grid.columns) for grid in TRAINING_GRIDS)
    assert (widest, largest, longest) == (3.0, 49, 8)
    for grid in UNSEEN_GRIDS:
        wide = max(grid.rows / grid.columns, grid.columns / grid.rows) > widest
        assert wide or grid.cells > largest or max(grid.rows, grid.columns) > longest
    assert {Grid(grid.columns, grid.rows) for grid in UNSEEN_GRIDS} == set(UNSEEN_GRIDS)


def test_the_classes_of_sizes_divide_the_training_grids_among_them() -> None:
    classes = [
        training_grids(most, above=least)
        for least, most in zip((0, *SIZE_CLASSES), SIZE_CLASSES, strict=False)
    ]
    assert sorted(grid for grids in classes for grid in grids) == sorted(TRAINING_GRIDS)
    assert all(grids for grids in classes)
    assert {Grid(grid.columns, grid.rows) for grid in TRAINING_GRIDS} == set(TRAINING_GRIDS)


@given(st.sampled_from([*TRAINING_GRIDS, *UNSEEN_GRIDS]), st.integers(0, 2**32))
def test_an_odd_size_is_resized_to_its_grid_and_never_half_a_cell_off(grid: Grid, seed: int) -> None:
    height, width = odd_size(Random(seed), grid)
    assert (height, width) != exact_size(grid)
    assert grid_of(height, width) == grid
    assert grid_of(*exact_size(grid)) == grid
    for side in (height, width):
        assert side % CELL_PX != CELL_PX // 2


def test_every_task_is_trained() -> None:
    assert len(TRAINING_WEIGHTS) == len(TASKS) == len(ANSWERS)
    assert min(TRAINING_WEIGHTS) > 0
    drawn = {turn.task for index in range(150) for turn in training_conversation(index, index % 4)}
    assert drawn == set(TASKS)


def test_more_of_a_shape_than_can_be_told_are_not_asked_about() -> None:
    for count in range(1, MOST_COUNTED + 2):
        things = tuple(Thing("ring", "red", (1, 2, 3), float(index), 0.0, 9.0) for index in range(count))
        asked = count_questions(Random(1), Scene(99, 99, (0, 0, 0), things=things))
        assert [question.answer for question in asked] == ([str(count)] if count <= 5 else [])


THING = Thing("ring", "red", (1, 2, 3), 0.0, 0.0, 9.0)


@given(st.floats(-200, 200), st.floats(-200, 200))
def test_a_direction_is_clear_or_none_is_given(right: float, down: float) -> None:
    other = Thing("star", "blue", (1, 2, 3), right, down, 9.0)
    there, back = direction(other, THING), direction(THING, other)
    opposite = {"left": "right", "right": "left", "above": "below", "below": "above", None: None}
    far, near = sorted((abs(right), abs(down)), reverse=True)
    if far > 0:
        assert opposite[there] == back
    if far < CLEARLY * near:
        assert there is None
    elif far > 0:
        across = abs(right) >= abs(down)
        assert there == (("left", "right") if across else ("above", "below"))[(right if across else down) > 0]


@settings(max_examples=30)
@given(INDICES, st.sampled_from(TASKS))
def test_the_same_number_gives_the_same_pixels(index: int, task: str) -> None:
    one, other = (held_out_conversation(index, task) for _ in range(2))
    assert one == other
    pixels = [[draw(scene).tobytes() for scene in scenes_of(conversation)] for conversation in (one, other)]
    assert pixels[0] == pixels[1]


# Pictures of every shape, of numbers, strokes, fades and noise. Another Pillow, or another font in it, draws others:
# then what the reference says of them must be computed anew.
PINNED = "046282258c2a64822bede8041aab82586faa7860d938d4cbb410d8108fd33e9b"


def test_the_pinned_pillow_draws_the_pinned_pictures() -> None:
    sha256 = hashlib.sha256()
    shapes: set[str] = set()
    kinds: set[str] = set()
    for index in range(12):
        for task in TASKS:
            for scene in scenes_of(held_out_conversation(index, task)):
                image = draw(scene)
                assert (image.mode, image.size) == ("RGB", (scene.width, scene.height))
                sha256.update(image.tobytes())
                shapes |= {thing.shape for thing in scene.things}
                kinds |= {
                    name for name in ("shade", "noise_seed", "strokes", "number") if getattr(scene, name)
                }
    assert shapes == set(SHAPES)
    assert kinds == {"shade", "noise_seed", "strokes", "number"}
    assert sha256.hexdigest() == PINNED, f"drawn by Pillow {PIL.__version__}"


def plain(**more: object) -> Scene:
    return Scene(64, 64, (0, 0, 0), **more)  # type: ignore[arg-type]  # what a scene shows


@pytest.mark.parametrize("shape", SHAPES)
def test_a_shape_is_drawn_in_its_colour_around_its_centre(shape: str) -> None:
    red = (200, 10, 20)
    image = draw(plain(things=(Thing(shape, "red", red, 40.0, 24.0, 12.0),)))
    box = image.getbbox()
    assert box is not None
    left, top, right, bottom = box
    assert red in {colour for _, colour in image.getcolors(64 * 64) or ()}
    assert (left + right) / 2 == pytest.approx(40, abs=1.0)
    assert 26 >= bottom - top >= 0.8 * 24
    assert top >= 24 - 13
    assert bottom <= 24 + 13
    assert (image.getpixel((40, 24)) == red) is (shape != "ring")


def test_shapes_are_told_apart_by_their_pixels() -> None:
    drawn = {
        draw(plain(things=(Thing(shape, "red", (200, 10, 20), 32.0, 32.0, 20.0),))).tobytes()
        for shape in SHAPES
    }
    assert len(drawn) == len(SHAPES)


def test_a_number_is_drawn_within_its_box() -> None:
    left, top, right, bottom = number_box("107", 24)
    box = draw(plain(number=Number("107", (255, 255, 255), 5.0, 9.0, 24))).getbbox()
    assert box is not None
    assert box[0] >= math.floor(5 + left)
    assert box[1] >= math.floor(9 + top)
    assert box[2] <= math.ceil(5 + right)
    assert box[3] <= math.ceil(9 + bottom)


def test_a_stroke_is_a_line_or_a_dot() -> None:
    line = draw(plain(strokes=(Stroke((4.0, 8.0), (60.0, 8.0), (255, 255, 255), 2),))).getbbox()
    dot = draw(plain(strokes=(Stroke((30.0, 20.0), (30.0, 20.0), (255, 255, 255), 2),))).getbbox()
    assert line is not None
    assert dot is not None
    assert line[2] - line[0] > 50
    assert line[3] - line[1] <= 4
    assert dot[2] - dot[0] <= 4
    assert dot[0] <= 30 <= dot[2]


def test_noise_brightens_all_channels_alike_and_a_little() -> None:
    noisy, again, other = (draw(plain(noise_seed=seed)) for seed in (5, 5, 6))
    assert noisy.tobytes() == again.tobytes() != other.tobytes()
    red, green, blue = noisy.split()
    assert red.tobytes() == green.tobytes() == blue.tobytes()
    assert noisy.getextrema()[0] == (0, 12)


def test_a_fade_goes_from_the_top_to_the_bottom() -> None:
    image = draw(plain(shade=(250, 250, 250)))
    rows = [image.getpixel((0, row)) for row in range(64)]
    assert rows == sorted(rows, key=lambda pixel: pixel[0] if isinstance(pixel, tuple) else 0)
    assert len(set(rows)) > 32
