"""A model of the 30B-A3B's shape with few layers and random weights, in the Q4_K_M mix of block formats.

Block formats: `block_q4_K` and `block_q6_K` of ggml-common.h. The mix is that of llama-quant.cpp: Q4_K, with
Q6_K in the output and in half of the layers' attn_v and ffn_down.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    import gguf
    import numpy as np

SCALE = 1e-4  # of a block, as float16: sums stay finite, where random bits would give NaN
# Of a Q4_K block's offsets against its scales: a weight is scale * (0 to 15) - offset, and its mean is zero. With
# another mean a layer's values have one sign and grow; a GPU that keeps sums in half precision died of prompts then.
OFFSET = 7.5
Q4_K_M = 15  # LLAMA_FTYPE_MOSTLY_Q4_K_M


@dataclass(frozen=True)
class Shape:
    layers: int = 4
    vocabulary: int = 151_936
    embedding: int = 2048
    heads: int = 32
    kv_heads: int = 4
    head: int = 128
    experts: int = 128
    experts_used: int = 8
    expert_hidden: int = 768

    def matrices(self) -> Iterator[tuple[str, tuple[int, ...], bool]]:
        """Return each matrix: name, shape with the contiguous dimension last, and whether it is Q6_K."""
        wide = self.heads * self.head
        narrow = self.kv_heads * self.head
        yield "token_embd", (self.vocabulary, self.embedding), False
        yield "output", (self.vocabulary, self.embedding), True
        for layer in range(self.layers):
            fine = layer % 2 == 0
            yield f"blk.{layer}.attn_q", (wide, self.embedding), False
            yield f"blk.{layer}.attn_k", (narrow, self.embedding), False
            yield f"blk.{layer}.attn_v", (narrow, self.embedding), fine
            yield f"blk.{layer}.attn_output", (self.embedding, wide), False
            yield f"blk.{layer}.ffn_gate_exps", (self.experts, self.expert_hidden, self.embedding), False
            yield f"blk.{layer}.ffn_up_exps", (self.experts, self.expert_hidden, self.embedding), False
            yield f"blk.{layer}.ffn_down_exps", (self.experts, self.embedding, self.expert_hidden), fine

    def vectors(self) -> Iterator[tuple[str, int]]:
        """Return each vector of ones, float32 as the router of each layer is: name and length."""
        yield "output_norm", self.embedding
        for layer in range(self.layers):
            yield f"blk.{layer}.attn_norm", self.embedding
            yield f"blk.{layer}.ffn_norm", self.embedding
            yield f"blk.{layer}.attn_q_norm", self.head
            yield f"blk.{layer}.attn_k_norm", self.head


TINY = Shape(
    layers=1, vocabulary=544, embedding=256, heads=2, kv_heads=1, experts=4, experts_used=2, expert_hidden=256
)


def block_bytes(*, is_q6: bool) -> int:
    """Return the bytes of a block of 256 weights."""
    return 210 if is_q6 else 144


def random_blocks(rng: np.random.Generator, shape: tuple[int, ...], *, is_q6: bool) -> np.ndarray:
    """Return random valid blocks of 256 weights, as bytes: `shape` with its last dimension in bytes."""
    import numpy as np

    # Q4_K: d and dmin first; Q6_K: d last
    scales_at, scales = (208, [SCALE]) if is_q6 else (0, [SCALE, OFFSET * SCALE])
    size_bytes = block_bytes(is_q6=is_q6)
    *rows, width = shape
    blocks = np.frombuffer(bytearray(rng.bytes(math.prod(shape) // 256 * size_bytes)), np.uint8)
    blocks = blocks.reshape(-1, size_bytes)
    scale = np.frombuffer(np.array(scales, np.float16).tobytes(), np.uint8)
    blocks[:, scales_at : scales_at + len(scale)] = scale
    return blocks.reshape(*rows, width // 256 * size_bytes)


def without_vocabulary(writer: gguf.GGUFWriter) -> None:
    writer.add_tokenizer_model("no_vocab")


def write_model(
    path: Path,
    shape: Shape,
    architecture: str = "qwen3moe",
    describe: Callable[[gguf.GGUFWriter], None] = without_vocabulary,
) -> None:
    """Write the model; the same shape gives the same bytes. `describe` adds the vocabulary and what else there is."""
    import gguf
    import numpy as np

    rng = np.random.default_rng(0)
    writer = gguf.GGUFWriter(path, architecture)
    writer.add_context_length(4096)
    writer.add_embedding_length(shape.embedding)
    writer.add_block_count(shape.layers)
    writer.add_feed_forward_length(3 * shape.embedding)
    writer.add_expert_feed_forward_length(shape.expert_hidden)
    writer.add_head_count(shape.heads)
    writer.add_head_count_kv(shape.kv_heads)
    writer.add_key_length(shape.head)
    writer.add_value_length(shape.head)
    writer.add_layer_norm_rms_eps(1e-6)
    writer.add_expert_count(shape.experts)
    writer.add_expert_used_count(shape.experts_used)
    writer.add_rope_freq_base(1e6)
    writer.add_vocab_size(shape.vocabulary)
    writer.add_file_type(Q4_K_M)
    writer.add_quantization_version(gguf.GGML_QUANT_VERSION)
    describe(writer)
    kinds = (gguf.GGMLQuantizationType.Q4_K, gguf.GGMLQuantizationType.Q6_K)
    routers = [f"blk.{layer}.ffn_gate_inp" for layer in range(shape.layers)]
    dimensions = (shape.experts, shape.embedding)
    for name, length in shape.vectors():
        writer.add_tensor_info(f"{name}.weight", (length,), np.dtype(np.float32), 4 * length)
    for name in routers:
        writer.add_tensor_info(f"{name}.weight", dimensions, np.dtype(np.float32), 4 * math.prod(dimensions))
    for name, (*rows, width), is_q6 in shape.matrices():
        stored = (*rows, width // 256 * block_bytes(is_q6=is_q6))
        writer.add_tensor_info(
            f"{name}.weight", stored, np.dtype(np.uint8), math.prod(stored), raw_dtype=kinds[is_q6]
        )
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_ti_data_to_file()
    # one at a time: all of a model of the full size do not fit into memory
    for _, length in shape.vectors():
        writer.write_tensor_data(np.ones(length, np.float32))
    for _ in routers:
        writer.write_tensor_data(rng.standard_normal(dimensions, np.float32) / shape.embedding**0.5)
    for _, whole, is_q6 in shape.matrices():
        writer.write_tensor_data(random_blocks(rng, whole, is_q6=is_q6))
    writer.close()
