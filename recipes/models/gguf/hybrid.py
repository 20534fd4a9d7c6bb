"""Qwen3.5's and 3.6's mixture of experts: layers of linear attention, their tensors, and the memory they keep. Pure.

From src/models/qwen35moe.cpp, llama-hparams.cpp and llama-memory-recurrent.cpp of llama.cpp, and its converter. Three
of four layers keep one state of a fixed size for each request, whatever its length; the fourth has keys and values.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Container, Mapping

    from recipes.models.gguf.findings import Look
    from recipes.models.gguf.optional_keys import Rule
    from recipes.models.gguf.tensor_shapes import Shapes

NAME = "qwen35moe"
SPLITTER = "qwen35"
INTERVAL = 4  # llama.cpp's default: each fourth layer has full attention
MOST_BLOCKS = 1024
MARKS, DRAFTS = f"{NAME}.attention.recurrent_layers", f"{NAME}.nextn_predict_layers"
STATE_SIZES = tuple(
    f"ssm.{name}" for name in ("conv_kernel", "inner_size", "state_size", "time_step_rank", "group_count")
)
RULES: Mapping[str, Rule] = {
    "nextn_predict_layers": (0, 1),
    "full_attention_interval": (1, (1 << 31) - 1),
    "attention.recurrent_layers": (0, 1),
}
NUMBER_BYTES = 4  # of each number of a state: llama.cpp keeps F32, whatever the type of keys and values
REQUESTS = 4  # llama-server's slots, each with a state of its own
COPIES = 32  # of a request's state, llama-server's --ctx-checkpoints: to go back in a prompt


@dataclass(frozen=True)
class Layers:
    """What the blocks are: for each whether it has linear attention, and how many at the end only guess ahead."""

    linear: tuple[bool, ...]
    drafts: int

    @property
    def full(self) -> int:
        """How many have keys and values."""
        return len(self.linear) - self.drafts - sum(self.linear)


def layers_of(look: Look) -> Layers | None:
    """Return what the blocks of a file are; None if its keys do not say."""
    blocks, drafts, marks = look.size(f"{NAME}.block_count"), look.size(DRAFTS) or 0, look.items(MARKS)
    interval = look.size(f"{NAME}.full_attention_interval")
    interval = INTERVAL if interval is None else interval
    if not blocks or blocks > MOST_BLOCKS or drafts >= blocks or not interval:
        return None
    if MARKS in look.file.metadata:
        linear = tuple(bool(mark) for mark in marks)
        return (
            Layers(linear, drafts) if len(linear) == blocks and not any(linear[blocks - drafts :]) else None
        )
    return Layers(tuple(at < blocks - drafts and (at + 1) % interval != 0 for at in range(blocks)), drafts)


def state_bytes(look: Look, layers: Layers) -> int | None:
    """Return the bytes of one request's state; None if the file does not state its sizes."""
    sizes = {name: look.size(f"{NAME}.{name}") for name in STATE_SIZES}
    if None in sizes.values():
        return None
    kernel, inner, state, _, groups = (size or 0 for size in sizes.values())
    numbers = max(0, kernel - 1) * (inner + 2 * groups * state) + state * inner
    return sum(layers.linear) * numbers * NUMBER_BYTES


def lint_hybrid(look: Look, sizes: Mapping[str, int]) -> None:
    """Add an error where sizes of linear attention, or marks of layers, do not belong together."""
    inner, state, rank, groups = (sizes[name] for name in STATE_SIZES[1:])
    rotated = look.size(f"{NAME}.rope.dimension_count")
    rows = (
        (inner != state * rank, "ssm.inner_size", f"is {inner}, not {rank} heads of {state}"),
        (rank % groups, "ssm.time_step_rank", f"is {rank}, not a multiple of group_count, {groups}"),
        (
            rotated is not None and (rotated % 2 or not 0 < rotated <= sizes["attention.key_length"]),
            "rope.dimension_count",
            f"is {rotated}, not an even part of key_length, {sizes['attention.key_length']}",
        ),
        (
            layers_of(look) is None,
            MARKS.removeprefix(f"{NAME}."),
            f"does not say for each of {sizes['block_count']} blocks what it is",
        ),
    )
    look.rules(f"{NAME}.", rows)


def hybrid_shapes(sizes: Mapping[str, int], tokens: int, layers: Layers, found: Container[str]) -> Shapes:
    """Return the tensors of a model; `found` are the file's, since some may be there or not, or two be joined."""
    width = sizes["embedding_length"]
    shapes: Shapes = {
        "token_embd.weight": (width, tokens),
        "output_norm.weight": (width,),
        "output.weight": (width, tokens),
    }
    for index, is_linear in enumerate(layers.linear):
        block = f"blk.{index}."
        rows = {
            "attn_norm.weight": (width,),
            "post_attention_norm.weight": (width,),
            **(_linear(sizes) if is_linear else _full(sizes, f"{block}attn_qkv.weight" in found)),
            **_experts(sizes, f"{block}ffn_gate_up_exps.weight" in found),
        }
        if index >= len(layers.linear) - layers.drafts:
            rows |= {
                "nextn.eh_proj.weight": (2 * width, width),
                "nextn.enorm.weight": (width,),
                "nextn.hnorm.weight": (width,),
            }
            own = {
                "nextn.embed_tokens.weight": (width, tokens),
                "nextn.shared_head_head.weight": (width, tokens),
                "nextn.shared_head_norm.weight": (width,),
            }
            rows |= {name: shape for name, shape in own.items() if block + name in found}
        shapes |= {block + name: shape for name, shape in rows.items()}
    return shapes


def _linear(sizes: Mapping[str, int]) -> Shapes:
    width, (kernel, _, state, rank, groups) = (
        sizes["embedding_length"],
        (sizes[name] for name in STATE_SIZES),
    )
    values, mixed = state * rank, state * (2 * groups + rank)
    return {
        "attn_qkv.weight": (width, mixed),
        "attn_gate.weight": (width, values),
        "ssm_conv1d.weight": (kernel, mixed),
        "ssm_dt.bias": (rank,),
        "ssm_a": (rank,),
        "ssm_alpha.weight": (width, rank),
        "ssm_beta.weight": (width, rank),
        "ssm_norm.weight": (state,),
        "ssm_out.weight": (values, width),
    }


def _full(sizes: Mapping[str, int], is_joined: bool) -> Shapes:  # noqa: FBT001 - one call
    """Return the tensors of full attention: its queries bring a gate of their own size."""
    width, head = sizes["embedding_length"], sizes["attention.key_length"]
    queries, pairs = head * sizes["attention.head_count"], head * sizes["attention.head_count_kv"]
    asked: Shapes = {
        "attn_q.weight": (width, 2 * queries),
        "attn_k.weight": (width, pairs),
        "attn_v.weight": (width, pairs),
    }
    return {
        **({"attn_qkv.weight": (width, 2 * queries + 2 * pairs)} if is_joined else asked),
        "attn_output.weight": (queries, width),
        "attn_q_norm.weight": (head,),
        "attn_k_norm.weight": (head,),
    }


def _experts(sizes: Mapping[str, int], is_joined: bool) -> Shapes:  # noqa: FBT001 - one call
    width, inner, experts = (
        sizes[name] for name in ("embedding_length", "expert_feed_forward_length", "expert_count")
    )
    shared = sizes["expert_shared_feed_forward_length"]
    apart: Shapes = {
        "ffn_gate_exps.weight": (width, inner, experts),
        "ffn_up_exps.weight": (width, inner, experts),
    }
    return {
        "ffn_gate_inp.weight": (width, experts),
        **({"ffn_gate_up_exps.weight": (width, 2 * inner, experts)} if is_joined else apart),
        "ffn_down_exps.weight": (inner, width, experts),
        "ffn_gate_inp_shexp.weight": (width,),
        "ffn_gate_shexp.weight": (width, shared),
        "ffn_up_shexp.weight": (width, shared),
        "ffn_down_shexp.weight": (shared, width),
    }
