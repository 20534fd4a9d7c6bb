"""The pocket model's shape: Qwen3-VL-MoE with every part that the large one has, each as small as it can be.

The language model's rows are 256 wide, so that llama-quantize's K-quants, whose blocks are 256 values, apply to
all of its matrices but `ffn_down_exps`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from transformers import Qwen3VLMoeConfig, Qwen3VLMoeForConditionalGeneration

from recipes.evalset.image_sizes import MERGE, PATCH_PX
from recipes.pocket.model.tokenizer import END, END_OF_TEXT, IMAGE_END, IMAGE_PAD, IMAGE_START, VOCABULARY

if TYPE_CHECKING:
    from tokenizers import Tokenizer

HIDDEN = 256
HEAD = 64
# Of 32 frequencies; uneven between height and width too, so that no two parts can change places unseen.
MROPE_SECTION = (14, 10, 8)
ROPE_THETA = 5_000_000.0  # as published
CONTEXT = 4096
POSITIONS_PER_SIDE = 14  # of the learned position embedding; images of other grids interpolate it


def pocket_config(tokenizer: Tokenizer) -> Qwen3VLMoeConfig:
    """Give the configuration of the pocket model, with the tokenizer's special tokens."""
    return Qwen3VLMoeConfig(
        text_config={
            "vocab_size": VOCABULARY,
            "hidden_size": HIDDEN,
            "intermediate_size": 256,
            "num_hidden_layers": 3,
            "num_attention_heads": 4,
            "num_key_value_heads": 2,
            "head_dim": HEAD,
            "max_position_embeddings": CONTEXT,
            "rms_norm_eps": 1e-6,
            "rope_parameters": {
                "rope_type": "default",
                "rope_theta": ROPE_THETA,
                "mrope_section": list(MROPE_SECTION),
                "mrope_interleaved": True,
            },
            "decoder_sparse_step": 1,
            "moe_intermediate_size": 128,
            "num_experts": 8,
            "num_experts_per_tok": 2,
            "tie_word_embeddings": False,
            "initializer_range": 0.04,
            "bos_token_id": tokenizer.token_to_id(END_OF_TEXT),
            "eos_token_id": tokenizer.token_to_id(END),
        },
        vision_config={
            "depth": 6,
            "hidden_size": 128,
            "intermediate_size": 384,
            "num_heads": 4,
            "patch_size": PATCH_PX,
            "spatial_merge_size": MERGE,
            "temporal_patch_size": 2,
            "out_hidden_size": HIDDEN,
            "num_position_embeddings": POSITIONS_PER_SIDE**2,
            "deepstack_visual_indexes": [1, 3],
            "initializer_range": 0.04,
        },
        image_token_id=tokenizer.token_to_id(IMAGE_PAD),
        video_token_id=tokenizer.token_to_id("<|video_pad|>"),
        vision_start_token_id=tokenizer.token_to_id(IMAGE_START),
        vision_end_token_id=tokenizer.token_to_id(IMAGE_END),
        tie_word_embeddings=False,
    )


def new_model(tokenizer: Tokenizer, seed: int = 0) -> Qwen3VLMoeForConditionalGeneration:
    """Give a pocket model with random weights, in fp32."""
    torch.manual_seed(seed)
    config = pocket_config(tokenizer)
    config._attn_implementation = "sdpa"  # noqa: SLF001 - transformers' own name for this choice
    return Qwen3VLMoeForConditionalGeneration(config).float()
