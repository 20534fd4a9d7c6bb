"""A file with the head of Qwen3-VL-30B-A3B in Q4_K_M, its projector's in F16, and holes where the tensors' data is.

The shape is the published one; keys, number of tokens and of merges too. It takes up some megabytes on the disk.
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING

from recipes.models.gguf.reader import Value, ValueType
from recipes.models.gguf.tensor_shapes import mmproj_shapes, model_shapes
from tests.support.gguf_drafts import (
    MMPROJ_KEYS,
    flags,
    integers,
    model_keys,
    number,
    row,
    sized,
    value_key,
    words,
)

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from recipes.models.gguf.tensor_shapes import Shapes

F32, F16 = 0, 1
Q4_K, Q6_K = 12, 14
TOKENS, MERGES = 151_936, 151_387
SIZES = {
    "block_count": 48,
    "context_length": 262_144,
    "embedding_length": 2048,
    "attention.head_count": 32,
    "attention.head_count_kv": 4,
    "attention.key_length": 128,
    "attention.value_length": 128,
    "expert_count": 128,
    "expert_used_count": 8,
    "expert_feed_forward_length": 768,
    "n_deepstack_layers": 3,
}
VISION = {
    "block_count": 27,
    "embedding_length": 1152,
    "feed_forward_length": 4304,
    "attention.head_count": 16,
    "projection_dim": 2048,
    "image_size": 768,
    "patch_size": 16,
    "spatial_merge_size": 2,
}
DEEPSTACK = (8, 16, 24)
MARKERS = ("<|vision_start|>", "<|vision_end|>", "<|im_end|>")
TEMPLATE = "{%- if tools %}...{%- endif %}{% for m in messages %}<|im_start|>{{ m.role }}<|vision_start|><|image_pad|>"


def type_of(name: str, shape: tuple[int, ...]) -> int:
    """The mix of Q4_K_M: Q6_K in the output, and in half of what goes down and of the values."""
    if len(shape) == 1 or "ffn_gate_inp" in name:
        return F32
    block = int(name.split(".")[1]) if name.startswith("blk.") else 0
    more = ("ffn_down" in name or "attn_v" in name) and (block < 6 or block >= 42 or block % 3 == 2)
    return Q6_K if name == "output.weight" or more else Q4_K


def write_model(path: Path) -> int:
    """Write the language model; give its size."""
    keys = model_keys("qwen3vlmoe") | {f"qwen3vlmoe.{name}": number(size) for name, size in SIZES.items()}
    keys["qwen3vlmoe.rope.dimension_sections"] = integers(24, 20, 20, 0)
    letters = [f"piece{index}" for index in range(TOKENS - len(MARKERS))]
    keys["tokenizer.ggml.tokens"] = words(*letters, *MARKERS)
    keys["tokenizer.ggml.token_type"] = integers(*(1,) * len(letters), *(3,) * len(MARKERS))
    keys["tokenizer.ggml.merges"] = words(*(f"pi ece{index}" for index in range(MERGES)))
    keys["tokenizer.ggml.eos_token_id"] = number(TOKENS - 1)
    keys["tokenizer.chat_template"] = Value(ValueType.STRING, TEMPLATE)
    keys["general.file_type"] = number(15)
    shapes = model_shapes(SIZES, TOKENS)
    return _write(path, keys, shapes, {name: type_of(name, shape) for name, shape in shapes.items()})


def write_mmproj(path: Path) -> int:
    """Write the projector; give its size."""
    keys = dict(MMPROJ_KEYS) | {f"clip.vision.{name}": number(size) for name, size in VISION.items()}
    keys["clip.vision.is_deepstack_layers"] = flags(
        *(index in DEEPSTACK for index in range(VISION["block_count"]))
    )
    shapes = mmproj_shapes(VISION, DEEPSTACK)
    types = {name: F32 if len(shape) == 1 or "position" in name else F16 for name, shape in shapes.items()}
    return _write(path, keys, shapes, types)


def _write(path: Path, keys: Mapping[str, Value], shapes: Shapes, types: Mapping[str, int]) -> int:
    rows, offset = [], 0
    for name, shape in shapes.items():
        rows.append(row(name, shape, types[name], offset))
        offset += sized(shape, types[name])
        offset += -offset % 32
    written = [value_key(name, value) for name, value in keys.items()]
    head = b"GGUF" + struct.pack("<IQQ", 3, len(rows), len(written)) + b"".join((*written, *rows))
    with path.open("wb") as file:
        file.write(head)
        size_bytes = len(head) + -len(head) % 32 + offset
        file.truncate(size_bytes)
    return size_bytes
