"""The tensors of a Qwen3-VL model: names, shapes and usable types. Pure.

From load_tensors of src/llama-model.cpp, and tools/mtmd/clip.cpp with models/qwen3vl.cpp, of llama.cpp.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from recipes.models.gguf.reader import Tensor

Shapes: TypeAlias = dict[str, tuple[int, ...]]

MERGE = 2  # models/qwen3vl.cpp is written for merges of 2 by 2 patches
# Types for which ggml has no product of a matrix and a vector.
NO_WEIGHTS = ("I8", "I16", "I32", "I64", "F64", "Q8_1", "Q8_K")
# ggml's convolution and interpolation support only these.
ONLY = {
    "v.patch_embd.weight": ("F32", "F16"),
    "v.patch_embd.weight.1": ("F32", "F16"),
    "v.position_embd.weight": ("F32",),
}


def whole(shape: Iterable[int]) -> list[int]:
    """Return a shape without trailing ones, which mean nothing to ggml."""
    sizes = list(shape)
    while sizes[1:] and sizes[-1] == 1:
        sizes.pop()
    return sizes


def model_shapes(
    sizes: Mapping[str, int], tokens: int, *, normed: bool = True, biased: bool = False
) -> Shapes:
    """Return the tensors of a language model; `tokens` is the size of the vocabulary.

    The sizes are by the keys' names without the architecture. Queries and keys are `normed`, or `biased`.
    """
    width, head = sizes["embedding_length"], sizes["attention.key_length"]
    queries, pairs = head * sizes["attention.head_count"], head * sizes["attention.head_count_kv"]
    block: Shapes = {
        "attn_norm": (width,),
        "attn_q": (width, queries),
        "attn_k": (width, pairs),
        "attn_v": (width, pairs),
        "attn_output": (queries, width),
        "ffn_norm": (width,),
    }
    if normed:
        block |= {"attn_q_norm": (head,), "attn_k_norm": (head,)}
    if "expert_count" in sizes:
        inner, experts = sizes["expert_feed_forward_length"], sizes["expert_count"]
        block |= {
            "ffn_gate_inp": (width, experts),
            "ffn_gate_exps": (width, inner, experts),
            "ffn_up_exps": (width, inner, experts),
            "ffn_down_exps": (inner, width, experts),
        }
    else:
        inner = sizes["feed_forward_length"]
        block |= {"ffn_gate": (width, inner), "ffn_up": (width, inner), "ffn_down": (inner, width)}
    shapes: Shapes = {
        "token_embd.weight": (width, tokens),
        "output_norm.weight": (width,),
        "output.weight": (width, tokens),
    }
    for index in range(sizes["block_count"]):
        shapes |= {f"blk.{index}.{name}.weight": shape for name, shape in block.items()}
        if biased:
            shapes |= {f"blk.{index}.{name}.bias": block[name][1:] for name in ("attn_q", "attn_k", "attn_v")}
    return shapes


def _layer(name: str, *shape: int) -> Shapes:
    return {f"{name}.weight": shape, f"{name}.bias": shape[-1:]}


def mmproj_shapes(sizes: Mapping[str, int], deepstack: Sequence[int]) -> Shapes:
    """Return the tensors of a vision encoder with its projector.

    The sizes are by the keys' names without `clip.vision.`; the output of the blocks in `deepstack` also goes to the
    language model.
    """
    width, inner, patch = sizes["embedding_length"], sizes["feed_forward_length"], sizes["patch_size"]
    merged, given = width * MERGE**2, sizes["projection_dim"]
    shapes: Shapes = {
        "v.patch_embd.weight": (patch, patch, 3, width),
        "v.patch_embd.weight.1": (patch, patch, 3, width),
        "v.patch_embd.bias": (width,),
        "v.position_embd.weight": (width, (sizes["image_size"] // patch) ** 2),
        **_layer("v.post_ln", width),
        **_layer("mm.0", merged, merged),
        **_layer("mm.2", merged, given),
    }
    for index in range(sizes["block_count"]):
        block = f"v.blk.{index}."
        shapes |= _layer(block + "ln1", width) | _layer(block + "ln2", width)
        shapes |= _layer(block + "attn_qkv", width, 3 * width) | _layer(block + "attn_out", width, width)
        shapes |= _layer(block + "ffn_up", width, inner) | _layer(block + "ffn_down", inner, width)
    for index in deepstack:
        merger = f"v.deepstack.{index}."
        shapes |= _layer(merger + "norm", merged)
        shapes |= _layer(merger + "fc1", merged, merged) | _layer(merger + "fc2", merged, given)
    return shapes


def qwen2_mmproj_shapes(sizes: Mapping[str, int], found: Shapes, *, gated: bool) -> Shapes:
    """Return the tensors of the encoder of Qwen2-VL, or with gates that of Qwen2.5-VL, with its projector.

    Their converter has stated the width of the feed forward layers wrongly, and once exchanged their names: the width
    is that of the file's first such tensor, and the two of a block may be exchanged. `found` are the file's shapes.
    """
    width, patch, merged = (
        sizes["embedding_length"],
        sizes["patch_size"],
        sizes["embedding_length"] * MERGE**2,
    )
    first = [*found.get("v.blk.0.ffn_up.weight", (0, 0)), 1][:2]
    is_exchanged = first[0] != width
    inner = first[0] if is_exchanged else first[1]
    shapes: Shapes = {
        "v.patch_embd.weight": (patch, patch, 3, width),
        "v.patch_embd.weight.1": (patch, patch, 3, width),
        **_layer("mm.0", merged, merged),
        **_layer("mm.2", merged, sizes["projection_dim"]),
    }
    up, down = ("ffn_down", "ffn_up") if is_exchanged else ("ffn_up", "ffn_down")
    names = ["v.post_ln"]
    for index in range(sizes["block_count"]):
        block = f"v.blk.{index}."
        names += [block + "ln1", block + "ln2"]
        for name in ("attn_q", "attn_k", "attn_v", "attn_out"):
            shapes |= _layer(block + name, width, width)
        shapes |= _layer(block + up, width, inner) | _layer(block + down, inner, width)
        if gated:
            shapes |= _layer(block + "ffn_gate", width, inner)
    for name in names:
        shapes |= {f"{name}.weight": (width,)} if gated else _layer(name, width)
    return shapes


def is_usable(tensor: Tensor) -> bool:
    """Whether llama.cpp can compute with a tensor of this type in its place."""
    if len(whole(tensor.shape)) == 1:  # ggml adds and multiplies vectors only in F32
        return tensor.type.name == "F32"
    if tensor.name.endswith(".ssm_conv1d.weight"):
        return tensor.type.name == "F32"
    return (
        tensor.type.name in ONLY.get(tensor.name, (tensor.type.name,)) and tensor.type.name not in NO_WEIGHTS
    )
