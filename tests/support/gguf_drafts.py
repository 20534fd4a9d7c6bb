"""GGUF files as bytes, good or bad, and the keys and tensors of tiny Qwen3-VL models that llama.cpp would load."""

from __future__ import annotations

import math
import struct
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

from recipes.models.gguf.reader import CODES, TENSOR_TYPES, Value, ValueType

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

F32, F16, Q4_0, Q8_0, Q8_1, I32 = 0, 1, 2, 8, 9, 26
HUGE = (1 << 64) - 1

Keys: TypeAlias = dict[str, Value]
Tensors: TypeAlias = dict[str, tuple[int, tuple[int, ...]]]


def text(content: str | bytes) -> bytes:
    data = content if isinstance(content, bytes) else content.encode()
    return struct.pack("<Q", len(data)) + data


def packed(kind: ValueType, content: object) -> bytes:
    if isinstance(content, str):
        return text(content)
    return struct.pack("<" + CODES[kind], content)


def key(name: str | bytes, kind: int, raw: bytes) -> bytes:
    return text(name) + struct.pack("<I", kind) + raw


def array(kind: int, count: int, raw: bytes) -> bytes:
    return struct.pack("<IQ", kind, count) + raw


def value_key(name: str, value: Value) -> bytes:
    if isinstance(value.content, tuple):
        items = b"".join(packed(value.type, item) for item in value.content)
        return key(name, 9, array(value.type, len(value.content), items))
    return key(name, value.type, packed(value.type, value.content))


def row(name: str | bytes, shape: Iterable[int], number: int = F32, offset: int = 0) -> bytes:
    sizes = tuple(shape)
    return text(name) + struct.pack(f"<I{len(sizes)}QIQ", len(sizes), *sizes, number, offset)


@dataclass(frozen=True)
class Draft:
    """A GGUF file as it will be written, good or bad."""

    keys: tuple[bytes, ...] = ()
    rows: tuple[bytes, ...] = ()
    data: bytes = b""
    version: int = 3
    key_count: int | None = None
    tensor_count: int | None = None
    alignment: int = 32

    def encode(self) -> bytes:
        counts = (
            len(self.rows) if self.tensor_count is None else self.tensor_count,
            len(self.keys) if self.key_count is None else self.key_count,
        )
        head = b"GGUF" + struct.pack("<IQQ", self.version, *counts) + b"".join((*self.keys, *self.rows))
        return head + bytes(-len(head) % self.alignment) + self.data


def sized(shape: Iterable[int], number: int) -> int:
    kind = TENSOR_TYPES[number]
    return math.prod(shape) // kind.block_values * kind.block_bytes


def whole_draft(
    keys: Mapping[str, Value], tensors: Mapping[str, tuple[int, tuple[int, ...]]], alignment: int = 32
) -> Draft:
    """A good file: tensors by name as (type, shape), one after the other."""
    rows, data = [], b""
    for name, (number, shape) in tensors.items():
        rows.append(row(name, shape, number, len(data)))
        data += bytes(sized(shape, number))
        data += bytes(-len(data) % alignment)
    written = tuple(value_key(name, value) for name, value in keys.items())
    return Draft(keys=written, rows=tuple(rows), data=data, alignment=alignment)


EVERY_TYPE = {
    "uint8": Value(ValueType.UINT8, 255),
    "int8": Value(ValueType.INT8, -128),
    "uint16": Value(ValueType.UINT16, 65535),
    "int16": Value(ValueType.INT16, -32768),
    "uint32": Value(ValueType.UINT32, 4294967295),
    "int32": Value(ValueType.INT32, -2147483648),
    "float32": Value(ValueType.FLOAT32, 0.5),
    "bool": Value(ValueType.BOOL, content=True),
    "string": Value(ValueType.STRING, "é\0\n"),
    "uint64": Value(ValueType.UINT64, HUGE),
    "int64": Value(ValueType.INT64, -(1 << 63)),
    "float64": Value(ValueType.FLOAT64, 1e300),
    "bools": Value(ValueType.BOOL, (True, False)),
    "strings": Value(ValueType.STRING, ("", "b")),
    "none": Value(ValueType.INT16, ()),
}


def number(content: int) -> Value:
    return Value(ValueType.UINT32, content)


def real(content: float) -> Value:
    return Value(ValueType.FLOAT32, content)


def word(content: str) -> Value:
    return Value(ValueType.STRING, content)


def words(*content: str) -> Value:
    return Value(ValueType.STRING, content)


def integers(*content: int) -> Value:
    return Value(ValueType.INT32, content)


def flags(*content: bool) -> Value:
    return Value(ValueType.BOOL, content)


def flag(*, content: bool) -> Value:
    return Value(ValueType.BOOL, content)


# Sizes that all differ, so that none can stand for another: 32 wide, 2 heads of 8 on 1 pair, 5 tokens.
TOKENIZER = {
    "tokenizer.ggml.model": word("gpt2"),
    "tokenizer.ggml.pre": word("qwen2"),
    "tokenizer.ggml.tokens": words("a", "b", "ab", "<|vision_start|>", "<|vision_end|>"),
    "tokenizer.ggml.token_type": integers(1, 1, 1, 3, 3),
    "tokenizer.ggml.merges": words("a b"),
    "tokenizer.ggml.eos_token_id": number(4),
}
COMMON = {
    "block_count": number(2),
    "context_length": number(64),
    "embedding_length": number(32),
    "attention.head_count": number(2),
    "attention.head_count_kv": number(1),
    "attention.key_length": number(8),
    "attention.value_length": number(8),
    "attention.layer_norm_rms_epsilon": real(0.5),
    "rope.freq_base": real(5000000.0),
    "rope.dimension_sections": integers(2, 1, 1, 0),
    "n_deepstack_layers": number(1),
}
EXPERTS = {
    "expert_count": number(4),
    "expert_used_count": number(2),
    "expert_feed_forward_length": number(24),
}
IDS = {"tokenizer.ggml.bos_token_id": number(0)}  # llama.cpp's own, 11, is beyond a tiny vocabulary
ATTENTION = {
    "attn_norm": (F32, (32,)),
    "attn_q": (F16, (32, 16)),
    "attn_k": (Q8_0, (32, 8)),
    "attn_v": (Q4_0, (32, 8)),
    "attn_output": (F16, (16, 32)),
    "attn_q_norm": (F32, (8,)),
    "attn_k_norm": (F32, (8,)),
    "ffn_norm": (F32, (32,)),
}
MIXTURE = {
    "ffn_gate_inp": (F32, (32, 4)),
    "ffn_gate_exps": (Q8_0, (32, 24, 4)),
    "ffn_up_exps": (F16, (32, 24, 4)),
    "ffn_down_exps": (F16, (24, 32, 4)),
}
FEED_FORWARD = {"ffn_gate": (F16, (32, 40)), "ffn_up": (F16, (32, 40)), "ffn_down": (F16, (40, 32))}


def model_keys(kind: str) -> Keys:
    sizes = COMMON | (EXPERTS if kind == "qwen3vlmoe" else {"feed_forward_length": number(40)})
    prefixed = {f"{kind}.{name}": value for name, value in sizes.items()}
    return {"general.architecture": word(kind), "general.name": word("Tiny"), **prefixed, **TOKENIZER, **IDS}


def model_tensors(kind: str) -> Tensors:
    block = ATTENTION | (MIXTURE if kind == "qwen3vlmoe" else FEED_FORWARD)
    return {
        "token_embd.weight": (F16, (32, 5)),
        "output_norm.weight": (F32, (32,)),
        **{f"blk.{index}.{name}.weight": row for index in range(2) for name, row in block.items()},
    }


MMPROJ_KEYS = {
    "general.architecture": word("clip"),
    "clip.has_vision_encoder": flag(content=True),
    "clip.projector_type": word("qwen3vl_merger"),
    "clip.use_gelu": flag(content=True),
    "clip.vision.block_count": number(2),
    "clip.vision.embedding_length": number(16),
    "clip.vision.feed_forward_length": number(24),
    "clip.vision.attention.head_count": number(2),
    "clip.vision.attention.layer_norm_epsilon": real(0.5),
    "clip.vision.projection_dim": number(32),
    "clip.vision.image_size": number(12),
    "clip.vision.patch_size": number(4),
    "clip.vision.spatial_merge_size": number(2),
    "clip.vision.image_mean": Value(ValueType.FLOAT32, (0.5, 0.5, 0.5)),
    "clip.vision.image_std": Value(ValueType.FLOAT32, (0.5, 0.5, 0.5)),
    "clip.vision.is_deepstack_layers": flags(False, True),  # noqa: FBT003 - one for each block
}


def linear(name: str, inputs: int, outputs: int) -> Tensors:
    return {f"{name}.weight": (F16, (inputs, outputs)), f"{name}.bias": (F32, (outputs,))}


def norm(name: str, width: int) -> Tensors:
    return {f"{name}.weight": (F32, (width,)), f"{name}.bias": (F32, (width,))}


def vision_block(index: int) -> Tensors:
    name = f"v.blk.{index}."
    return {
        **norm(name + "ln1", 16),
        **norm(name + "ln2", 16),
        **linear(name + "attn_qkv", 16, 48),
        **linear(name + "attn_out", 16, 16),
        **linear(name + "ffn_up", 16, 24),
        **linear(name + "ffn_down", 24, 16),
    }


def merger(index: int) -> Tensors:
    name = f"v.deepstack.{index}."
    return {**norm(name + "norm", 64), **linear(name + "fc1", 64, 64), **linear(name + "fc2", 64, 32)}


MMPROJ_TENSORS = {
    "v.patch_embd.weight": (F16, (4, 4, 3, 16)),
    "v.patch_embd.weight.1": (F16, (4, 4, 3, 16)),
    "v.patch_embd.bias": (F32, (16,)),
    "v.position_embd.weight": (F32, (16, 9)),
    **vision_block(0),
    **vision_block(1),
    **merger(1),
    **norm("v.post_ln", 16),
    **linear("mm.0", 64, 64),
    **linear("mm.2", 64, 32),
}

MODEL = whole_draft(model_keys("qwen3vlmoe"), model_tensors("qwen3vlmoe")).encode()
MMPROJ = whole_draft(MMPROJ_KEYS, MMPROJ_TENSORS).encode()
MIXED = whole_draft(EVERY_TYPE, {"a": (Q8_0, (32, 3)), "b": (F32, (5, 1, 2, 1))}).encode()
