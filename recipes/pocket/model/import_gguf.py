"""Reads a pair of GGUF files back into transformers: what llama.cpp runs is what the reference runs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from gguf import GGUFReader
from gguf.quants import dequantize
from transformers import (
    Qwen3VLConfig,
    Qwen3VLForConditionalGeneration,
    Qwen3VLMoeConfig,
    Qwen3VLMoeForConditionalGeneration,
)

from recipes.pocket.model.export_gguf import BLOCK, DEEPSTACK, DENSE, HEAD, MERGER, MOE, matrices_of
from recipes.pocket.model.tokenizer import IMAGE_END, IMAGE_PAD, IMAGE_START, assemble

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray
    from tokenizers import Tokenizer

    from recipes.pocket.model.export_gguf import Config

CHANNELS, FRAMES = 3, 2
OUTPUT, EMBEDDING = "output.weight", "token_embd.weight"


class Opened:
    """A GGUF file: its keys as Python values, its tensors in fp32 with GGUF's rows as numpy's.

    Parameters
    ----------
    path
        The file.
    """

    def __init__(self, path: Path) -> None:
        reader = GGUFReader(path)
        self.keys: dict[str, Any] = {name: field.contents() for name, field in reader.fields.items()}
        self.tensors: dict[str, NDArray[np.float32]] = {
            tensor.name: dequantize(tensor.data, tensor.tensor_type).astype(np.float32)
            for tensor in reader.tensors
        }
        self.architecture: str = self.keys["general.architecture"]
        self._path = path
        self._taken: set[str] = set()

    def take(self, name: str) -> NDArray[np.float32]:
        """Give a tensor, and note that it was used.

        Raises
        ------
        RuntimeError
            Where there is none of that name.
        """
        if name not in self.tensors:
            raise RuntimeError(f"{self._path}: {name} is missing")
        self._taken.add(name)
        return self.tensors[name]

    def verify_all_taken(self) -> None:
        """Demand that every tensor was used.

        Raises
        ------
        RuntimeError
            Naming those that were not.
        """
        if left := sorted(set(self.tensors) - self._taken):
            raise RuntimeError(f"{self._path}: nothing takes {', '.join(left)}")

    def __getitem__(self, key: str) -> Any:  # noqa: ANN401 - a key's value has the key's type
        """Give a key of the architecture, named without it."""
        return self.keys[f"{self.architecture}.{key}"]


def tokenizer_of(model: Opened) -> Tokenizer:
    """Give the tokenizer that a language model carries."""
    tokens = model.keys["tokenizer.ggml.tokens"]
    unused = {token for token in tokens if token.startswith("[PAD")}
    vocabulary = {token: number for number, token in enumerate(tokens) if token not in unused}
    merges = [(left, right) for left, right in map(str.split, model.keys["tokenizer.ggml.merges"])]
    return assemble(vocabulary, merges)


def config_of(model: Opened, mmproj: Opened) -> Config:
    """Give transformers' configuration of a pair."""
    numbers = {token: number for number, token in enumerate(model.keys["tokenizer.ggml.tokens"])}
    flags = mmproj["vision.is_deepstack_layers"]
    is_dense, is_tied = model.architecture == DENSE, OUTPUT not in model.tensors
    return (Qwen3VLConfig if is_dense else Qwen3VLMoeConfig)(
        text_config={
            "vocab_size": len(numbers),
            "hidden_size": model["embedding_length"],
            "intermediate_size": model["feed_forward_length"],
            "num_hidden_layers": model["block_count"],
            "num_attention_heads": model["attention.head_count"],
            "num_key_value_heads": model["attention.head_count_kv"],
            "head_dim": model["attention.key_length"],
            "max_position_embeddings": model["context_length"],
            "rms_norm_eps": model["attention.layer_norm_rms_epsilon"],
            "rope_parameters": {
                "rope_type": "default",
                "rope_theta": model["rope.freq_base"],
                "mrope_section": list(model["rope.dimension_sections"][:3]),
                "mrope_interleaved": True,
            },
            **({} if is_dense else experts_of(model)),
            "tie_word_embeddings": is_tied,
            "bos_token_id": model.keys["tokenizer.ggml.bos_token_id"],
            "eos_token_id": model.keys["tokenizer.ggml.eos_token_id"],
        },
        vision_config={
            "depth": mmproj["vision.block_count"],
            "hidden_size": mmproj["vision.embedding_length"],
            "intermediate_size": mmproj["vision.feed_forward_length"],
            "num_heads": mmproj["vision.attention.head_count"],
            "patch_size": mmproj["vision.patch_size"],
            "spatial_merge_size": mmproj["vision.spatial_merge_size"],
            "temporal_patch_size": FRAMES,
            "out_hidden_size": mmproj["vision.projection_dim"],
            "num_position_embeddings": len(mmproj.tensors["v.position_embd.weight"]),
            "deepstack_visual_indexes": [block for block, flag in enumerate(flags) if flag],
        },
        image_token_id=numbers[IMAGE_PAD],
        video_token_id=numbers["<|video_pad|>"],
        vision_start_token_id=numbers[IMAGE_START],
        vision_end_token_id=numbers[IMAGE_END],
        tie_word_embeddings=is_tied,
    )


def experts_of(model: Opened) -> dict[str, int]:
    """Give what only a mixture of experts has in its configuration."""
    return {
        "decoder_sparse_step": 1,
        "moe_intermediate_size": model["expert_feed_forward_length"],
        "num_experts": model["expert_count"],
        "num_experts_per_tok": model["expert_used_count"],
    }


def language_weights(file: Opened, layers: int) -> dict[str, NDArray[np.float32]]:
    """Give the language model's weights by transformers' names; the inverse of `language_tensors`."""
    base = "model.language_model"
    weights = {
        f"{base}.embed_tokens.weight": file.take(EMBEDDING),
        f"{base}.norm.weight": file.take("output_norm.weight"),
        HEAD: file.take(OUTPUT if OUTPUT in file.tensors else EMBEDDING),
    }
    for layer in range(layers):
        prefix = f"{base}.layers.{layer}"
        for name, target in matrices_of(file.architecture).items():
            weights[f"{prefix}.{target}.weight"] = file.take(f"blk.{layer}.{name}.weight")
        if file.architecture != MOE:
            continue
        gate, up, down = (file.take(f"blk.{layer}.ffn_{part}_exps.weight") for part in ("gate", "up", "down"))
        weights[f"{prefix}.mlp.experts.gate_up_proj"] = np.concatenate([gate, up], axis=1)
        weights[f"{prefix}.mlp.experts.down_proj"] = down
    return weights


def vision_weights(file: Opened, depth: int, deepstack: tuple[int, ...]) -> dict[str, NDArray[np.float32]]:
    """Give the vision tower's weights by transformers' names; the inverse of `vision_tensors`."""
    base = "model.visual"
    kernels = [file.take(f"v.patch_embd.weight{suffix}") for suffix in ("", ".1")]
    weights = {
        f"{base}.patch_embed.proj.weight": np.stack(kernels, axis=2),
        f"{base}.patch_embed.proj.bias": file.take("v.patch_embd.bias"),
        f"{base}.pos_embed.weight": file.take("v.position_embd.weight"),
    }
    pairs = {
        f"blocks.{n}.{target}": f"v.blk.{n}.{name}" for n in range(depth) for name, target in BLOCK.items()
    }
    pairs |= {f"merger.{target}": name for name, target in MERGER.items()}
    for index, block in enumerate(deepstack):
        target = f"deepstack_merger_list.{index}"
        pairs |= {f"{target}.{part}": f"v.deepstack.{block}.{name}" for name, part in DEEPSTACK.items()}
    for target, name in pairs.items():
        for suffix in ("weight", "bias"):
            weights[f"{base}.{target}.{suffix}"] = file.take(f"{name}.{suffix}")
    return weights


def load(model: Path, mmproj: Path) -> tuple[Any, Tokenizer]:
    """Give transformers' model in fp32, on the CPU, ready to be asked; and its tokenizer.

    Raises
    ------
    RuntimeError
        Where a weight is missing, too many or of another shape.
    """
    language, vision = Opened(model), Opened(mmproj)
    config = config_of(language, vision)
    config._attn_implementation = "eager"  # noqa: SLF001 - transformers' own name for this choice
    is_dense = language.architecture == DENSE
    made = Qwen3VLForConditionalGeneration if is_dense else Qwen3VLMoeForConditionalGeneration
    loaded: Any = made(config).float().eval()
    deepstack = tuple(config.vision_config.deepstack_visual_indexes)
    weights = language_weights(language, config.text_config.num_hidden_layers)
    weights |= vision_weights(vision, config.vision_config.depth, deepstack)
    language.verify_all_taken()
    vision.verify_all_taken()
    state = {name: torch.from_numpy(np.ascontiguousarray(value)) for name, value in weights.items()}
    loaded.load_state_dict(state, strict=True)
    return loaded, tokenizer_of(language)
