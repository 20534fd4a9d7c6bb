"""A projector of the 30B-A3B's shape with random weights, and the language model that it fits."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from recipes.manifest.load import PROJECT
from tests.benchmarks.synthetic_model import Shape, write_model

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    import gguf

VOCABULARY_OF = PROJECT / "tests" / "data" / "pocket" / "pocket-qwen3-vl-moe-f16.gguf"
VOCABULARY = 544  # rows of its embedding
SECTIONS = (24, 20, 20, 0)
SPREAD = 0.02  # of the weights
F16 = 1  # LLAMA_FTYPE_MOSTLY_F16


@dataclass(frozen=True)
class VisionShape:
    blocks: int = 27
    width: int = 1152
    heads: int = 16
    hidden: int = 4304
    patch: int = 16
    merge: int = 2
    positions: int = 2304
    deepstack: tuple[int, ...] = (8, 16, 24)
    out: int = 2048

    def matrices(self) -> Iterator[tuple[str, tuple[int, ...]]]:
        """Return each layer's name and the shape of its weight, the contiguous dimension last."""
        merged = self.width * self.merge**2
        for block in range(self.blocks):
            yield f"v.blk.{block}.attn_qkv", (3 * self.width, self.width)
            yield f"v.blk.{block}.attn_out", (self.width, self.width)
            yield f"v.blk.{block}.ffn_up", (self.hidden, self.width)
            yield f"v.blk.{block}.ffn_down", (self.width, self.hidden)
        for index in self.deepstack:
            yield f"v.deepstack.{index}.fc1", (merged, merged)
            yield f"v.deepstack.{index}.fc2", (self.out, merged)
        yield "mm.0", (merged, merged)
        yield "mm.2", (self.out, merged)

    def norms(self) -> Iterator[tuple[str, int]]:
        """Return each norm's name and length."""
        for block in range(self.blocks):
            yield f"v.blk.{block}.ln1", self.width
            yield f"v.blk.{block}.ln2", self.width
        for index in self.deepstack:
            yield f"v.deepstack.{index}.norm", self.width * self.merge**2
        yield "v.post_ln", self.width


TINY = VisionShape(blocks=2, width=64, heads=2, hidden=128, positions=196, deepstack=(0,), out=256)


def write_pair(model: Path, mmproj: Path, shape: Shape, vision: VisionShape) -> None:
    """Write a language model in blocks of Q4_K and Q6_K, and a projector in f16."""

    def describe(writer: gguf.GGUFWriter) -> None:
        writer.add_rope_dimension_sections(SECTIONS)
        writer.add_num_deepstack_layers(len(vision.deepstack))
        copy_vocabulary(writer, shape.vocabulary)

    write_model(model, shape, "qwen3vlmoe", describe)
    write_projector(mmproj, vision)


def copy_vocabulary(writer: gguf.GGUFWriter, rows: int) -> None:
    """Add the pocket model's vocabulary and chat template, filled up to the embedding's rows with unused tokens."""
    import gguf

    kinds = gguf.GGUFValueType
    for name, field in gguf.GGUFReader(VOCABULARY_OF).fields.items():
        if not name.startswith("tokenizer."):
            continue
        value = field.contents()
        if name == "tokenizer.ggml.tokens":
            value = [*value, *(f"[PAD{number}]" for number in range(len(value), rows))]
        if name == "tokenizer.ggml.token_type":
            value = [*value, *([int(gguf.TokenType.UNUSED)] * (rows - len(value)))]
        inner = field.types[-1] if field.types[0] is kinds.ARRAY else None
        writer.add_key_value(name, value, field.types[0], inner)


def write_projector(path: Path, shape: VisionShape) -> None:
    import gguf
    import numpy as np

    rng = np.random.default_rng(1)

    def random(*dimensions: int, exact: bool = False) -> np.ndarray[Any, Any]:
        values = rng.standard_normal(dimensions, np.float32) * SPREAD
        return values if exact else values.astype(np.float16)

    writer = gguf.GGUFWriter(path, "clip")
    writer.add_type("mmproj")
    writer.add_file_type(F16)
    writer.add_clip_has_vision_encoder(value=True)
    writer.add_clip_projector_type("qwen3vl_merger")
    writer.add_vision_projection_dim(shape.out)
    writer.add_vision_image_size(int(shape.positions**0.5) * shape.patch)
    writer.add_vision_patch_size(shape.patch)
    writer.add_vision_embedding_length(shape.width)
    writer.add_vision_feed_forward_length(shape.hidden)
    writer.add_vision_block_count(shape.blocks)
    writer.add_vision_head_count(shape.heads)
    writer.add_vision_image_mean((0.5, 0.5, 0.5))
    writer.add_vision_image_std((0.5, 0.5, 0.5))
    writer.add_vision_spatial_merge_size(shape.merge)
    writer.add_vision_attention_layernorm_eps(1e-6)
    writer.add_vision_use_gelu(value=True)
    writer.add_vision_is_deepstack_layers([block in shape.deepstack for block in range(shape.blocks)])
    for suffix in ("weight", "weight.1"):  # one for each of two equal frames
        writer.add_tensor(f"v.patch_embd.{suffix}", random(shape.width, 3, shape.patch, shape.patch))
    writer.add_tensor("v.patch_embd.bias", random(shape.width, exact=True))
    writer.add_tensor("v.position_embd.weight", random(shape.positions, shape.width, exact=True))
    for name, dimensions in shape.matrices():
        writer.add_tensor(f"{name}.weight", random(*dimensions))
        writer.add_tensor(f"{name}.bias", random(dimensions[0], exact=True))
    for name, length in shape.norms():
        writer.add_tensor(f"{name}.weight", np.ones(length, np.float32))
        writer.add_tensor(f"{name}.bias", np.zeros(length, np.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
