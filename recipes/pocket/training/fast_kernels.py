"""The same arithmetic with fewer kernels, for training: batched vision attention, all experts at once.

Each replacement gives what transformers' own code gives, up to rounding; a test compares them. Nothing here is
used where the model is checked.
"""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import torch
from torch.nn import functional
from transformers.models.qwen3_vl_moe import modeling_qwen3_vl_moe as modeling

from recipes.pocket.model.replaced import replaced

if TYPE_CHECKING:
    from collections.abc import Iterator

    from torch import Tensor

    from recipes.pocket.model.batches import Batch, Packing


@contextmanager
def quick() -> Iterator[None]:
    """Use the replacements within the block."""
    attention, experts = modeling.Qwen3VLMoeVisionAttention, modeling.Qwen3VLMoeTextExperts
    with replaced(attention, forward=_attend), replaced(experts, forward=_all_experts):
        yield


def embed_images(visual: Any, pixels: Tensor, grids: Tensor, packing: Packing) -> tuple[Tensor, list[Tensor]]:  # noqa: ANN401 - transformers' module
    """Return the vision tower's output for each image token, and that of each DeepStack merger.

    `pixels` has the shape (patches, values), `grids` (images, 3).
    """
    hidden = visual.patch_embed(pixels)
    mixed = (visual.pos_embed(packing.taps) * packing.shares[:, :, None]).sum(1)
    hidden = hidden + mixed.to(hidden.dtype)
    turned = visual.rotary_pos_emb(hidden, packing.places)
    levels = []
    for index, block in enumerate(visual.blocks):
        hidden = block(hidden, cu_seqlens=grids, position_embeddings=turned, packing=packing)
        if index in visual.deepstack_visual_indexes:
            merger = visual.deepstack_merger_list[visual.deepstack_visual_indexes.index(index)]
            levels.append(merger(hidden))
    return visual.merger(hidden), levels


def read(language: Any, embedded: Tensor, batch: Batch, levels: list[Tensor]) -> Tensor:  # noqa: ANN401 - as above
    """Run the language model on conversations that are padded at their ends: causality alone hides the padding.

    Embeddings and result have the shape (conversations, tokens, width); `levels` are of the DeepStack mergers.
    """
    hidden, shape = embedded, embedded.shape
    turned = language.rotary_emb(hidden, batch.positions)
    for index, layer in enumerate(language.layers):
        hidden = layer(hidden, position_embeddings=turned, attention_mask=None)
        if index < len(levels) and batch.packing is not None:
            flat = hidden.reshape(-1, shape[-1])
            level = levels[index].to(flat.dtype)
            hidden = flat.index_add(0, batch.packing.image_tokens, level).reshape(shape)
    normed: Tensor = language.norm(hidden)
    return normed


def _attend(
    self: Any,  # noqa: ANN401 - transformers' module
    hidden_states: Tensor,
    *,
    position_embeddings: tuple[Tensor, Tensor],
    packing: Packing,
    **_: object,
) -> Tensor:
    """Attend within each image, all images in one call: shorter ones are padded, and the padding is masked."""
    total = len(hidden_states)
    query, key, value = self.qkv(hidden_states).reshape(total, 3, self.num_heads, -1).unbind(1)
    query, key = modeling.apply_rotary_pos_emb_vision(query, key, *position_embeddings)
    images, longest = len(packing.lengths), packing.longest

    def pad(rows: Tensor) -> Tensor:
        padded = rows.new_zeros(images * longest, *rows.shape[1:])
        padded = padded.index_copy(0, packing.slots, rows)
        return padded.reshape(images, longest, *rows.shape[1:]).transpose(1, 2)

    mask = torch.arange(longest, device=packing.lengths.device)[None] < packing.lengths[:, None]
    attended = functional.scaled_dot_product_attention(
        pad(query), pad(key), pad(value.to(query.dtype)), attn_mask=mask[:, None, None], scale=self.scaling
    )
    rows = attended.transpose(1, 2).reshape(images * longest, -1)
    return self.proj(rows.index_select(0, packing.slots))


def _all_experts(self: Any, hidden_states: Tensor, top_k_index: Tensor, top_k_weights: Tensor) -> Tensor:  # noqa: ANN401 - as above
    """Run every token through every expert, and weigh what the router did not choose with nothing."""
    weights = torch.zeros(len(hidden_states), self.num_experts, device=hidden_states.device)
    weights = weights.scatter(1, top_k_index, top_k_weights.float())
    gate, up = torch.einsum("td,efd->etf", hidden_states, self.gate_up_proj.to(hidden_states.dtype)).chunk(
        2, -1
    )
    inner = self.act_fn(gate) * up * weights.T[..., None].to(hidden_states.dtype)
    return torch.einsum("etf,edf->td", inner, self.down_proj.to(inner.dtype))
