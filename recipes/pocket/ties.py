"""Near-ties of the router: where two experts are so close that rounding decides, and what it would decide."""

from __future__ import annotations

from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch

if TYPE_CHECKING:
    from collections.abc import Iterator

    from torch import Tensor

NEAR = 5e-4  # of probability: products of 16 bits turn choices that are closer


@dataclass(frozen=True, order=True)
class Place:
    """One choice of experts: how close it was in probability, in which layer, and for which token of the prompt."""

    gap: float
    layer: int
    token: int


@contextmanager
def watched(language: Any) -> Iterator[list[Place]]:  # noqa: ANN401 - transformers' module
    """Collect the near-ties of what runs within the block: the last expert chosen against the first that was not."""
    found: list[Place] = []

    def look(layer: int, chosen: int) -> Any:  # noqa: ANN401 - a hook of torch
        def hook(_module: object, _inputs: object, outputs: tuple[Tensor, ...]) -> None:
            ranked = outputs[0].softmax(-1).sort(-1, descending=True).values
            gaps = (ranked[:, chosen - 1] - ranked[:, chosen]).tolist()
            found.extend(Place(gap, layer, token) for token, gap in enumerate(gaps) if gap < NEAR)

        return hook

    with ExitStack() as stack:
        for layer, block in enumerate(language.layers):
            gate = block.mlp.gate
            stack.callback(gate.register_forward_hook(look(layer, gate.top_k)).remove)
        yield found


@contextmanager
def tipped(language: Any, place: Place) -> Iterator[None]:  # noqa: ANN401 - transformers' module
    """Let one choice fall the other way within the block."""
    gate = language.layers[place.layer].mlp.gate

    def hook(
        _module: object, _inputs: object, outputs: tuple[Tensor, Tensor, Tensor]
    ) -> tuple[Tensor, Tensor, Tensor]:
        logits, weights, experts = (part.clone() for part in outputs)
        probabilities, order = logits[place.token].softmax(-1).sort(descending=True)
        others = torch.tensor([*range(gate.top_k - 1), gate.top_k])
        experts[place.token] = order[others]
        weights[place.token] = probabilities[others] / probabilities[others].sum()
        return logits, weights, experts

    handle = gate.register_forward_hook(hook)
    try:
        yield
    finally:
        handle.remove()
