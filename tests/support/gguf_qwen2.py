"""The keys and tensors of tiny Qwen2-VL and Qwen2.5-VL models that llama.cpp would load."""

from __future__ import annotations

from recipes.models.gguf.reader import Value, ValueType
from tests.support.gguf_drafts import (
    F16,
    F32,
    IDS,
    TOKENIZER,
    Keys,
    Tensors,
    flag,
    integers,
    linear,
    norm,
    number,
    real,
    word,
)

WIDTH, HEADS, PAIRS, INNER, BLOCKS, TOKENS = 32, 4, 2, 48, 2, 5
SEEN, PATCH = 32, 4  # of the encoder: width, pixels

SIZES = {
    "context_length": number(64),
    "embedding_length": number(WIDTH),
    "block_count": number(BLOCKS),
    "feed_forward_length": number(INNER),
    "attention.head_count": number(HEADS),
    "attention.head_count_kv": number(PAIRS),
    "attention.layer_norm_rms_epsilon": real(1e-6),
    "rope.freq_base": real(1e6),
    "rope.dimension_sections": integers(2, 1, 1, 0),
}
MODEL_KEYS: Keys = {
    "general.architecture": word("qwen2vl"),
    **{f"qwen2vl.{name}": value for name, value in SIZES.items()},
    **TOKENIZER,
    **IDS,
}
_GIVEN = WIDTH // HEADS * PAIRS
_BLOCK: Tensors = {
    "attn_norm.weight": (F32, (WIDTH,)),
    **linear("attn_q", WIDTH, WIDTH),
    **linear("attn_k", WIDTH, _GIVEN),
    **linear("attn_v", WIDTH, _GIVEN),
    "attn_output.weight": (F16, (WIDTH, WIDTH)),
    "ffn_norm.weight": (F32, (WIDTH,)),
    "ffn_gate.weight": (F16, (WIDTH, INNER)),
    "ffn_up.weight": (F16, (WIDTH, INNER)),
    "ffn_down.weight": (F16, (INNER, WIDTH)),
}
MODEL_TENSORS: Tensors = {
    "token_embd.weight": (F16, (WIDTH, TOKENS)),
    "output_norm.weight": (F32, (WIDTH,)),
    **{f"blk.{at}.{name}": each for at in range(BLOCKS) for name, each in _BLOCK.items()},
}


def mmproj_keys(kind: str) -> Keys:
    """The keys of an encoder: "qwen2vl_merger" or "qwen2.5vl_merger"."""
    vision = {
        "block_count": number(BLOCKS),
        "embedding_length": number(SEEN),
        "feed_forward_length": number(7),  # the converter has stated another width than the tensors have
        "attention.head_count": number(2),
        "attention.layer_norm_epsilon": real(1e-6),
        "projection_dim": number(WIDTH),
        "image_size": number(16),
        "patch_size": number(PATCH),
        "image_mean": Value(ValueType.FLOAT32, (0.5, 0.5, 0.5)),
        "image_std": Value(ValueType.FLOAT32, (0.5, 0.5, 0.5)),
    }
    gated = {"clip.use_silu": flag(content=True), "clip.vision.n_wa_pattern": number(2)}
    return {
        "general.architecture": word("clip"),
        "clip.has_vision_encoder": flag(content=True),
        "clip.projector_type": word(kind),
        **{f"clip.vision.{name}": value for name, value in vision.items()},
        **(gated if "2.5" in kind else {}),
    }


def mmproj_tensors(kind: str, *, exchanged: bool = False) -> Tensors:
    """The tensors of an encoder; `exchanged`: the names of its feed forward layers are, as in old files."""
    up, down = ("ffn_down", "ffn_up") if exchanged else ("ffn_up", "ffn_down")
    is_gated = "2.5" in kind

    def scale(name: str) -> Tensors:
        return {f"{name}.weight": (F32, (SEEN,))} if is_gated else norm(name, SEEN)

    tensors: Tensors = {
        "v.patch_embd.weight": (F16, (PATCH, PATCH, 3, SEEN)),
        "v.patch_embd.weight.1": (F16, (PATCH, PATCH, 3, SEEN)),
        **scale("v.post_ln"),
        **linear("mm.0", SEEN * 4, SEEN * 4),
        **linear("mm.2", SEEN * 4, WIDTH),
    }
    for at in range(BLOCKS):
        block = f"v.blk.{at}."
        tensors |= scale(block + "ln1") | scale(block + "ln2")
        for name in ("attn_q", "attn_k", "attn_v", "attn_out"):
            tensors |= linear(block + name, SEEN, SEEN)
        tensors |= linear(block + up, SEEN, INNER) | linear(block + down, INNER, SEEN)
        if is_gated:
            tensors |= linear(block + "ffn_gate", SEEN, INNER)
    return tensors
