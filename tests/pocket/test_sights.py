"""What each cell shows is what has its centre in it."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

import numpy as np
import pytest
from hypothesis import given, settings

from recipes.evalset.image_sizes import Grid, exact_size, grid_of
from recipes.evalset.render import SHAPES, Number, Scene, Thing, draw
from recipes.evalset.scenes import COLOURS
from recipes.pocket.model.grid_labels import KINDS, MOST_THINGS, SIGHTS, sights_of
from recipes.pocket.model.preprocess import scenes_of
from tests.support.conversations import ANY

if TYPE_CHECKING:
    from recipes.evalset.tasks import Conversation


def shown(scene: Scene, grid: Grid) -> dict[tuple[int, int], set[str]]:
    """The names of what each cell shows, by row and column; how many as `1` to `3` with a colon."""
    names = [*KINDS, *(f":{count}" for count in range(1, MOST_THINGS + 1))]
    sights = sights_of(scene, grid)
    assert sights.shape == (grid.cells, SIGHTS) == (grid.cells, len(names))
    assert set(np.unique(sights)) <= {0, 1}
    return {
        divmod(cell, grid.columns): {name for name, there in zip(names, row, strict=True) if there}
        for cell, row in enumerate(sights)
        if row.any()
    }


def thing(shape: str, colour: str, x: float, y: float) -> Thing:
    return Thing(shape, colour, COLOURS[colour], x, y, 9.0)


@pytest.mark.parametrize(
    ("things", "expected"),
    [
        ((), {}),
        ((thing("ring", "red", 31.9, 0.0),), {(0, 0): {"ring", "red", ":1"}}),
        ((thing("ring", "red", 32.0, 63.9),), {(1, 1): {"ring", "red", ":1"}}),
        ((thing("star", "blue", 95.9, 64.0),), {(2, 2): {"star", "blue", ":1"}}),
        (
            (thing("star", "blue", 96.0, 128.0),),
            {(3, 2): {"star", "blue", ":1"}},
        ),  # on the edge: the last cell
        (
            (
                thing("star", "blue", 10.0, 10.0),
                thing("ring", "blue", 20.0, 20.0),
                thing("ring", "red", 40.0, 9.0),
            ),
            {(0, 0): {"star", "ring", "blue", ":1", ":2"}, (0, 1): {"ring", "red", ":1"}},
        ),
        (
            tuple(thing("cross", "black", 10.0 + index, 10.0) for index in range(5)),
            {(0, 0): {"cross", "black", ":1", ":2", ":3"}},
        ),
    ],
)
def test_things_are_shown_where_their_centres_are(
    things: tuple[Thing, ...], expected: dict[tuple[int, int], set[str]]
) -> None:
    scene = Scene(width=96, height=128, background=(0, 0, 0), things=things)
    assert shown(scene, Grid(4, 3)) == expected


def test_an_image_that_is_resized_shows_the_same_in_its_own_cells() -> None:
    scene = Scene(width=90, height=120, background=(0, 0, 0), things=(thing("ring", "red", 60.5, 89.0),))
    assert shown(scene, Grid(4, 3)) == {(2, 2): {"ring", "red", ":1"}}
    assert shown(scene, Grid(8, 6)) == {(5, 4): {"ring", "red", ":1"}}


@settings(max_examples=60)
@given(ANY)
def test_everything_in_a_picture_is_shown_once_and_nothing_else(conversation: Conversation) -> None:
    for scene in scenes_of(conversation):
        grid = grid_of(scene.height, scene.width)
        cells = shown(scene, grid)
        height, width = scene.height / grid.rows, scene.width / grid.columns
        expected: dict[tuple[int, int], list[str]] = {}
        for one in scene.things:
            expected.setdefault((int(one.y // height), int(one.x // width)), []).append(
                f"{one.shape} {one.colour}"
            )
        if scene.number is None:
            assert cells.keys() == expected.keys()
        for place, kinds in expected.items():
            names = {name for kind in kinds for name in kind.split()}
            counts = {f":{count}" for count in range(1, min(len(kinds), MOST_THINGS) + 1)}
            assert cells[place] == names | counts


@settings(max_examples=60)
@given(ANY.filter(lambda conversation: any(scene.number for scene in scenes_of(conversation))))
def test_every_digit_of_a_number_is_shown(conversation: Conversation) -> None:
    for scene in scenes_of(conversation):
        if scene.number is not None:
            found = [names for _, names in sorted(shown(scene, grid_of(scene.height, scene.width)).items())]
            assert set().union(*found) - {":1", ":2", ":3"} == set(scene.number.digits)
            assert sum(len([name for name in names if name.startswith(":")]) for names in found) == 3


@pytest.mark.parametrize("digits", ["888", "407", "111", "950"])
def test_a_digit_is_shown_in_the_cell_with_the_middle_of_its_ink(digits: str) -> None:
    grid = Grid(3, 8)
    height, width = exact_size(grid)
    checked = 0
    for x in range(20, 84, 5):
        number = Number(digits, (255, 255, 255), float(x), 20.0, 60)
        scene = Scene(width, height, (0, 0, 0), number=number)
        cells = shown(scene, grid)
        assert Counter(name for names in cells.values() for name in names if name in digits) == Counter(
            digits
        )
        for digit, (row, column) in zip(digits, middles_of_ink(scene, len(digits)), strict=True):
            if 6 < column % 32 < 26:  # digits are not all equally wide: near an edge either cell may show it
                assert digit in cells[int(row // 32), int(column // 32)]
                checked += 1
    assert checked > 10


def middles_of_ink(scene: Scene, count: int) -> list[tuple[float, float]]:
    """Row and column of the middle of each digit, from the pixels; no ink between two digits."""
    ink = np.asarray(draw(scene))[:, :, 0] > 128
    rows, columns = np.flatnonzero(ink.any(axis=1)), np.flatnonzero(ink.any(axis=0))
    digits = np.split(columns, np.flatnonzero(np.diff(columns) > 1) + 1)
    assert len(digits) == count
    return [(float(rows[0] + rows[-1]) / 2, float(digit[0] + digit[-1]) / 2) for digit in digits]


def test_kinds_are_named_once() -> None:
    assert len(set(KINDS)) == len(KINDS)
    assert {*SHAPES, *COLOURS} < set(KINDS)
