"""Turns a pair of files back into weights that training can start from, with a row for each token of today's tokenizer.

`python -m recipes.pocket.training.continued MODEL MMPROJ WEIGHTS`, then training with `--start WEIGHTS`.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from recipes.pocket.model.import_gguf import load
from recipes.pocket.model.tokenizer import VOCABULARY, train_tokenizer

if TYPE_CHECKING:
    from tokenizers import Tokenizer
    from torch import Tensor

BY_TOKEN = ("model.language_model.embed_tokens.weight", "lm_head.weight")


def continued(model: Any, old: Tokenizer, new: Tokenizer, rows: int) -> dict[str, Tensor]:  # noqa: ANN401 - transformers' model
    """Return a model's weights for another tokenizer: a token that is new begins as the mean of its pieces."""
    weights = dict(model.state_dict())
    for name in BY_TOKEN:
        had = weights[name]
        has = had.mean(0).expand(rows, -1).clone()
        for token, number in new.get_vocab().items():
            known = old.token_to_id(token)
            pieces = [known] if known is not None else [piece.id for piece in old.model.tokenize(token)]
            has[number] = had[pieces].mean(0)
        weights[name] = has
    return weights


def main(argv: list[str]) -> None:
    """Write the weights."""
    parser = argparse.ArgumentParser(prog="python -m recipes.pocket.training.continued", description=__doc__)
    for name in ("model", "mmproj", "weights"):
        parser.add_argument(name, type=Path)
    chosen = parser.parse_args(argv)
    weights = continued(*load(chosen.model, chosen.mmproj), train_tokenizer(), VOCABULARY)
    torch.save({name: value.to(torch.float16) for name, value in weights.items()}, chosen.weights)


if __name__ == "__main__":
    main(sys.argv[1:])
