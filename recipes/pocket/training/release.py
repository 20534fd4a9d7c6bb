"""Turns trained weights into the two files that are shipped, and says what their manifest must pin.

`python -m recipes.pocket.training.release WEIGHTS`, with the weights.pt that training keeps.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import torch

from recipes.core.digest import hash_file
from recipes.pocket.model.architecture import new_model
from recipes.pocket.model.export_gguf import weights_of, write_model, write_projector
from recipes.pocket.model.files import MMPROJ, MODEL
from recipes.pocket.model.tokenizer import train_tokenizer


def release(weights: Path, model: Path, mmproj: Path) -> None:
    """Write the pair."""
    tokenizer = train_tokenizer()
    trained = new_model(tokenizer)
    trained.load_state_dict(torch.load(weights, map_location="cpu", weights_only=True))
    model.parent.mkdir(parents=True, exist_ok=True)
    write_model(model, trained.config, weights_of(trained), tokenizer)
    write_projector(mmproj, trained.config, weights_of(trained))


def main(argv: list[str]) -> None:
    """Write the pair to tests/data/pocket, and print the lines for manifests/models/pocket.yaml."""
    parser = argparse.ArgumentParser(prog="python -m recipes.pocket.training.release", description=__doc__)
    parser.add_argument("weights", type=Path)
    release(parser.parse_args(argv).weights, MODEL, MMPROJ)
    for path in (MODEL, MMPROJ):
        print(f"{path.name}:\n    size_bytes: {path.stat().st_size}\n    sha256: {hash_file(path).hex}")


if __name__ == "__main__":
    main(sys.argv[1:])
