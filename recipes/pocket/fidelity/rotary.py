"""Frequencies of the rotary embedding that upstream turns by no position where sections are uneven.

Interleaved M-RoPE gives frequency i to time, height or width by i modulo 3, as far as the section of that axis
reaches; what is left is time's. b7827 gives what is left to a fourth position instead, which is 0 throughout: found by
trying what gives its probabilities, which this does to 0.001. Published models' sections (24, 20, 20) leave two
of 64 frequencies, among the slowest.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from recipes.pocket.model.replaced import replaced

if TYPE_CHECKING:
    from collections.abc import Sequence
    from contextlib import AbstractContextManager

FOURTH = "fourth-position"  # the deviation's name; conformance has none: the pocket model's are slow


def left_over(sections: Sequence[int]) -> list[int]:
    """Return the frequencies that the sections of three axes do not reach, interleaved.

    >>> left_over((24, 20, 20)), left_over((6, 5, 5)), left_over((4, 11, 3))
    ([61, 62], [], [11, 12, 14, 15, 17])
    """
    return [number for number in range(sum(sections)) if number >= 3 * sections[number % 3]]


def unturned(language: Any) -> AbstractContextManager[None]:  # noqa: ANN401 - transformers' module
    """Turn the left-over frequencies by nothing within the block."""
    rotary = language.rotary_emb
    frequencies = rotary.inv_freq.clone()
    frequencies[left_over(rotary.mrope_section)] = 0.0
    return replaced(rotary, inv_freq=frequencies)
