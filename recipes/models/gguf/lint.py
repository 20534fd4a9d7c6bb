"""Checks that llama.cpp loads the files of a Qwen3-VL model, and that they fit each other. Pure.

The rules are those of llama.cpp's loaders (src/llama-model.cpp, src/llama-vocab.cpp, tools/mtmd/clip.cpp) and of the
form that its converter gives these models (convert_hf_to_gguf.py). A key that llama.cpp would replace by a default is
demanded too: a default that is not the model's gives wrong answers instead of an error.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from recipes.models.gguf.findings import Finding, Look
from recipes.models.gguf.reader import ValueType, shown
from recipes.models.gguf.tensor_shapes import MERGE, is_usable, mmproj_shapes, model_shapes, whole

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from recipes.models.gguf.reader import GgufFile, Scalar
    from recipes.models.gguf.tensor_shapes import Shapes

MOE, DENSE = "qwen3vlmoe", "qwen3vl"
CLIP, PROJECTOR = "clip", "qwen3vl_merger"

ANY = (1, (1 << 32) - 1)
BLOCKS = EXPERTS = (1, 512)  # LLAMA_MAX_LAYERS and LLAMA_MAX_EXPERTS of llama-hparams.h
MODEL_SIZES = {
    **dict.fromkeys(("context_length", "embedding_length"), ANY),
    **dict.fromkeys(("attention.head_count", "attention.head_count_kv"), ANY),
    **dict.fromkeys(("attention.key_length", "attention.value_length"), ANY),
    "block_count": BLOCKS,
    "n_deepstack_layers": (0, ANY[1]),
}
FEED_FORWARD_SIZES = {
    MOE: {"expert_count": EXPERTS, "expert_used_count": EXPERTS, "expert_feed_forward_length": ANY},
    DENSE: {"feed_forward_length": ANY},
}
VISION_SIZES = {
    **dict.fromkeys(("embedding_length", "feed_forward_length", "attention.head_count"), ANY),
    **dict.fromkeys(("projection_dim", "image_size", "patch_size", "spatial_merge_size"), ANY),
    "block_count": BLOCKS,
}

TOKENIZER = "tokenizer.ggml."
# Unknown, control, user defined: the types of tokens that llama.cpp finds in a text before it splits the text.
SPECIAL_KINDS = (2, 3, 4)
IMAGE_MARKERS = ("<|vision_start|>", "<|vision_end|>")  # mtmd.cpp puts them around an image


def lint_model(file: GgufFile) -> tuple[Finding, ...]:
    """Return the errors and warnings of a language model."""
    look = Look(file)
    _lint_layout(look)
    kind = look.text("general.architecture")
    parts = file.metadata.get("split.count")
    if parts is not None and parts.content not in {0, 1}:  # the parts after the first have no architecture
        look.warn("split.count", f"is {parts.content}: a part of a model, only its format was checked")
    elif kind not in FEED_FORWARD_SIZES:
        _say_other_kind(look, "general.architecture", {CLIP: "this is a projector (mmproj), not a model"})
    else:
        _lint_splitting(look)
        tokens = _lint_tokens(look)
        look.reals(f"{kind}.rope.freq_base", f"{kind}.attention.layer_norm_rms_epsilon")
        sizes = look.sizes(f"{kind}.", MODEL_SIZES | FEED_FORWARD_SIZES[kind])
        if sizes:
            _lint_attention(look, f"{kind}.", sizes)
        if sizes and tokens:
            shapes = model_shapes(sizes, tokens)
            _lint_tensors(
                look, shapes, f"a {kind} of {sizes['block_count']} blocks", optional="output.weight"
            )
    return tuple(look.findings)


def lint_mmproj(file: GgufFile) -> tuple[Finding, ...]:
    """Return the errors and warnings of a vision encoder with its projector."""
    look = Look(file)
    _lint_layout(look)
    if look.text("general.architecture") != CLIP:
        what = "this is a language model, not a projector (mmproj)"
        _say_other_kind(look, "general.architecture", {MOE: what, DENSE: what})
    elif look.text("clip.projector_type") != PROJECTOR:
        _say_other_kind(look, "clip.projector_type", {})
    else:
        for key in ("clip.has_vision_encoder", "clip.use_gelu"):
            if look.one(key, ValueType.BOOL) is False:
                look.error(key, "is false, and true of this model")
        look.reals("clip.vision.attention.layer_norm_epsilon")
        for key in ("clip.vision.image_mean", "clip.vision.image_std"):
            look.many(key, ValueType.FLOAT32, length=3)  # llama.cpp reads three, however many there are
        marks = look.many("clip.vision.is_deepstack_layers", ValueType.BOOL)
        sizes = look.sizes("clip.vision.", VISION_SIZES)
        if sizes and marks is not None:
            _lint_vision(look, sizes, marks)
            shapes = mmproj_shapes(sizes, [index for index, mark in enumerate(marks) if mark])
            _lint_tensors(
                look, shapes, f"an encoder of {sizes['block_count']} blocks with these deepstack layers"
            )
    return tuple(look.findings)


def lint_pair(model: GgufFile, mmproj: GgufFile) -> tuple[Finding, ...]:
    """Return the errors of a model and a projector that do not belong together, not those of one alone."""
    one, other = Look(model), Look(mmproj)
    kind, projector = one.text("general.architecture"), other.text("clip.projector_type")
    if kind not in FEED_FORWARD_SIZES and projector != PROJECTOR:
        other.warn("model and mmproj", "are of other kinds: only their format was checked")
    elif kind not in FEED_FORWARD_SIZES or projector != PROJECTOR:
        other.error("model and mmproj", f"do not belong together: {shown(kind)} and {shown(projector)}")
    else:
        shapes = {tensor.name: tensor.shape for tensor in mmproj.tensors}
        # clip.cpp counts these tensors, whatever is_deepstack_layers says
        layers = sum(name.startswith("v.deepstack.") and name.endswith(".fc1.weight") for name in shapes)
        width, takes = one.size(f"{kind}.embedding_length"), one.size(f"{kind}.n_deepstack_layers")
        gives = shapes.get("mm.2.weight", ())[1:2]
        if gives != (width,):
            other.error("mmproj: mm.2.weight", f"gives vectors of {[*gives]}, and the model takes [{width}]")
        if layers != takes:
            other.error("mmproj: v.deepstack", f"gives {layers} layers, and the model takes {takes}")
    return tuple(other.findings)


def _say_other_kind(look: Look, key: str, wrong: Mapping[str, str]) -> None:
    kind = look.text(key)
    if not kind:
        look.error(key, "is missing, or not a text")
    elif kind in wrong:
        look.error(key, f"is {kind!r}: {wrong[kind]}")
    else:
        look.warn(key, f"is {shown(kind)}: only the format was checked")


def _lint_layout(look: Look) -> None:
    file, end = look.file, 0
    for tensor in file.tensors:
        if tensor.offset != end:
            look.error(tensor.name, f"is at {tensor.offset}, not at {end}: llama.cpp allows no gap")
            return
        end += tensor.size_bytes + -tensor.size_bytes % file.alignment
    if (rest := file.file_size - file.data_offset - end) > 0:
        look.warn("the end of the file", f"has {rest} bytes that belong to no tensor")


def _lint_splitting(look: Look) -> None:
    """Check the keys that say how a text is split."""
    model, pre = (look.one(TOKENIZER + name, ValueType.STRING) for name in ("model", "pre"))
    if isinstance(model, str) and model != "gpt2":
        look.error(TOKENIZER + "model", f"is {shown(model)}, not 'gpt2'")
    if isinstance(pre, str) and pre != "qwen2":
        look.warn(TOKENIZER + "pre", f"is {shown(pre)}, not 'qwen2': texts are split differently")
    merges = look.many(TOKENIZER + "merges", ValueType.STRING) or ()
    unpaired = [merge for merge in map(str, merges) if " " not in merge[1:]]
    if unpaired:
        look.error(TOKENIZER + "merges", f"has {shown(unpaired[0])}, which is not a pair")


def _lint_tokens(look: Look) -> int:
    """Return the number of tokens, 0 if there are none."""
    tokens = [str(token) for token in look.many(TOKENIZER + "tokens", ValueType.STRING) or ()]
    if not tokens:
        look.error(TOKENIZER + "tokens", "has no token")
        return 0
    # llama.cpp reads as many kinds as there are tokens, however many there are, and aborts where two are equal
    kinds = look.many(TOKENIZER + "token_type", ValueType.INT32, length=len(tokens))
    repeated = [token for token, count in Counter(filter(None, tokens)).items() if count > 1]
    if repeated:
        look.error(TOKENIZER + "tokens", f"has {shown(repeated[0])} more than once")
    for key in {TOKENIZER + "eos_token_id": None} | dict.fromkeys(look.file.metadata):
        if key.startswith(TOKENIZER) and key.endswith("_token_id"):
            number = look.one(key, ValueType.UINT32)
            if isinstance(number, int) and number >= len(tokens):
                look.error(key, f"is {number}, and there are {len(tokens)} tokens")
    for marker in IMAGE_MARKERS:
        if marker not in tokens:
            look.error(TOKENIZER + "tokens", f"has no {marker!r}, which llama.cpp puts around an image")
        elif kinds and kinds[tokens.index(marker)] not in SPECIAL_KINDS:
            look.error(TOKENIZER + "token_type", f"makes {marker!r} ordinary text")
    return len(tokens)


def _lint_attention(look: Look, prefix: str, sizes: Mapping[str, int]) -> None:
    heads, pairs = sizes["attention.head_count"], sizes["attention.head_count_kv"]
    head, value = sizes["attention.key_length"], sizes["attention.value_length"]
    layers, blocks = sizes["n_deepstack_layers"], sizes["block_count"]
    used, experts = sizes.get("expert_used_count", 1), sizes.get("expert_count", 1)
    rotated = look.size(f"{prefix}rope.dimension_count")  # not written by the converter
    rows = (
        (heads % pairs, "attention.head_count", f"is {heads}, not a multiple of head_count_kv, {pairs}"),
        (value != head, "attention.value_length", f"is {value}, not key_length, {head}"),
        (rotated not in {None, head}, "rope.dimension_count", f"is {rotated}, not key_length, {head}"),
        (layers > blocks, "n_deepstack_layers", f"is {layers}, and there are {blocks} blocks"),
        (used > experts, "expert_used_count", f"is {used}, and there are {experts} experts"),
    )
    look.rules(prefix, rows)
    key, half = f"{prefix}rope.dimension_sections", head // 2
    sections = [int(part) for part in look.many(key, ValueType.INT32, ValueType.UINT32, length=4) or ()]
    # ggml divides by their sum
    if sections and (sections[3] or min(sections) < 0 or not 0 < sum(sections) <= half):
        look.error(key, f"is {sections}, not three numbers with a sum from 1 to {half}, and a zero")


def _lint_vision(look: Look, sizes: Mapping[str, int], marks: Sequence[Scalar]) -> None:
    blocks, merge = sizes["block_count"], sizes["spatial_merge_size"]
    width, heads = sizes["embedding_length"], sizes["attention.head_count"]
    image, patch = sizes["image_size"], sizes["patch_size"]
    rows = (
        (
            len(marks) != blocks,
            "is_deepstack_layers",
            f"has {len(marks)} values, and there are {blocks} blocks",
        ),
        (not any(marks), "is_deepstack_layers", "marks no layer, and llama.cpp's graph needs one"),
        (merge != MERGE, "spatial_merge_size", f"is {merge}, and llama.cpp supports only {MERGE}"),
        # a quarter of each head for each of the four parts of a position
        (width % (4 * heads), "embedding_length", f"is {width}, not a multiple of 4 times {heads} heads"),
        (image % patch, "image_size", f"is {image}, not a multiple of patch_size, {patch}"),
    )
    look.rules("clip.vision.", rows)


def _lint_tensors(look: Look, shapes: Shapes, model: str, optional: str = "") -> None:
    tensors = {tensor.name: tensor for tensor in look.file.tensors}
    look.errors([(name, "is missing") for name in shapes if name not in tensors and name != optional])
    look.errors([(name, f"is not a tensor of {model}") for name in tensors if name not in shapes])
    known = [tensor for name, tensor in tensors.items() if name in shapes]
    look.errors(
        [
            (tensor.name, f"has the shape {list(tensor.shape)}, not {list(shapes[tensor.name])}")
            for tensor in known
            if whole(tensor.shape) != whole(shapes[tensor.name])
        ]
    )
    look.errors(
        [
            (tensor.name, f"is {tensor.type.name}, which llama.cpp cannot use there")
            for tensor in known
            if not is_usable(tensor)
        ]
    )
