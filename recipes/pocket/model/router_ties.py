"""Near-ties of routers: choices that rounding can decide, found in the reference and decided the other way."""

from __future__ import annotations

from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

    from torch import Tensor


@dataclass(frozen=True, order=True)
class Tie:
    """A choice between two experts; layer and token of the whole prompt are counted from 0.

    `gap` is by how much the last expert that is asked is likelier than the first that is not, of all of them.
    """

    gap: float
    layer: int
    token: int


def gaps(logits: Tensor, asked: int) -> Tensor:
    """Return for each token the gap of probability between the last expert that is asked and the first that is not.

    The router's logits have the shape (tokens, experts), with more than `asked` experts.
    """
    best = logits.softmax(-1).topk(asked + 1, dim=-1).values
    return best[:, asked - 1] - best[:, asked]


def other_choice(logits: Tensor, asked: int) -> tuple[Tensor, Tensor]:
    """Choose experts with the first that is not asked in place of the last that is; shapes (tokens, asked).

    The experts' shares, which add up to 1, come before their numbers.
    """
    best = logits.softmax(-1).topk(asked + 1, dim=-1)
    kept = [*range(asked - 1), asked]
    shares = best.values[:, kept]
    return shares / shares.sum(-1, keepdim=True), best.indices[:, kept]


@contextmanager
def watched(language: Any, found: list[Tie]) -> Iterator[None]:  # noqa: ANN401 - transformers' module
    """Note every choice of every router in `found`, the narrowest first at the block's end; a dense model has none."""

    def note(layer: int) -> Any:  # noqa: ANN401 - a hook of torch
        def hook(router: Any, _inputs: object, output: tuple[Tensor, ...]) -> None:  # noqa: ANN401 - as above
            for token, gap in enumerate(gaps(output[0], router.top_k).tolist()):
                found.append(Tie(gap, layer, token))

        return hook

    with ExitStack() as stack:
        for layer, router in routers(language):
            stack.callback(router.register_forward_hook(note(layer)).remove)
        yield
    found.sort()


@contextmanager
def decided_otherwise(language: Any, ties: Collection[Tie]) -> Iterator[None]:  # noqa: ANN401 - as above
    """Decide some choices the other way within the block."""

    def turn(tokens: list[int]) -> Any:  # noqa: ANN401 - a hook of torch
        def hook(router: Any, _inputs: object, output: tuple[Tensor, ...]) -> tuple[Tensor, ...]:  # noqa: ANN401 - as above
            logits, shares, chosen = (part.clone() for part in output)
            shares[tokens], chosen[tokens] = other_choice(logits[tokens], router.top_k)
            return logits, shares, chosen

        return hook

    with ExitStack() as stack:
        for layer, router in routers(language):
            if tokens := [tie.token for tie in ties if tie.layer == layer]:
                stack.callback(router.register_forward_hook(turn(tokens)).remove)
        yield


def routers(language: Any) -> Iterator[tuple[int, Any]]:  # noqa: ANN401 - as above
    """Yield each layer's number and router."""
    for number, layer in enumerate(language.layers):
        router = getattr(layer.mlp, "gate", None)
        if router is not None and not isinstance(router, torch.nn.Linear):
            yield number, router
