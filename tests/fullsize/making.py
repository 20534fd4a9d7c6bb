"""`python -m tests.fullsize.making MODEL MMPROJ LAYERS`: writes a pair, as a process of its own; 0 layers: a tiny one.

Its memory is then its own, and gone before a server needs it.
"""

from __future__ import annotations

import sys
from pathlib import Path

from tests.benchmarks.synthetic_vision import write_pair
from tests.fullsize.size import full, tiny


def main(model: str, mmproj: str, layers: str) -> None:
    pair = full(int(layers)) if int(layers) else tiny()
    write_pair(Path(model), Path(mmproj), pair.language, pair.vision)


if __name__ == "__main__":
    main(*sys.argv[1:])
