"""Writes small GGUF files by hand, good and bad ones.

The format is that of ggml's docs/gguf.md: magic, version, counts, typed keys, tensor infos, aligned data.
"""

from __future__ import annotations

import random
import struct
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

ALIGNMENT = 32
UINT32, FLOAT32, STRING, ARRAY, INT32 = 4, 6, 8, 9, 5
NORMAL, UNKNOWN, CONTROL, BYTE = 1, 2, 3, 6
EMBEDDING, FEED_FORWARD, HEADS, LAYERS = 256, 512, 4, 2


def text(value: str) -> bytes:
    data = value.encode()
    return struct.pack("<Q", len(data)) + data


def key(name: str, kind: int, value: bytes) -> bytes:
    return text(name) + struct.pack("<I", kind) + value


def number(name: str, value: int) -> bytes:
    return key(name, UINT32, struct.pack("<I", value))


def array(name: str, kind: int, items: list[bytes]) -> bytes:
    return key(name, ARRAY, struct.pack("<IQ", kind, len(items)) + b"".join(items))


def vocabulary() -> list[tuple[str, float, int]]:
    special = [("<unk>", 0.0, UNKNOWN), ("<s>", 0.0, CONTROL), ("</s>", 0.0, CONTROL)]
    letters = [(chr(code), -float(code), NORMAL) for code in range(ord("a"), ord("z") + 1)]
    return [*special, *((f"<0x{byte:02X}>", 0.0, BYTE) for byte in range(256)), *letters]


def llama_model(path: Path, *, architecture: str = "llama", seed: int = 1) -> Path:
    """A random llama of 2 layers in F32 (about 6 MB), that tokenises bytes."""
    tokens = vocabulary()
    keys = [
        key("general.architecture", STRING, text(architecture)),
        number(f"{architecture}.block_count", LAYERS),
        number(f"{architecture}.context_length", 512),
        number(f"{architecture}.embedding_length", EMBEDDING),
        number(f"{architecture}.feed_forward_length", FEED_FORWARD),
        number(f"{architecture}.attention.head_count", HEADS),
        number(f"{architecture}.rope.dimension_count", EMBEDDING // HEADS),
        key(f"{architecture}.attention.layer_norm_rms_epsilon", FLOAT32, struct.pack("<f", 1e-5)),
        key("tokenizer.ggml.model", STRING, text("llama")),
        array("tokenizer.ggml.tokens", STRING, [text(token) for token, _, _ in tokens]),
        array("tokenizer.ggml.scores", FLOAT32, [struct.pack("<f", score) for _, score, _ in tokens]),
        array("tokenizer.ggml.token_type", INT32, [struct.pack("<i", kind) for _, _, kind in tokens]),
        number("tokenizer.ggml.bos_token_id", 1),
        number("tokenizer.ggml.eos_token_id", 2),
    ]
    shapes: dict[str, tuple[int, ...]] = {
        "token_embd.weight": (EMBEDDING, len(tokens)),
        "output_norm.weight": (EMBEDDING,),
        "output.weight": (EMBEDDING, len(tokens)),
    }
    for layer in range(LAYERS):
        square = dict.fromkeys(("attn_q", "attn_k", "attn_v", "attn_output"), (EMBEDDING, EMBEDDING))
        block: dict[str, tuple[int, ...]] = {
            **square,
            "attn_norm": (EMBEDDING,),
            "ffn_norm": (EMBEDDING,),
            "ffn_gate": (EMBEDDING, FEED_FORWARD),
            "ffn_up": (EMBEDDING, FEED_FORWARD),
            "ffn_down": (FEED_FORWARD, EMBEDDING),
        }
        shapes |= {f"blk.{layer}.{name}.weight": shape for name, shape in block.items()}
    infos, data = b"", b""
    source = random.Random(seed)
    for name, shape in shapes.items():
        infos += (
            text(name) + struct.pack("<I", len(shape)) + b"".join(struct.pack("<Q", size) for size in shape)
        )
        infos += struct.pack("<IQ", 0, len(data))
        count = shape[0] * (shape[1] if len(shape) > 1 else 1)
        values = [1.0] * count if len(shape) == 1 else [source.gauss(0, 0.05) for _ in range(count)]
        data += struct.pack(f"<{count}f", *values)
        data += b"\0" * (-len(data) % ALIGNMENT)
    head = b"GGUF" + struct.pack("<IQQ", 3, len(shapes), len(keys)) + b"".join(keys) + infos
    path.write_bytes(head + b"\0" * (-len(head) % ALIGNMENT) + data)
    return path
