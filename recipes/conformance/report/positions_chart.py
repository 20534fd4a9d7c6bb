"""The drawing of t, h and w of each token: an image, and beside it a clip, whose pairs of frames are such images. Pure.

Colours are classes of page.css, as in the other drawings.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from recipes.conformance.report.drawing import LINE, MARGIN, WIDTH, drawing, text
from recipes.conformance.report.markup import element
from recipes.evalset.mrope_positions import positions
from recipes.evalset.mrope_sections import AXES

if TYPE_CHECKING:
    from collections.abc import Sequence
    from xml.etree.ElementTree import Element

ROWS, COLUMNS = GRID = (2, 3)  # tokens of the image, and of each pair
SEEN = ROWS * COLUMNS
WORD, START, END = "…", "[", "]"
IMAGE = (WORD, START, GRID, END, WORD)
STAMPS = ("0.3", "1.5")
CLIP = (WORD, *(piece for stamp in STAMPS for piece in (f"{stamp}s", START, GRID, END)), WORD)
TITLES = ("an image: one pair", f"a clip: {len(STAMPS)} pairs, each placed as an image is")
NOTES = (
    "… is a word, 0.3s the time stamp <0.3 seconds> (drawn as one token), [ and ] are vision_start and vision_end.",
    f"1 to {SEEN} are tokens of an image, or of a pair, row by row; from p on: t = p, h = p + row, w = p + column.",
    f"The token after them is at p + max({ROWS}, {COLUMNS}). The three positions of a word are equal.",
)

LABELS, APART = 30.0, 1.4  # width of the names of rows; cells between image and clip
CELL_HEIGHT, FRAME_CELL, SHIFT = 28, 17, 7
FRAMES_TOP, TOKENS_TOP = 2 * LINE, 2 * LINE + 3 * FRAME_CELL


def draw_positions() -> Element:
    """Draw the tokens of an image beside those of a clip, each with its three positions."""
    counts = [sum(1 if isinstance(piece, str) else SEEN for piece in pieces) for pieces in (IMAGE, CLIP)]
    size = (WIDTH - 2 * MARGIN - LABELS) / (sum(counts) + APART)
    top = TOKENS_TOP + CELL_HEIGHT + 6
    parts = [
        text(MARGIN + 8, top + row * CELL_HEIGHT + 19, axis, class_="strong") for row, axis in enumerate(AXES)
    ]
    words, left = [], MARGIN + LABELS
    for title, pieces, count in zip(TITLES, (IMAGE, CLIP), counts, strict=True):
        places = tuple(positions(1 if isinstance(piece, str) else piece for piece in pieces))
        parts.append(text(left, LINE - 4, title, class_="strong"))
        parts.extend(_tokens(pieces, left, size))
        marks = [mark for piece in pieces for mark in _marks(piece)]
        for column, (place, mark) in enumerate(zip(places, marks, strict=True)):
            for row, (axis, number) in enumerate(zip(AXES, place, strict=True)):
                x, y = left + column * size, top + row * CELL_HEIGHT
                parts.extend(_number(x, y, size, number, axis if mark.isdecimal() else ""))
        words.append(f"{title}: " + " ".join(f"({t} {h} {w})" for t, h, w in places))
        left += (count + APART) * size
    bottom = top + len(AXES) * CELL_HEIGHT + LINE
    parts.extend(
        text(MARGIN + LABELS, bottom + row * LINE, line, class_="faint") for row, line in enumerate(NOTES)
    )
    height = bottom + len(NOTES) * LINE - LINE / 2
    return drawing(f"Positions t, h and w of each token. {'. '.join(words)}.", height, parts)


def _marks(piece: str | tuple[int, int]) -> Sequence[str]:
    return (piece,) if isinstance(piece, str) else [str(at + 1) for at in range(SEEN)]


def _tokens(pieces: Sequence[str | tuple[int, int]], left: float, size: float) -> list[Element]:
    """Draw the tokens in their order, and above those of a grid the two frames that they are made of."""
    parts, x = [], left
    for piece in pieces:
        if not isinstance(piece, str):
            parts.extend(_frames(x + SEEN * size / 2, is_still=pieces is IMAGE))
        for mark in _marks(piece):
            is_seen = not isinstance(piece, str)
            parts.append(
                text(
                    x + size / 2,
                    TOKENS_TOP + 19,
                    mark,
                    class_="strong" if is_seen else "faint",
                    text_anchor="middle",
                )
            )
            x += size
    return parts


def _frames(middle: float, *, is_still: bool) -> list[Element]:
    """Draw two frames, one behind the other, cut into the cells that become tokens."""
    width, height = COLUMNS * FRAME_CELL, ROWS * FRAME_CELL
    x, y = middle - (width + SHIFT) / 2, FRAMES_TOP - LINE / 2
    parts = [
        element("rect", x=x + SHIFT, y=y, width=width, height=height, class_="cut"),
        element("rect", x=x, y=y + SHIFT, width=width, height=height, class_="cut"),
    ]
    parts.extend(
        element(
            "line",
            x1=x + at * FRAME_CELL,
            x2=x + at * FRAME_CELL,
            y1=y + SHIFT,
            y2=y + SHIFT + height,
            class_="cut",
        )
        for at in range(1, COLUMNS)
    )
    parts.extend(
        element(
            "line",
            x1=x,
            x2=x + width,
            y1=y + SHIFT + at * FRAME_CELL,
            y2=y + SHIFT + at * FRAME_CELL,
            class_="cut",
        )
        for at in range(1, ROWS)
    )
    beside = "the same image twice" if is_still else "two frames"
    parts.append(text(x + width + SHIFT + 8, y + height / 2 + 8, beside, class_="faint"))
    return parts


def _number(x: float, y: float, size: float, number: int, axis: str) -> list[Element]:
    gap = 1.5
    box = {"x": x + gap, "y": y + gap, "width": size - 2 * gap, "height": CELL_HEIGHT - 2 * gap, "rx": 3.0}
    return [
        element("rect", class_=f"axis-{axis}" if axis else "band", **box),
        text(x + size / 2, y + 19, str(number), class_="on-axis" if axis else "faint", text_anchor="middle"),
    ]
