"""Models with random weights, each of another shape: what the pocket model cannot show, because it has one shape.

Their weights come from transformers' own initialisation and a seed; gains and biases, which it sets to ones and
zeros, are moved away from there so that a missing one shows.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from gguf import GGMLQuantizationType

from recipes.pocket.model.architecture import TEXT, VISION, instantiate, make_config, special_tokens
from recipes.pocket.model.export_gguf import weights_of, write_model, write_projector

if TYPE_CHECKING:
    from pathlib import Path

    from tokenizers import Tokenizer

SPREAD = 0.1  # standard deviation of weights; transformers' 0.02 gives answers that are nearly uniform


@dataclass(frozen=True)
class Shape:
    """The shape of a model; what is not said here is the pocket model's.

    `head` is the width of a head of the language model, `heads` and `groups` are its heads of queries, and of keys
    and values; `sections` are the frequencies for time, height and width, together half a head. `deepstack` are the
    vision tower's blocks whose output goes to the language model's first layers, `vision` its width and heads, `side`
    the rows and columns of its learned positions. `experts` are how many there are, and how many each token asks;
    None: every layer is dense.
    """

    name: str
    seed: int
    head: int
    heads: int
    groups: int
    layers: int
    sections: tuple[int, int, int]
    deepstack: tuple[int, ...]
    vision: tuple[int, int] = (128, 4)
    side: int = 14
    experts: tuple[int, int] | None = (8, 2)
    is_tied: bool = False

    @property
    def words(self) -> str:
        """What sets it apart."""
        kind = "dense" if self.experts is None else f"{self.experts[1]} of {self.experts[0]} experts"
        sections, levels = " ".join(map(str, self.sections)), len(self.deepstack)
        return (
            f"{kind}, heads of {self.head}, {self.heads} to {self.groups}, sections {sections}, "
            f"{levels} DeepStack level{'s' if levels > 1 else ''}, {'tied' if self.is_tied else 'untied'} output"
        )


# Each has more layers than DeepStack levels, as every published model has: b7827 aborts where it has not.
SHAPES = (
    Shape("narrow", 1, 32, 6, 3, 4, (6, 5, 5), (2,), vision=(96, 3), experts=(8, 3)),
    Shape("uneven", 2, 92, 4, 1, 5, (20, 9, 17), (0, 1, 3, 5), vision=(128, 8), is_tied=True),
    Shape("wide heads", 3, 128, 2, 2, 4, (24, 20, 20), (0, 2, 4), vision=(160, 2), side=7),
    Shape("one expert", 4, 36, 5, 5, 4, (4, 11, 3), (1, 4), experts=(8, 1)),
    Shape("dense", 5, 64, 4, 2, 4, (14, 10, 8), (0, 1, 2), experts=None, is_tied=True),
    Shape("dense, untied", 6, 80, 3, 1, 4, (16, 12, 12), (5,), side=20, experts=None),
)


def make(shape: Shape, tokenizer: Tokenizer) -> Any:  # noqa: ANN401 - transformers' model
    """Return a model of a shape with its random weights, in fp32."""
    text = TEXT | {
        "head_dim": shape.head,
        "num_attention_heads": shape.heads,
        "num_key_value_heads": shape.groups,
        "num_hidden_layers": shape.layers,
        "mrope_section": shape.sections,
        "initializer_range": SPREAD,
        **special_tokens(tokenizer),
    }
    if shape.experts:
        text |= dict(zip(("num_experts", "num_experts_per_tok"), shape.experts, strict=True))
    vision = VISION | {
        "hidden_size": shape.vision[0],
        "num_heads": shape.vision[1],
        "num_position_embeddings": shape.side**2,
        "deepstack_visual_indexes": list(shape.deepstack),
        "initializer_range": SPREAD,
    }
    kinds = {"is_dense": shape.experts is None, "is_tied": shape.is_tied}
    torch.manual_seed(shape.seed)
    model = instantiate(make_config(text, vision, tokenizer.token_to_id, **kinds), "eager").eval()
    with torch.no_grad():
        for values in model.parameters():
            if values.ndim == 1:
                values.add_(torch.randn_like(values) * SPREAD)
    return model


def write(shape: Shape, tokenizer: Tokenizer, model: Path, mmproj: Path) -> None:
    """Write a model of a shape as its two files, in f32."""
    made = make(shape, tokenizer)
    weights = weights_of(made)
    write_model(model, made.config, weights, tokenizer, GGMLQuantizationType.F32)
    write_projector(mmproj, made.config, weights, GGMLQuantizationType.F32)
