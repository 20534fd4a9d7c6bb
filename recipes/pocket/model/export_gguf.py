"""Writes a model of transformers as the two GGUF files that llama.cpp reads: language model and projector.

Keys and tensor names are those of the published files: arch qwen3vlmoe, or qwen3vl where every layer is dense;
projector qwen3vl_merger. A head that is the embedding (tied) is not written twice. transformers 5 keeps an expert's
gate and up matrices as one, each row an output, which is the order of GGUF.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from gguf import GGMLQuantizationType, GGUFWriter, LlamaFileType, TokenType

from recipes.evalset.image_sizes import LEAST_PIXELS, MOST_PIXELS
from recipes.pocket.model.tokenizer import CHAT_TEMPLATE, END, END_OF_TEXT, SPECIAL_TOKENS, contents

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from numpy.typing import NDArray
    from tokenizers import Tokenizer

    from recipes.pocket.model.architecture import Config

    Weights = Mapping[str, NDArray[np.float32]]

MOE, DENSE = "qwen3vlmoe", "qwen3vl"
PROJECTOR = "qwen3vl_merger"
NAME = "pocket Qwen3-VL-MoE"
F16, F32 = GGMLQuantizationType.F16, GGMLQuantizationType.F32
FILE_TYPES = {F16: LlamaFileType.MOSTLY_F16, F32: LlamaFileType.ALL_F32}
IMAGE_MEAN = IMAGE_STD = (0.5, 0.5, 0.5)  # of pixels from 0 to 1, by channel, as published
VISION_EPS = 1e-6  # of the LayerNorms in transformers' modeling_qwen3_vl_moe; no key of the configuration

LAYER = {
    "attn_norm": "input_layernorm",
    "attn_q": "self_attn.q_proj",
    "attn_k": "self_attn.k_proj",
    "attn_v": "self_attn.v_proj",
    "attn_output": "self_attn.o_proj",
    "attn_q_norm": "self_attn.q_norm",
    "attn_k_norm": "self_attn.k_norm",
    "ffn_norm": "post_attention_layernorm",
}
ROUTER = {"ffn_gate_inp": "mlp.gate"}
EXPERTS = {"ffn_gate_exps": "gate_up_proj", "ffn_up_exps": "gate_up_proj", "ffn_down_exps": "down_proj"}
DENSE_FFN = {"ffn_gate": "mlp.gate_proj", "ffn_up": "mlp.up_proj", "ffn_down": "mlp.down_proj"}
HEAD = "lm_head.weight"
BLOCK = {
    "ln1": "norm1",
    "ln2": "norm2",
    "attn_qkv": "attn.qkv",
    "attn_out": "attn.proj",
    "ffn_up": "mlp.linear_fc1",
    "ffn_down": "mlp.linear_fc2",
}
MERGER = {"v.post_ln": "norm", "mm.0": "linear_fc1", "mm.2": "linear_fc2"}
DEEPSTACK = {"norm": "norm", "fc1": "linear_fc1", "fc2": "linear_fc2"}


def weights_of(model: Any) -> dict[str, NDArray[np.float32]]:  # noqa: ANN401 - transformers' model
    """Return a model's weights by transformers' names, without a head that is the embedding."""
    weights = {name: value.detach().cpu().float().numpy() for name, value in model.state_dict().items()}
    if model.config.tie_word_embeddings:
        del weights[HEAD]
    return weights


def language_names(layers: int, architecture: str, *, is_tied: bool) -> dict[str, str]:
    """Return the language model's tensors in the order of the file: GGUF's name to transformers'."""
    base, is_sparse = "model.language_model", architecture == MOE
    names = {
        "token_embd.weight": f"{base}.embed_tokens.weight",
        "output_norm.weight": f"{base}.norm.weight",
        **({} if is_tied else {"output.weight": HEAD}),
    }
    matrices = LAYER | (ROUTER if is_sparse else DENSE_FFN)
    for layer in range(layers):
        source = f"{base}.layers.{layer}"
        names |= {f"blk.{layer}.{name}.weight": f"{source}.{part}.weight" for name, part in matrices.items()}
        for name, part in EXPERTS.items() if is_sparse else ():
            names[f"blk.{layer}.{name}.weight"] = f"{source}.mlp.experts.{part}"
    return names


def vision_names(depth: int, deepstack: tuple[int, ...]) -> dict[str, str]:
    """Return the tensors of the vision tower and the mergers: GGUF's name to transformers'.

    `deepstack` are the blocks whose output a merger takes.
    """
    base = "model.visual"
    pairs = {f"v.blk.{n}.{name}": f"blocks.{n}.{part}" for n in range(depth) for name, part in BLOCK.items()}
    pairs |= {name: f"merger.{part}" for name, part in MERGER.items()}
    for index, block in enumerate(deepstack):
        source = f"deepstack_merger_list.{index}"
        pairs |= {f"v.deepstack.{block}.{name}": f"{source}.{part}" for name, part in DEEPSTACK.items()}
    return {
        "v.patch_embd.weight": f"{base}.patch_embed.proj.weight",
        "v.patch_embd.weight.1": f"{base}.patch_embed.proj.weight",
        "v.patch_embd.bias": f"{base}.patch_embed.proj.bias",
        "v.position_embd.weight": f"{base}.pos_embed.weight",
        **{
            f"{name}.{suffix}": f"{base}.{source}.{suffix}"
            for name, source in pairs.items()
            for suffix in ("weight", "bias")
        },
    }


def part_of(name: str, whole: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return what a tensor of GGUF holds of transformers' weight: experts' gate or up, one frame of the kernel."""
    if "ffn_gate_exps" in name or "ffn_up_exps" in name:
        return np.split(whole, 2, axis=1)["ffn_up_exps" in name]
    if name.startswith("v.patch_embd.weight"):  # (out, 3, frames, height, width)
        return whole[:, :, int(name.endswith(".1"))]
    return whole


def is_kept_exact(name: str, tensor: NDArray[np.float32]) -> bool:
    """Whether a tensor stays in f32 in an f16 file, as in published ones: vectors, positions, the router."""
    return tensor.ndim == 1 or name.endswith("ffn_gate_inp.weight") or name == "v.position_embd.weight"


def write_tensors(
    writer: GGUFWriter, names: Mapping[str, str], weights: Weights, kind: GGMLQuantizationType
) -> None:
    """Add tensors in a type, and finish the file."""
    for name, source in names.items():
        tensor = part_of(name, weights[source])
        exact = kind is F32 or is_kept_exact(name, tensor)
        writer.add_tensor(name, np.ascontiguousarray(tensor, dtype=np.float32 if exact else np.float16))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def begin(path: Path, architecture: str, role: str, kind: GGMLQuantizationType) -> GGUFWriter:
    """Begin a file, with what describes it."""
    writer = GGUFWriter(path, architecture)
    writer.add_type(role)
    writer.add_name(NAME)
    writer.add_license("mit")
    writer.add_file_type(FILE_TYPES[kind])
    return writer


def write_model(
    path: Path,
    config: Config,
    weights: Weights,
    tokenizer: Tokenizer,
    kind: GGMLQuantizationType = F16,
) -> None:
    """Write the language model with its tokenizer and chat template."""
    text = config.text_config
    architecture = MOE if config.model_type == "qwen3_vl_moe" else DENSE
    writer = begin(path, architecture, "model", kind)
    writer.add_block_count(text.num_hidden_layers)
    writer.add_context_length(text.max_position_embeddings)
    writer.add_embedding_length(text.hidden_size)
    writer.add_feed_forward_length(text.intermediate_size)
    writer.add_head_count(text.num_attention_heads)
    writer.add_head_count_kv(text.num_key_value_heads)
    writer.add_key_length(text.head_dim)
    writer.add_value_length(text.head_dim)
    writer.add_layer_norm_rms_eps(text.rms_norm_eps)
    writer.add_rope_freq_base(text.rope_parameters["rope_theta"])
    writer.add_rope_dimension_sections([*text.rope_parameters["mrope_section"], 0])
    if architecture == MOE:
        writer.add_expert_count(text.num_experts)
        writer.add_expert_used_count(text.num_experts_per_tok)
        writer.add_expert_feed_forward_length(text.moe_intermediate_size)
    writer.add_num_deepstack_layers(len(config.vision_config.deepstack_visual_indexes))
    add_tokenizer(writer, tokenizer, text.vocab_size)
    names = language_names(text.num_hidden_layers, architecture, is_tied=HEAD not in weights)
    write_tensors(writer, names, weights, kind)


def add_tokenizer(writer: GGUFWriter, tokenizer: Tokenizer, rows: int) -> None:
    """Add the vocabulary, filled up to the rows of the embedding with tokens that nothing becomes."""
    vocabulary, merges = contents(tokenizer)
    numbers = vocabulary | {token: int(tokenizer.token_to_id(token)) for token in SPECIAL_TOKENS}
    by_number = {number: token for token, number in numbers.items()}
    tokens = [by_number.get(number, f"[PAD{number}]") for number in range(rows)]
    kinds = [
        TokenType.CONTROL
        if token in SPECIAL_TOKENS
        else TokenType.NORMAL
        if number in by_number
        else TokenType.UNUSED
        for number, token in enumerate(tokens)
    ]
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("qwen2")
    writer.add_token_list(tokens)
    writer.add_token_types(kinds)
    writer.add_token_merges([" ".join(pair) for pair in merges])
    writer.add_eos_token_id(numbers[END])
    writer.add_pad_token_id(numbers[END_OF_TEXT])
    writer.add_bos_token_id(numbers[END_OF_TEXT])
    writer.add_add_bos_token(value=False)
    writer.add_chat_template(CHAT_TEMPLATE)


def write_projector(path: Path, config: Config, weights: Weights, kind: GGMLQuantizationType = F16) -> None:
    """Write the vision tower with its mergers."""
    vision = config.vision_config
    deepstack = tuple(vision.deepstack_visual_indexes)
    writer = begin(path, "clip", "mmproj", kind)
    writer.add_clip_has_vision_encoder(value=True)
    writer.add_clip_projector_type(PROJECTOR)
    writer.add_vision_projection_dim(vision.out_hidden_size)
    writer.add_vision_image_size(int(vision.num_position_embeddings**0.5) * vision.patch_size)
    writer.add_vision_min_pixels(LEAST_PIXELS)
    writer.add_vision_max_pixels(MOST_PIXELS)
    writer.add_vision_patch_size(vision.patch_size)
    writer.add_vision_embedding_length(vision.hidden_size)
    writer.add_vision_feed_forward_length(vision.intermediate_size)
    writer.add_vision_block_count(vision.depth)
    writer.add_vision_head_count(vision.num_heads)
    writer.add_vision_image_mean(IMAGE_MEAN)
    writer.add_vision_image_std(IMAGE_STD)
    writer.add_vision_spatial_merge_size(vision.spatial_merge_size)
    writer.add_vision_attention_layernorm_eps(VISION_EPS)
    writer.add_vision_use_gelu(value=True)
    writer.add_vision_is_deepstack_layers([block in deepstack for block in range(vision.depth)])
    write_tensors(writer, vision_names(vision.depth, deepstack), weights, kind)
