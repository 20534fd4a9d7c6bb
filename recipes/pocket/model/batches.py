"""Batches for the model: conversations padded to one length, their images' patches packed."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from typing import TYPE_CHECKING, Self

import numpy as np
import torch
from transformers.vision_utils import get_vision_interpolation_indices_and_weights, get_vision_position_ids

from recipes.evalset.image_sizes import MERGE
from recipes.pocket.model.architecture import POSITIONS_PER_SIDE
from recipes.pocket.model.preprocess import UNTRAINED

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray
    from torch import Tensor

    from recipes.pocket.model.preprocess import PreparedConversation


class OnDevice:
    """A dataclass whose tensors are all on one device."""

    def to(self, device: str, *, non_blocking: bool = True) -> Self:
        """Return the same on a device."""
        every = ((field.name, getattr(self, field.name)) for field in fields(self))  # type: ignore[arg-type]  # see above
        held = {name: value for name, value in every if isinstance(value, torch.Tensor | OnDevice)}
        return replace(
            self, **{name: value.to(device, non_blocking=non_blocking) for name, value in held.items()}
        )  # type: ignore[type-var]  # as above


@dataclass(frozen=True)
class Packing(OnDevice):
    """Where each patch is, worked out once for all layers, while the batch is drawn."""

    places: Tensor  # (patches, 2): row and column in its image
    taps: Tensor  # (patches, 4): the learned positions that its own is mixed of
    shares: Tensor  # (patches, 4): how much of each
    slots: Tensor  # (patches,): its number where all images are padded to `longest` patches
    lengths: Tensor  # (images,): patches of each
    longest: int  # patches of the largest image
    image_tokens: Tensor  # (image tokens,): which token of the batch, all conversations in a row, each is


def pack(grids: Tensor, image_tokens: Tensor) -> Packing:
    """Work out where the patches of images are."""
    places = get_vision_position_ids(grids, MERGE)
    taps, shares = get_vision_interpolation_indices_and_weights(
        grids, POSITIONS_PER_SIDE, mode="bilinear", align_corners=True, spatial_merge_size=MERGE
    )
    lengths = grids.prod(-1)
    longest = int(lengths.max())
    starts = torch.cumsum(lengths, 0) - lengths
    within = torch.arange(int(lengths.sum())) - torch.repeat_interleave(starts, lengths)
    slots = torch.repeat_interleave(torch.arange(len(lengths)) * longest, lengths) + within
    return Packing(places, taps, shares, slots, lengths, longest, image_tokens)


@dataclass(frozen=True)
class Batch(OnDevice):
    """What the model reads, as tensors."""

    ids: Tensor  # (conversations, tokens)
    labels: Tensor  # (conversations, tokens)
    kept: Tensor  # (conversations, tokens): false where a conversation is padded at its end
    positions: Tensor  # (3, conversations, tokens)
    patches: Tensor  # (patches, 3, PATCH_PX, PATCH_PX), 0 to 255
    grids: Tensor  # (images, 3): frames, rows and columns of patches
    sights: Tensor  # (image tokens, PAIR_SIGHTS): what each token's cell shows in both frames
    cells: Tensor  # (image tokens, 2): its row and column, from -1 at the first to 1 at the last
    answered: Tensor  # (answer tokens,): the tokens before those that are learned, in a row
    packing: Packing | None  # None where there is no image
    later: Tensor | None = None  # the patches of the second frames, where these are not those of the first

    def pixels(self) -> Tensor:
        """Rescale and normalise the patches as the processor does; shape (patches, values)."""
        return frames(normalised(self.patches), None if self.later is None else normalised(self.later))


def normalised(patches: Tensor) -> Tensor:
    """Return channel values of 0 to 255 as the model takes them, from -1 to 1."""
    return (patches.float() / 255.0 - 0.5) / 0.5


def frames(values: Tensor, later: Tensor | None = None) -> Tensor:
    """Return patches and their second frame, as one row a patch: (patches, 3, side, side) to (patches, values).

    The second frame is the first again where `later` is None, as in a still image.
    """
    both = [values, values if later is None else later]
    return torch.stack(both, dim=2).reshape(len(values), -1)


def cells_of(rows: int, columns: int) -> NDArray[np.float32]:
    """Return row and column of each cell, the cells row by row, from -1 at the first to 1 at the last."""
    down, across = np.linspace(-1, 1, rows), np.linspace(-1, 1, columns)
    return np.stack(np.meshgrid(down, across, indexing="ij"), -1).reshape(-1, 2).astype(np.float32)


def collate(prepared: Sequence[PreparedConversation], padding: int) -> Batch:
    """Pad conversations at their ends, to the longest."""
    longest = max(len(one.ids) for one in prepared)
    ids = np.full((len(prepared), longest), padding, np.int64)
    labels = np.full((len(prepared), longest), UNTRAINED, np.int64)
    kept = np.zeros((len(prepared), longest), bool)
    positions = np.zeros((3, len(prepared), longest), np.int64)
    for row, one in enumerate(prepared):
        size = len(one.ids)
        ids[row, :size], labels[row, :size], kept[row, :size] = one.ids, one.labels, True
        positions[:, row, :size] = one.positions
    patches = np.concatenate([one.patches for one in prepared])
    shapes = [(1, rows, columns) for one in prepared for rows, columns in one.grids]
    grids = torch.tensor(shapes, dtype=torch.long).reshape(-1, 3)
    # an answer's token is foretold by the one before
    answered = np.flatnonzero(labels.reshape(-1) != UNTRAINED) - 1
    image_tokens = torch.from_numpy(
        np.concatenate([row * longest + one.image_tokens for row, one in enumerate(prepared)])
    )
    later = None
    if any(one.later is not None for one in prepared):
        both = [one.patches if one.later is None else one.later for one in prepared]
        later = torch.from_numpy(np.concatenate(both))
    return Batch(
        torch.from_numpy(ids),
        torch.from_numpy(labels),
        torch.from_numpy(kept),
        torch.from_numpy(positions),
        torch.from_numpy(patches),
        grids,
        torch.from_numpy(np.concatenate([one.sights for one in prepared])),
        torch.from_numpy(
            np.concatenate([cells_of(rows // MERGE, columns // MERGE) for _, rows, columns in shapes])
        )
        if shapes
        else torch.zeros(0, 2),
        torch.from_numpy(answered),
        pack(grids, image_tokens) if shapes else None,
        later,
    )
