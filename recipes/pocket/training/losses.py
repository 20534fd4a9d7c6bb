"""What the pocket model's training brings down: the answers' loss, and those of what helps it learn."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch.nn import functional

from recipes.pocket.model.grid_labels import PAIR_SIGHTS
from recipes.pocket.training.fast_kernels import embed_images, read

if TYPE_CHECKING:
    from torch import Tensor

    from recipes.pocket.model.batches import Batch

SIGHT = 2.0  # weight of the loss of what each cell shows
PLACE = 1.0  # weight of the loss of where each cell is
RARE = 4.0  # weight of a sight that is there against one that is not
BALANCE = 0.01  # weight of the loss that spreads the tokens over the experts, as Switch Transformers has it


@dataclass(frozen=True)
class Losses:
    """What a batch costs: the answers, the cells' sights and places, and how uneven the experts' load is."""

    answers: Tensor
    sights: Tensor
    places: Tensor
    uneven: Tensor

    def total(self) -> Tensor:
        """Return what is brought down."""
        return self.answers + SIGHT * self.sights + PLACE * self.places + BALANCE * self.uneven


class Heads(torch.nn.Module):
    """Tell what a cell shows, and where it is, from what the mergers give; used in training alone.

    Without the places, where one thing lies from another is told but for which is which: the axis, not the side.
    """

    def __init__(self, width: int, mergers: int) -> None:
        super().__init__()
        self.heads = torch.nn.ModuleList(torch.nn.Linear(width, PAIR_SIGHTS + 2) for _ in range(mergers))
        self.register_buffer("weight", torch.full((PAIR_SIGHTS,), RARE))

    def forward(self, merged: list[Tensor], sights: Tensor, cells: Tensor) -> tuple[Tensor, Tensor]:
        """Return the mean cross-entropy over cells and sights, and the mean squared error of the places."""
        told = torch.stack([head(part) for head, part in zip(self.heads, merged, strict=True)]).float()
        wanted = sights.float().expand(len(told), -1, -1)
        shown = functional.binary_cross_entropy_with_logits(
            told[..., :PAIR_SIGHTS], wanted, pos_weight=self.weight
        )
        return shown, functional.mse_loss(told[..., PAIR_SIGHTS:], cells.expand(len(told), -1, -1))


def losses_of(model: Any, heads: Heads, batch: Batch, routers: list[Tensor]) -> Losses:  # noqa: ANN401 - transformers' model
    """Return what a batch costs, inside `quick`."""
    routers.clear()
    logits, merged = forward(model, batch)
    answers = functional.cross_entropy(
        logits.float(), batch.labels.reshape(-1).index_select(0, batch.answered + 1)
    )
    uneven = torch.zeros((), device=logits.device)
    sights, places = heads(merged, batch.sights, batch.cells) if merged else (uneven, uneven)
    kept = batch.kept.reshape(-1, 1).float()
    for scores in routers:
        shares = scores.float().softmax(-1) * kept
        picked = torch.zeros_like(shares).scatter(1, shares.topk(2, dim=-1).indices, 1.0) * kept
        uneven = uneven + (picked.sum(0) * shares.sum(0)).sum() * shares.shape[-1] / 2 / kept.sum() ** 2
    return Losses(answers, sights, places, uneven / max(1, len(routers)))


def forward(model: Any, batch: Batch) -> tuple[Tensor, list[Tensor]]:  # noqa: ANN401 - as above
    """Return the logits of the answers' tokens, and what the mergers gave; inside `quick`.

    The shapes are (answer tokens, vocabulary), and for each merger (image tokens, width).
    """
    inner = model.model
    embedded = inner.get_input_embeddings()(batch.ids)
    merged: list[Tensor] = []
    if batch.packing is not None:
        tokens, levels = embed_images(inner.visual, batch.pixels(), batch.grids, batch.packing)
        merged = [tokens, *levels]
        flat = embedded.reshape(-1, embedded.shape[-1])
        flat = flat.index_copy(0, batch.packing.image_tokens, tokens.to(flat.dtype))
        embedded = flat.reshape(embedded.shape)
    hidden = read(inner.language_model, embedded, batch, merged[1:])
    return model.lm_head(hidden.reshape(-1, hidden.shape[-1]).index_select(0, batch.answered)), merged
