"""Which tokens of an image upstream leaves out where the batch is no power of two. Pure.

GGML_PAD rounds up to multiples of powers of two only; tools/mtmd counts an image's batches with it, whatever -b is.
b6751, b7710 and b7827 do so; our patches to b6751 do not.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

LEFT_OUT = "left-out"  # the deviation's name; it has none in conformance, which runs no such batch


def read_tokens(tokens: int, batch: int) -> int:
    """Return how many of an image's tokens are read.

    >>> read_tokens(25, 64), read_tokens(25, 300), read_tokens(576, 300)
    (25, 0, 300)
    """
    padded = (tokens + batch - 1) & ~(batch - 1)
    return min(tokens, padded // batch * batch)


def left_out(is_image: Sequence[bool], batch: int) -> frozenset[int]:
    """Return the numbers of the tokens that are left out; between two images of a prompt there are other tokens."""
    missing: set[int] = set()
    start = 0
    for number, (here, after) in enumerate(zip(is_image, (*is_image[1:], False), strict=True)):
        if here and not after:
            missing.update(range(start + read_tokens(number + 1 - start, batch), number + 1))
        if not here:
            start = number + 1
    return frozenset(missing)
