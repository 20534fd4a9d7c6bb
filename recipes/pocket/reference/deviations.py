"""The known deviations, each done to the reference itself: images, positions, attention, experts, activation."""

from __future__ import annotations

import math
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from PIL import Image
from torch.nn import functional
from transformers.models.qwen3_vl import modeling_qwen3_vl as dense
from transformers.models.qwen3_vl_moe import modeling_qwen3_vl_moe as sparse

from recipes.evalset.image_sizes import MERGE, resized
from recipes.pocket.model.preprocess import bicubic, fit, padded
from recipes.pocket.model.replaced import replaced
from recipes.pocket.reference import known_deviations as known

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Sequence

    from torch import Tensor

CLIP_MEAN = (0.48145466, 0.4578275, 0.40821073)
CLIP_DEVIATION = (0.26862954, 0.26130258, 0.27577711)
OTHER_THETA = 10_000.0


def resize_bilinear(image: Image.Image, size: tuple[int, int] | None = None) -> Image.Image:
    """Resize as llama.cpp's resize_bilinear did until 2026: two neighbours each way, the last ones never reached."""
    height, width = size or resized(image.height, image.width)
    if image.size == (width, height):
        return image
    steps = [
        np.float32(size - 1) / np.float32(wanted)
        for size, wanted in ((image.height, height), (image.width, width))
    ]
    return _between_neighbours(image, (width, height), steps)


def resize_to_corners(image: Image.Image, size: tuple[int, int]) -> Image.Image:
    """Resize an image to a width and a height as resize_bilinear of August 2026 does: from corner to corner."""
    width, height = size
    steps = [
        np.float32(have - 1) / np.float32(wanted - 1) if wanted > 1 else np.float32(0)
        for have, wanted in ((image.height, height), (image.width, width))
    ]
    return _between_neighbours(image, size, steps)


def _between_neighbours(image: Image.Image, size: tuple[int, int], steps: Sequence[Any]) -> Image.Image:
    """Mix the four pixels around each place, all of it in 32 bits; `steps` are those down and across."""
    width, height = size
    pixels = np.asarray(image, dtype=np.float32)
    y, x = (
        step * np.arange(wanted, dtype=np.float32)
        for step, wanted in zip(steps, (height, width), strict=True)
    )
    top, left = (np.minimum(at.astype(int), most - 1) for at, most in zip((y, x), pixels.shape, strict=False))
    # the parts behind the point, in 32 bits too: of whole numbers of 64 bits NumPy would make fractions of 64
    down, across = (y % 1)[:, None, None], (x % 1)[None, :, None]
    right = np.minimum(left + 1, pixels.shape[1] - 1)

    def row(index: Any) -> Any:  # noqa: ANN401 - arrays
        one, other = pixels[index][:, left], pixels[index][:, right]
        return one + (other - one) * across

    upper, lower = row(top), row(np.minimum(top + 1, pixels.shape[0] - 1))
    return Image.fromarray((upper + (lower - upper) * down).astype(np.uint8))


def fitted(image: Image.Image, names: Collection[str], size: tuple[int, int] | None = None) -> Image.Image:
    """Resize an image, as the reference does or not; to its own size, or to the height and width of a clip."""
    if known.PADDED.name in names:
        resize = resize_to_corners if known.RESIZE.name in names else bicubic
        return padded(image, size, resize)
    return resize_bilinear(image, size) if known.RESIZE.name in names else fit(image, size)


def at_one_time(positions: Tensor, is_video: Tensor) -> Tensor:
    """Give all tokens of videos the time of the first of them; positions have the shape (3, 1, tokens)."""
    changed = positions.clone()
    if is_video.any():
        changed[0, 0, is_video] = positions[0, 0, is_video].min()
    return changed


def positions_between_centres(table: Tensor, rows: int, columns: int) -> Tensor:
    """Interpolate a square table of learned positions as ggml's antialiased bilinear does.

    From shape (positions, width) to (patches, width), the patches of a cell together.
    """
    side = math.isqrt(len(table))
    square = table.reshape(1, side, side, -1).permute(0, 3, 1, 2)
    if (rows, columns) != (side, side):
        square = functional.interpolate(square, (rows, columns), mode="bilinear", antialias=True)
    return _cell_by_cell(square[0].permute(1, 2, 0), rows, columns)


def nearest_positions(table: Tensor, rows: int, columns: int) -> Tensor:
    """Take each patch's learned position from the nearest cell; as `positions_between_centres`."""
    side = math.isqrt(len(table))
    row, column = (
        torch.round(torch.arange(count) * ((side - 1) / max(1, count - 1))).long()
        for count in (rows, columns)
    )
    return _cell_by_cell(table.reshape(side, side, -1)[row][:, column], rows, columns)


def _cell_by_cell(patches: Tensor, rows: int, columns: int) -> Tensor:
    cells = patches.reshape(rows // MERGE, MERGE, columns // MERGE, MERGE, -1)
    return cells.permute(0, 2, 1, 3, 4).reshape(rows * columns, -1)


def changed_pixels(patches: Tensor, names: Collection[str]) -> Tensor:
    """Rescale and normalise patches, with deviations; shape (patches, 3, side, side), 0 to 255, to the same."""
    values = patches.float() / 255
    if known.CHANNELS.name in names:
        values = values.flip(1)
    if known.NORMALISATION.name in names:
        mean, deviation = (torch.tensor(of).reshape(1, 3, 1, 1) for of in (CLIP_MEAN, CLIP_DEVIATION))
        return (values - mean) / deviation
    return (values - 0.5) / 0.5


def changed_levels(levels: list[Tensor], names: Collection[str]) -> list[Tensor]:
    """Return what the DeepStack mergers gave, with deviations."""
    if known.NO_DEEPSTACK.name in names:
        return [torch.zeros_like(level) for level in levels]
    return levels[::-1] if known.DEEPSTACK_ORDER.name in names else levels


@contextmanager
def language_with(language: Any, names: Collection[str]) -> Iterator[None]:  # noqa: ANN401 - transformers' module
    """Run the language model with deviations within the block."""
    rotary = language.rotary_emb
    with ExitStack() as stack:
        if known.THETA.name in names:
            exponents = torch.arange(len(rotary.inv_freq), dtype=torch.float) / len(rotary.inv_freq)
            stack.enter_context(replaced(rotary, inv_freq=1.0 / OTHER_THETA**exponents))
        if known.BLOCKED.name in names:
            rotary.recomposition_frequencies = lambda values: _blocked(values, rotary.mrope_section)
            stack.callback(delattr, rotary, "recomposition_frequencies")
        if known.HALF_TEXT.name in names:
            stack.enter_context(_attention_in_half())
        for layer in language.layers if known.EXPERTS.name in names else ():
            experts = layer.mlp.experts
            rolled = {
                name: torch.nn.Parameter(getattr(experts, name).roll(1, 0), requires_grad=False)
                for name in ("gate_up_proj", "down_proj")
            }
            stack.enter_context(replaced(experts, **rolled))
        yield


def _blocked(values: Tensor, sections: list[int]) -> Tensor:
    """Return each frequency its axis as blocked M-RoPE does; shape (3, ..., frequencies) to (..., 2 frequencies)."""
    half = torch.cat([part[axis] for axis, part in enumerate(values.split(sections, dim=-1))], dim=-1)
    return torch.cat([half, half], dim=-1)


def through_half(values: Tensor) -> Tensor:
    """Round to 16 bits."""
    return values.half().float()


def gelu_table(values: Tensor) -> Tensor:
    """Return the tanh approximation of GELU, looked up by and kept in 16 bits, as ggml does between -10 and 10."""
    looked_up = through_half(functional.gelu(through_half(values), approximate="tanh"))
    return torch.where(values <= -10, torch.zeros_like(values), torch.where(values >= 10, values, looked_up))


class _GeluTable(torch.nn.Module):
    def forward(self, values: Tensor) -> Tensor:
        return gelu_table(values)


@contextmanager
def vision_with(visual: Any, names: Collection[str]) -> Iterator[None]:  # noqa: ANN401 - transformers' module
    """Run the vision tower with deviations within the block."""
    is_half = known.HALF.name in names
    with ExitStack() as stack:
        if known.GELU.name in names:
            tanh = _GeluTable() if is_half else torch.nn.GELU(approximate="tanh")
            for merger in (visual.merger, *visual.deepstack_merger_list):
                stack.enter_context(replaced(merger, act_fn=tanh))
        if is_half:
            for block in visual.blocks:
                stack.enter_context(replaced(block.mlp, act_fn=_GeluTable()))
            stack.enter_context(_attention_in_half())
        if known.MERGERS.name in names:
            mergers = torch.nn.ModuleList(visual.deepstack_merger_list[::-1])
            stack.enter_context(replaced(visual, deepstack_merger_list=mergers))
        yield


@contextmanager
def _attention_in_half() -> Iterator[None]:
    half = {"eager_attention_forward": _attend_in_half}
    with replaced(dense, **half), replaced(sparse, **half):
        yield


def _attend_in_half(
    _module: Any,  # noqa: ANN401 - transformers' module
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    *,
    scaling: float,
    **_: object,
) -> tuple[Tensor, None]:
    """Attend as ggml's flash attention on the CPU does: key by key, the sum so far kept in 16 bits.

    What is lost grows with the number of keys: each one's share is rounded against the whole sum. A masked key
    changes nothing: its share is 0.
    """
    groups = query.shape[1] // key.shape[1]  # query heads that share a head of keys and values
    keys, values = (through_half(part).repeat_interleave(groups, dim=1) for part in (key, value))
    scores = through_half(query) @ keys.transpose(-1, -2) * scaling
    if attention_mask is not None:
        scores = scores + attention_mask
    most = scores.cummax(-1).values
    before = torch.cat([torch.full_like(most[..., :1], float("-inf")), most[..., :-1]], dim=-1)
    shrink, share = (before - most).exp(), (scores - most).exp()
    is_new = (scores > before).flatten(0, -2).any(0)
    total = torch.zeros_like(query)
    for index in range(scores.shape[-1]):
        if is_new[index]:
            total = through_half(total * shrink[..., index, None])
        total = through_half(total + values[..., index, None, :] * share[..., index, None])
    mixed = total / (scores - most[..., -1:]).exp().sum(-1, keepdim=True)
    return mixed.transpose(1, 2).contiguous(), None


def text_mask(is_image: Tensor, names: Collection[str]) -> Tensor:
    """Return what each token may attend to, as zeros and minus infinities; shape (1, 1, tokens, tokens)."""
    count = len(is_image)
    allowed = torch.ones(count, count, dtype=torch.bool).tril()
    if known.ATTENTION.name in names:  # to each other, within an image or a pair
        starts = is_image & ~torch.cat([torch.zeros(1, dtype=torch.bool), is_image[:-1]])
        image = torch.where(is_image, starts.cumsum(0), torch.zeros((), dtype=torch.long))
        allowed |= (image[:, None] == image[None]) & is_image[:, None]
    return torch.zeros(count, count).masked_fill(~allowed, float("-inf"))[None, None]


def without(mask: Tensor, hidden: Collection[int]) -> Tensor:
    """Return a mask with some tokens seen by themselves alone; shape (1, 1, tokens, tokens), to the same."""
    if not hidden:
        return mask
    columns = sorted(hidden)
    changed = mask.clone()
    changed[..., columns] = float("-inf")
    changed[..., columns, columns] = 0.0  # what sees nothing at all has no attention to compute
    return changed
