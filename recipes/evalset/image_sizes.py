"""The sizes of images, before and after preprocessing.

The rule is that of Qwen2-VL's `smart_resize` as llama.cpp and transformers both implement it: each side is
rounded to a multiple of patch size times merge size, and the area kept between the least and the most pixels.
The two round halves differently (C++ away from zero, Python to even), so no size here leaves a remainder of
half a cell.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from random import Random

PATCH_PX = 16
MERGE = 2
CELL_PX = PATCH_PX * MERGE  # one image token covers a cell of this many pixels each way
# The pocket model's own limits, also stored in its projector's file; upstream's of January 2026 are the same for any
# Qwen3-VL. The published models' limits are 64 and 16,384 tokens.
LEAST_TOKENS = 8
MOST_TOKENS = 4096
LEAST_PIXELS = LEAST_TOKENS * CELL_PX**2
MOST_PIXELS = MOST_TOKENS * CELL_PX**2

LONGEST_SIDE_CELLS = 8
WIDEST_ASPECT = 3.0


@dataclass(frozen=True, order=True)
class Grid:
    """Rows and columns of image tokens."""

    rows: int
    columns: int

    @property
    def cells(self) -> int:
        """Image tokens in all."""
        return self.rows * self.columns


def training_grids(most_cells: int, *, above: int = 0) -> tuple[Grid, ...]:
    """Return the grids that training uses, of more than `above` and at most `most_cells` tokens."""
    sides = range(2, LONGEST_SIDE_CELLS + 1)
    return tuple(
        Grid(rows, columns)
        for rows in sides
        for columns in sides
        if max(LEAST_TOKENS, above + 1) <= rows * columns <= most_cells
        and max(rows, columns) <= WIDEST_ASPECT * min(rows, columns)
    )


SIZE_CLASSES = (16, 25, 36, 49)  # most tokens of an image; a batch holds images of one class
TRAINING_GRIDS = training_grids(SIZE_CLASSES[-1])
# longer, wider or larger than anything in training
UNSEEN_GRIDS = (
    *(Grid(2, 7), Grid(7, 2), Grid(2, 8), Grid(8, 2), Grid(3, 9), Grid(9, 3), Grid(4, 9), Grid(9, 4)),
    *(Grid(7, 8), Grid(8, 7), Grid(8, 8), Grid(6, 9), Grid(9, 6)),
)


def resized(height: int, width: int) -> tuple[int, int]:
    """Return height and width after preprocessing, both multiples of CELL_PX."""
    new_height = max(CELL_PX, round(height / CELL_PX) * CELL_PX)
    new_width = max(CELL_PX, round(width / CELL_PX) * CELL_PX)
    if new_height * new_width > MOST_PIXELS:
        shrink = math.sqrt(height * width / MOST_PIXELS)
        new_height = max(CELL_PX, math.floor(height / shrink / CELL_PX) * CELL_PX)
        new_width = max(CELL_PX, math.floor(width / shrink / CELL_PX) * CELL_PX)
    elif new_height * new_width < LEAST_PIXELS:
        grow = math.sqrt(LEAST_PIXELS / (height * width))
        new_height = math.ceil(height * grow / CELL_PX) * CELL_PX
        new_width = math.ceil(width * grow / CELL_PX) * CELL_PX
    return new_height, new_width


def grid_of(height: int, width: int) -> Grid:
    """Return the grid of tokens of an image of so many pixels."""
    new_height, new_width = resized(height, width)
    return Grid(new_height // CELL_PX, new_width // CELL_PX)


def exact_size(grid: Grid) -> tuple[int, int]:
    """Return height and width that fill the grid without resizing."""
    return grid.rows * CELL_PX, grid.columns * CELL_PX


def odd_size(rng: Random, grid: Grid) -> tuple[int, int]:
    """Return random height and width that are resized to the grid, never exactly half a cell off."""
    reach = CELL_PX // 2 - 1
    while True:
        height, width = (side + rng.randint(-reach, reach) for side in exact_size(grid))
        if (height, width) != exact_size(grid) and grid_of(height, width) == grid:
            return height, width
