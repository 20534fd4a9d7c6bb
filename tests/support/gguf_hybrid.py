"""The keys and tensors of a tiny Qwen3.6 mixture of experts that llama.cpp would load, and of its projector."""

from __future__ import annotations

from tests.support.gguf_drafts import (
    F16,
    F32,
    IDS,
    MMPROJ_KEYS,
    MMPROJ_TENSORS,
    TOKENIZER,
    Keys,
    Tensors,
    flags,
    integers,
    number,
    real,
    whole_draft,
    word,
)

# Sizes that all differ, so that none can stand for another; blocks 0, 1 and 2 have linear attention, block 3 has not.
WIDTH, BLOCKS, TOKENS = 32, 4, 5
HEADS, PAIRS, HEAD = 6, 2, 8
KERNEL, STATE, VALUES, KEYS = 4, 16, 10, 5
INNER, EXPERTS, SHARED = 24, 3, 40
MIXED = STATE * (2 * KEYS + VALUES)

SIZES = {
    "block_count": number(BLOCKS),
    "context_length": number(64),
    "embedding_length": number(WIDTH),
    "attention.head_count": number(HEADS),
    "attention.head_count_kv": number(PAIRS),
    "attention.key_length": number(HEAD),
    "attention.value_length": number(HEAD),
    "attention.layer_norm_rms_epsilon": real(1e-6),
    "rope.freq_base": real(1e7),
    "rope.dimension_sections": integers(1, 1, 0, 0),
    "expert_count": number(EXPERTS),
    "expert_used_count": number(2),
    "expert_feed_forward_length": number(INNER),
    "expert_shared_feed_forward_length": number(SHARED),
    "ssm.conv_kernel": number(KERNEL),
    "ssm.state_size": number(STATE),
    "ssm.group_count": number(KEYS),
    "ssm.time_step_rank": number(VALUES),
    "ssm.inner_size": number(STATE * VALUES),
}
OPTIONAL = {
    "full_attention_interval": number(4),
    "attention.recurrent_layers": flags(True, True, True, False),  # noqa: FBT003 - one for each block
    "rope.dimension_count": number(4),
}


def model_keys() -> Keys:
    return {
        "general.architecture": word("qwen35moe"),
        **{f"qwen35moe.{name}": value for name, value in {**SIZES, **OPTIONAL}.items()},
        **TOKENIZER,
        "tokenizer.ggml.pre": word("qwen35"),
        **IDS,
    }


MIXTURE: Tensors = {
    "ffn_gate_inp.weight": (F32, (WIDTH, EXPERTS)),
    "ffn_gate_exps.weight": (F16, (WIDTH, INNER, EXPERTS)),
    "ffn_up_exps.weight": (F16, (WIDTH, INNER, EXPERTS)),
    "ffn_down_exps.weight": (F16, (INNER, WIDTH, EXPERTS)),
    "ffn_gate_inp_shexp.weight": (F32, (WIDTH, 1)),
    "ffn_gate_shexp.weight": (F16, (WIDTH, SHARED)),
    "ffn_up_shexp.weight": (F16, (WIDTH, SHARED)),
    "ffn_down_shexp.weight": (F16, (SHARED, WIDTH)),
}
NORMS: Tensors = {"attn_norm.weight": (F32, (WIDTH,)), "post_attention_norm.weight": (F32, (WIDTH,))}
LINEAR: Tensors = {
    "attn_qkv.weight": (F16, (WIDTH, MIXED)),
    "attn_gate.weight": (F16, (WIDTH, STATE * VALUES)),
    "ssm_conv1d.weight": (F32, (KERNEL, MIXED)),
    "ssm_dt.bias": (F32, (VALUES,)),
    "ssm_a": (F32, (VALUES,)),
    "ssm_alpha.weight": (F16, (WIDTH, VALUES)),
    "ssm_beta.weight": (F16, (WIDTH, VALUES)),
    "ssm_norm.weight": (F32, (STATE,)),
    "ssm_out.weight": (F16, (STATE * VALUES, WIDTH)),
}
FULL: Tensors = {
    "attn_q.weight": (F16, (WIDTH, 2 * HEADS * HEAD)),
    "attn_k.weight": (F16, (WIDTH, PAIRS * HEAD)),
    "attn_v.weight": (F16, (WIDTH, PAIRS * HEAD)),
    "attn_output.weight": (F16, (HEADS * HEAD, WIDTH)),
    "attn_q_norm.weight": (F32, (HEAD,)),
    "attn_k_norm.weight": (F32, (HEAD,)),
}
DRAFT: Tensors = {
    "nextn.eh_proj.weight": (F16, (2 * WIDTH, WIDTH)),
    "nextn.enorm.weight": (F32, (WIDTH,)),
    "nextn.hnorm.weight": (F32, (WIDTH,)),
}


def block(index: int, *parts: Tensors) -> Tensors:
    return {f"blk.{index}.{name}": row for part in parts for name, row in part.items()}


TENSORS: Tensors = {
    "token_embd.weight": (F16, (WIDTH, TOKENS)),
    "output_norm.weight": (F32, (WIDTH,)),
    **{name: row for index in range(3) for name, row in block(index, NORMS, LINEAR, MIXTURE).items()},
    **block(3, NORMS, FULL, MIXTURE),
}
# With a block that guesses a token ahead.
DRAFT_KEYS: Keys = {
    "qwen35moe.block_count": number(BLOCKS + 1),
    "qwen35moe.nextn_predict_layers": number(1),
    "qwen35moe.attention.recurrent_layers": flags(True, True, True, False, False),  # noqa: FBT003 - as above
}
DRAFT_BLOCK: Tensors = block(4, NORMS, FULL, MIXTURE, DRAFT)
PROJECTOR_KEYS: Keys = MMPROJ_KEYS | {
    "clip.vision.is_deepstack_layers": flags(False, False),  # noqa: FBT003 - one for each block
}
PROJECTOR_TENSORS: Tensors = {name: row for name, row in MMPROJ_TENSORS.items() if "deepstack" not in name}

MODEL = whole_draft(model_keys(), TENSORS).encode()
MMPROJ = whole_draft(PROJECTOR_KEYS, PROJECTOR_TENSORS).encode()
