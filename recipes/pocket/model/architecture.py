"""The pocket model's shape: Qwen3-VL-MoE with every part that the large one has, each as small as it can be.

The language model's rows are 256 wide, so that llama-quantize's K-quants, whose blocks are 256 values, apply to
all of its matrices but `ffn_down_exps`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from transformers import (
    Qwen3VLConfig,
    Qwen3VLForConditionalGeneration,
    Qwen3VLMoeConfig,
    Qwen3VLMoeForConditionalGeneration,
)

from recipes.evalset.image_sizes import MERGE, PATCH_PX
from recipes.pocket.model.tokenizer import END, END_OF_TEXT, IMAGE_END, IMAGE_PAD, IMAGE_START, VOCABULARY

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from typing import TypeAlias

    from tokenizers import Tokenizer

    Config: TypeAlias = Qwen3VLMoeConfig | Qwen3VLConfig

HIDDEN = 256
# Of 32 frequencies; uneven between height and width too, so that no two parts can change places unseen.
MROPE_SECTION = (14, 10, 8)
POSITIONS_PER_SIDE = 14  # of the learned position embedding; images of other grids interpolate it
TEXT: dict[str, Any] = {
    "vocab_size": VOCABULARY,
    "hidden_size": HIDDEN,
    "intermediate_size": 256,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 64,
    "max_position_embeddings": 4096,
    "rms_norm_eps": 1e-6,
    "rope_theta": 5_000_000.0,  # as published
    "mrope_section": MROPE_SECTION,
    "moe_intermediate_size": 128,
    "num_experts": 8,
    "num_experts_per_tok": 2,
    "initializer_range": 0.04,
}
VISION: dict[str, Any] = {
    "depth": 6,
    "hidden_size": 128,
    "intermediate_size": 384,
    "num_heads": 4,
    "patch_size": PATCH_PX,
    "spatial_merge_size": MERGE,
    "out_hidden_size": HIDDEN,
    "num_position_embeddings": POSITIONS_PER_SIDE**2,
    "deepstack_visual_indexes": [1, 3],
    "initializer_range": 0.04,
}


def make_config(
    text: Mapping[str, Any],
    vision: Mapping[str, Any],
    number_of: Callable[[str], int],
    *,
    is_dense: bool = False,
    is_tied: bool = False,
) -> Config:
    """Return transformers' configuration of a Qwen3-VL; `number_of` returns a special token's number.

    `rope_theta` and `mrope_section` are keys of `text`. Where it `is_tied`, the head is the embedding.
    """
    language = dict(text)
    language["rope_parameters"] = {
        "rope_type": "default",
        "rope_theta": language.pop("rope_theta"),
        "mrope_section": list(language.pop("mrope_section")),
        "mrope_interleaved": True,
    }
    language |= {"tie_word_embeddings": is_tied} | ({} if is_dense else {"decoder_sparse_step": 1})
    return (Qwen3VLConfig if is_dense else Qwen3VLMoeConfig)(
        text_config=language,
        vision_config={**vision, "temporal_patch_size": 2},
        image_token_id=number_of(IMAGE_PAD),
        video_token_id=number_of("<|video_pad|>"),
        vision_start_token_id=number_of(IMAGE_START),
        vision_end_token_id=number_of(IMAGE_END),
        tie_word_embeddings=is_tied,
    )


def special_tokens(tokenizer: Tokenizer) -> dict[str, int]:
    """Return the numbers of the tokens that begin and end a text, by their names in the configuration."""
    numbers = {"bos_token_id": END_OF_TEXT, "eos_token_id": END}
    return {name: tokenizer.token_to_id(token) for name, token in numbers.items()}


def instantiate(config: Config, attention: str) -> Any:  # noqa: ANN401 - transformers' model
    """Return a model with random weights, in fp32; `attention` is the implementation as transformers names it."""
    config._attn_implementation = attention  # noqa: SLF001 - transformers' own name for this choice
    is_sparse = isinstance(config, Qwen3VLMoeConfig)
    made = Qwen3VLMoeForConditionalGeneration if is_sparse else Qwen3VLForConditionalGeneration
    return made(config).float()


def new_model(tokenizer: Tokenizer, seed: int = 0) -> Any:  # noqa: ANN401 - as above
    """Return a pocket model with random weights, in fp32."""
    torch.manual_seed(seed)
    text = TEXT | special_tokens(tokenizer)
    return instantiate(make_config(text, VISION, tokenizer.token_to_id), "sdpa")
