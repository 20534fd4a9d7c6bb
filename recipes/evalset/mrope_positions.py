"""The three positions (t, h, w) of each token of a prompt with images and clips, as Qwen3-VL has them. Pure.

The rule is transformers' `get_rope_index` (qwen3_vl). A clip has no rule of its own: each pair of its frames is placed
as an image is, and a text token between two pairs (a time stamp, a marker) as any text token.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

Grid: TypeAlias = tuple[int, int]  # rows and columns of tokens of an image, or of a pair of frames
Place: TypeAlias = tuple[int, int, int]


def positions(pieces: Iterable[int | Grid]) -> Iterator[Place]:
    """Yield t, h and w of each token; a piece is a number of text tokens, or an image's or a pair's grid.

    >>> list(positions((1, (2, 3), 1)))
    [(0, 0, 0), (1, 1, 1), (1, 1, 2), (1, 1, 3), (1, 2, 1), (1, 2, 2), (1, 2, 3), (4, 4, 4)]
    """
    start = 0
    for piece in pieces:
        if isinstance(piece, int):
            yield from ((at, at, at) for at in range(start, start + piece))
            start += piece
        else:
            rows, columns = piece
            yield from (
                (start, start + row, start + column) for row in range(rows) for column in range(columns)
            )
            start += max(rows, columns)
