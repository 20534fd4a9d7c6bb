"""How large a synthetic pair is before it is written; and its writing, as a process of its own.

`python -m tests.fullsize.size MODEL MMPROJ LAYERS` writes one, a tiny one for 0 layers: its memory is gone before a
server needs it.
"""

from __future__ import annotations

import math
import sys
from dataclasses import dataclass, replace
from pathlib import Path

from tests.benchmarks import synthetic_model, synthetic_vision
from tests.benchmarks.synthetic_model import Shape, block_bytes
from tests.benchmarks.synthetic_vision import VisionShape, write_pair

HEADS_BYTES = 16 << 20  # of both files: keys, vocabulary, rows of tensors; 151,936 tokens take some megabytes
LAYERS = 48  # of the 30B-A3B


@dataclass(frozen=True)
class Pair:
    """The shapes of a language model and its projector."""

    language: Shape
    vision: VisionShape

    @property
    def most_bytes(self) -> int:
        """What both files take up, at most."""
        language, vision = self.language, self.vision
        blocks = sum(
            math.prod(shape) // 256 * block_bytes(is_q6=is_q6) for _, shape, is_q6 in language.matrices()
        )
        vectors = 4 * sum(length for _, length in language.vectors())
        routers = 4 * language.layers * language.experts * language.embedding
        halves = 2 * sum(math.prod(shape) for _, shape in vision.matrices())
        patches = 2 * 2 * vision.width * 3 * vision.patch**2
        reals = 4 * (
            vision.width * (1 + vision.positions)
            + sum(shape[0] for _, shape in vision.matrices())
            + 2 * sum(length for _, length in vision.norms())
        )
        return blocks + vectors + routers + halves + patches + reals + HEADS_BYTES


def full(layers: int = LAYERS) -> Pair:
    """The published shape, or its first layers."""
    return Pair(Shape(layers=layers), VisionShape())


def tiny() -> Pair:
    """One that takes a second."""
    return Pair(replace(synthetic_model.TINY, layers=2), synthetic_vision.TINY)


def main(model: str, mmproj: str, layers: str) -> None:
    pair = full(int(layers)) if int(layers) else tiny()
    write_pair(Path(model), Path(mmproj), pair.language, pair.vision)


if __name__ == "__main__":
    main(*sys.argv[1:])
