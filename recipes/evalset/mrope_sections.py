"""M-RoPE's two layouts: the axis of each frequency. Pure.

The rotary embedding of a head of size 2n has n frequencies. M-RoPE assigns each of them one of three positions:
t (time), h (height) or w (width); `sections` says how many each gets. A text token's three positions are equal, so
only images reveal the layout.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

AXES = ("t", "h", "w")


def blocked(sections: Sequence[int]) -> tuple[str, ...]:
    """Return the axis of each frequency in blocks: all of t, then h, then w, as in Qwen2-VL.

    >>> "".join(blocked((3, 2, 2)))
    'ttthhww'
    """
    return tuple(axis for axis, count in zip(AXES, sections, strict=True) for _ in range(count))


def interleaved(sections: Sequence[int]) -> tuple[str, ...]:
    """Return the axis of each frequency as in Qwen3-VL: t, h, w in turn until h and w are used up, then t.

    The rule is transformers' `recomposition_frequencies` (qwen3_vl_moe): h takes each third frequency from the
    second on, w each third from the third on, each as often as its section says, and t takes all others.

    >>> "".join(interleaved((4, 2, 1)))
    'thwthtt'
    """
    total = sum(sections)
    axes = ["t"] * total
    for offset, axis in enumerate(AXES[1:], start=1):
        for index in range(offset, min(3 * sections[offset], total), 3):
            axes[index] = axis
    return tuple(axes)
