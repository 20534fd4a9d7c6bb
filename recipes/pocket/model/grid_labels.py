"""What each cell of a scene shows: which shapes, colours and digits have their centre in it.

A second thing to learn beside the answers, for the vision tower alone: without it, thousands of steps pass before the
first answers need the image at all. The heads that tell it are not part of the model.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from recipes.evalset.render import SHAPES, number_box
from recipes.evalset.scenes import COLOURS

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from recipes.evalset.image_sizes import Grid
    from recipes.evalset.render import Scene

KINDS = (*SHAPES, *COLOURS, *"0123456789")
MOST_THINGS = 3  # in one cell that are counted: one, two, three or more
SIGHTS = len(KINDS) + MOST_THINGS
PAIR_SIGHTS = 2 * SIGHTS  # of the first frame, then of the second


def sights_of(scene: Scene, grid: Grid) -> NDArray[np.uint8]:
    """Return what each cell of a fitted image's grid shows, the cells row by row; shape (cells, SIGHTS)."""
    shown = np.zeros((grid.rows, grid.columns, SIGHTS), np.uint8)
    count = np.zeros((grid.rows, grid.columns), int)
    for x, y, kinds in _centres(scene):
        row = min(grid.rows - 1, max(0, int(y / scene.height * grid.rows)))
        column = min(grid.columns - 1, max(0, int(x / scene.width * grid.columns)))
        shown[row, column, [KINDS.index(kind) for kind in kinds]] = 1
        shown[row, column, len(KINDS) + min(count[row, column], MOST_THINGS - 1)] = 1
        count[row, column] += 1
    return shown.reshape(grid.cells, SIGHTS)


def _centres(scene: Scene) -> Iterator[tuple[float, float, tuple[str, ...]]]:
    for thing in scene.things:
        yield thing.x, thing.y, (thing.shape, thing.colour)
    number = scene.number
    if number is not None:
        left, top, right, bottom = number_box(number.digits, number.font_px)
        step = (right - left) / len(number.digits)
        for index, digit in enumerate(number.digits):
            yield number.x + left + (index + 0.5) * step, number.y + (top + bottom) / 2, (digit,)
