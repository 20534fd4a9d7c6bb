"""Checks that llama.cpp loads the files of a Qwen-VL model, and that they fit each other. Pure.

The rules are those of llama.cpp's loaders (src/llama-model.cpp, src/llama-vocab.cpp, tools/mtmd/clip.cpp) and of the
form that its converter gives these models (convert_hf_to_gguf.py). A key that llama.cpp would replace by a default is
demanded too: a default that is not the model's gives wrong answers instead of an error. With the table of one
llama.cpp, each key that it reads is compared with the types and lengths that it reads, in files of any kind.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from recipes.models.gguf.findings import Finding, Look
from recipes.models.gguf.hybrid import lint_hybrid
from recipes.models.gguf.kinds import (
    ANY,
    BLOCKS,
    CLIP,
    EXPERTS,
    MODEL_KINDS,
    PROJECTOR_KINDS,
    ModelKind,
    ProjectorKind,
)
from recipes.models.gguf.loader_keys import CLIP_PARTS, judge_keys, judge_limits, reads_of
from recipes.models.gguf.optional_keys import SAMPLING, VISION, lint_unexpected, lint_values
from recipes.models.gguf.other_formats import shown
from recipes.models.gguf.other_kinds import name_kind
from recipes.models.gguf.reader import ValueType
from recipes.models.gguf.tensor_shapes import MERGE, is_usable, whole
from recipes.models.gguf.vocabulary import lint_qwen_vocabulary, lint_vocabulary

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from recipes.models.gguf.reader import GgufFile, Scalar
    from recipes.models.gguf.tensor_shapes import Shapes
    from recipes.models.loader.table import LoaderTable

NEWER = "name a --recipe whose llama.cpp is newer"
PARTLY = "only its format, keys and vocabulary were checked, not its tensors"


def lint_model(file: GgufFile, table: LoaderTable | None = None) -> tuple[Finding, ...]:
    """Return the errors and warnings of a language model, for the llama.cpp of a table."""
    look = Look(file)
    _lint_layout(look)
    name = look.text("general.architecture")
    if other := name_kind(file):
        look.error(other.where, other.what, other.fix)
    elif not name:
        look.error("general.architecture", "is missing, or not a text")
    elif name == CLIP:
        look.error("general.architecture", f"is {CLIP!r}: this is a projector (mmproj), not a model")
    else:
        kind = MODEL_KINDS.get(name)
        tokens = lint_vocabulary(look, table.default_ids if table else {})
        reads = reads_of(table.model, (name,), name) if table else {}
        if kind is None:
            what = f"is {shown(name)}: {PARTLY}; `serve` takes it with --allow-architecture only"
            look.warn("general.architecture", what)
        else:
            _lint_known(look, kind, tokens, table)
        lint_values(look, SAMPLING)
        judge_keys(look, reads, look.size(f"{name}.block_count"))
        if kind is not None:
            lint_unexpected(look, reads, kind.expected, f"{name}.")
        if table:
            judge_limits(look, table, name)
            if kind is not None and name not in table.architectures:
                what = f"is {shown(name)}, which this recipe's llama.cpp does not load"
                look.error("general.architecture", what, NEWER)
    return tuple(look.findings)


def lint_mmproj(file: GgufFile, table: LoaderTable | None = None) -> tuple[Finding, ...]:
    """Return the errors and warnings of a vision encoder with its projector, for the llama.cpp of a table."""
    look = Look(file)
    _lint_layout(look)
    architecture, name = look.text("general.architecture"), look.text("clip.projector_type")
    if other := name_kind(file):
        look.error(other.where, other.what, other.fix)
    elif architecture in MODEL_KINDS:
        what = "this is a language model, not a projector (mmproj)"
        look.error("general.architecture", f"is {architecture!r}: {what}")
    elif not architecture:
        look.error("general.architecture", "is missing, or not a text")
    elif architecture != CLIP:
        look.warn("general.architecture", f"is {shown(architecture)}: {PARTLY}")
    else:
        kind = PROJECTOR_KINDS.get(name)
        reads = reads_of(table.projector, CLIP_PARTS, name) if table else {}
        if kind is not None:
            _lint_encoder(look, kind)
        elif name:
            look.warn("clip.projector_type", f"is {shown(name)}: {PARTLY}")
        else:
            look.error("clip.projector_type", "is missing, or not a text")
        judge_keys(look, reads, None)
        if kind is not None:
            lint_unexpected(look, reads, kind.expected, "clip.")
        if table:
            judge_limits(look, table, "clip.vision")
    return tuple(look.findings)


def lint_pair(model: GgufFile, mmproj: GgufFile) -> tuple[Finding, ...]:
    """Return the errors of a model and a projector that do not belong together, not those of one alone."""
    one, other = Look(model), Look(mmproj)
    name, projector = one.text("general.architecture"), other.text("clip.projector_type")
    kind = MODEL_KINDS.get(name)
    if kind is None and projector not in PROJECTOR_KINDS:
        other.warn("model and mmproj", "are of other kinds: only their format was checked")
    elif kind is None or projector not in kind.projectors:
        other.error("model and mmproj", f"do not belong together: {shown(name)} and {shown(projector)}")
    else:
        shapes = {tensor.name: tensor.shape for tensor in mmproj.tensors}
        width = one.size(f"{name}.embedding_length")
        gives = shapes.get("mm.2.weight", ())[1:2]
        if gives != (width,):
            other.error("mmproj: mm.2.weight", f"gives vectors of {[*gives]}, and the model takes [{width}]")
        # clip.cpp counts these tensors, whatever is_deepstack_layers says
        layers = sum(
            tensor.startswith("v.deepstack.") and tensor.endswith(".fc1.weight") for tensor in shapes
        )
        takes = one.size(f"{name}.n_deepstack_layers") if kind.has_deepstack else 0
        if layers != takes:
            other.error("mmproj: v.deepstack", f"gives {layers} layers, and the model takes {takes}")
        elif kind.has_deepstack and not layers:
            other.error("mmproj: v.deepstack", "gives no layer, and llama.cpp's graph needs one")
    return tuple(other.findings)


def _lint_known(look: Look, kind: ModelKind, tokens: int, table: LoaderTable | None) -> None:
    prefix = f"{kind.name}."
    lint_qwen_vocabulary(look, kind.splitter)
    look.reals(f"{prefix}rope.freq_base", f"{prefix}attention.layer_norm_rms_epsilon")
    ranges = dict(kind.sizes)
    if table:
        ranges |= {name: (1, table.max_layers) for name, most in kind.sizes.items() if most == BLOCKS}
        ranges |= {name: (1, table.max_experts) for name in EXPERTS if name in kind.sizes}
    sizes = look.sizes(prefix, ranges)
    if sizes:
        sizes = kind.filled(sizes)
        _lint_attention(look, kind, sizes)
        if kind.is_hybrid:
            lint_hybrid(look, sizes)
    lint_values(look, kind.rules, prefix)
    stated = look.size(f"{prefix}vocab_size")
    if tokens and stated not in {None, tokens}:
        look.error(f"{prefix}vocab_size", f"is {stated}, and there are {tokens} tokens")
    if sizes and tokens and not look.has_error(f"{prefix}embedding_length"):
        what = f"a {kind.name} of {sizes['block_count']} blocks"
        _lint_tensors(look, kind.shapes(sizes, tokens, look), what, kind.optional)


def _lint_encoder(look: Look, kind: ProjectorKind) -> None:
    for key, demanded in kind.flags.items():
        if demanded and look.one(key, ValueType.BOOL) is False:
            look.error(key, "is false, and true of this model")
        elif not demanded and key in look.file.metadata and look.one(key, ValueType.BOOL) is True:
            look.error(key, "is true, and false of this model")
    look.reals("clip.vision.attention.layer_norm_epsilon")
    for key in ("clip.vision.image_mean", "clip.vision.image_std"):
        # llama.cpp reads three, however many there are, and divides by the second three
        numbers = look.many(key, ValueType.FLOAT32, length=3) or ()
        if any(not -ANY[1] < float(number) < ANY[1] for number in numbers) or (
            key.endswith("std") and 0.0 in numbers
        ):
            look.error(key, f"is {list(numbers)}, not three numbers to scale an image with")
    marks = look.many("clip.vision.is_deepstack_layers", ValueType.BOOL) if kind.has_deepstack else ()
    sizes = look.sizes("clip.vision.", kind.sizes)
    if sizes and marks is not None:
        stated = look.size("clip.vision.spatial_merge_size")  # of Qwen2-VL, llama.cpp's default
        sizes = {"spatial_merge_size": MERGE if stated is None else stated, **sizes}
        _lint_vision(look, sizes, marks, kind)
        what = (
            f"an encoder of {sizes['block_count']} blocks"
            + " with these deepstack layers" * kind.has_deepstack
        )
        tensors = {tensor.name: tensor.shape for tensor in look.file.tensors}
        shapes = kind.shapes(sizes, [index for index, mark in enumerate(marks) if mark], tensors)
        _lint_tensors(look, shapes, what)
    lint_values(look, VISION)
    least, most = (look.size(f"clip.vision.image_{name}_pixels") for name in ("min", "max"))
    if least and most and least > most:
        look.error("clip.vision.image_min_pixels", f"is {least}, more than image_max_pixels, {most}")


def _lint_layout(look: Look) -> None:
    file, end = look.file, 0
    for tensor in file.tensors:
        if tensor.offset != end:
            look.error(tensor.name, f"is at {tensor.offset}, not at {end}: llama.cpp allows no gap")
            return
        end += tensor.size_bytes + -tensor.size_bytes % file.alignment
    if (rest := file.file_size - file.data_offset - end) > 0:
        look.warn("the end of the file", f"has {rest} bytes that belong to no tensor")


def _lint_attention(look: Look, kind: ModelKind, sizes: Mapping[str, int]) -> None:
    prefix = f"{kind.name}."
    heads, pairs = sizes["attention.head_count"], sizes["attention.head_count_kv"]
    head, value = sizes["attention.key_length"], sizes["attention.value_length"]
    layers, blocks = sizes["n_deepstack_layers"], sizes["block_count"]
    used, experts = sizes.get("expert_used_count", 1), sizes.get("expert_count", 1)
    width = sizes["embedding_length"]
    rows = (
        (heads % pairs, "attention.head_count", f"is {heads}, not a multiple of head_count_kv, {pairs}"),
        (value != head, "attention.value_length", f"is {value}, not key_length, {head}"),
        (layers > blocks, "n_deepstack_layers", f"is {layers}, and there are {blocks} blocks"),
        (used > experts, "expert_used_count", f"is {used}, and there are {experts} experts"),
        (
            not kind.states_heads and width != heads * head,
            "embedding_length",
            f"is {width}, not {heads} heads of {head}",
        ),
    )
    look.rules(prefix, rows)
    # llama.cpp's defaults, not written by the converter
    partly = look.size(f"{prefix}rope.dimension_count") if kind.is_hybrid else None
    rotated = head if partly is None else partly
    for name, wanted in (
        ("rope.dimension_count", rotated),
        ("rope.dimension_count_swa", rotated),
        ("attention.key_length_swa", head),
        ("attention.value_length_swa", head),
    ):
        stated = look.size(prefix + name)
        if stated not in {None, wanted}:
            look.error(prefix + name, f"is {stated}, not key_length, {wanted}")
    key, half = f"{prefix}rope.dimension_sections", rotated // 2
    sections = [int(part) for part in look.many(key, ValueType.INT32, ValueType.UINT32, length=4) or ()]
    # ggml divides by their sum
    if sections and (sections[3] or min(sections) < 0 or not 0 < sum(sections) <= half):
        look.error(key, f"is {sections}, not three numbers with a sum from 1 to {half}, and a zero")


def _lint_vision(look: Look, sizes: Mapping[str, int], marks: Sequence[Scalar], kind: ProjectorKind) -> None:
    blocks, merge = sizes["block_count"], sizes["spatial_merge_size"]
    width, heads = sizes["embedding_length"], sizes["attention.head_count"]
    image, patch = sizes["image_size"], sizes["patch_size"]
    window, pairs = look.size("clip.vision.n_wa_pattern"), look.size("clip.vision.attention.head_count_kv")
    each = look.size("clip.vision.attention.head_dim")
    rows = (
        (
            kind.has_deepstack and len(marks) != blocks,
            "is_deepstack_layers",
            f"has {len(marks)} values, and there are {blocks} blocks",
        ),
        (merge != MERGE, "spatial_merge_size", f"is {merge}, and llama.cpp supports only {MERGE}"),
        # a quarter of each head for each of the four parts of a position
        (width % (4 * heads), "embedding_length", f"is {width}, not a multiple of 4 times {heads} heads"),
        (image % patch, "image_size", f"is {image}, not a multiple of patch_size, {patch}"),
        (pairs not in {None, heads}, "attention.head_count_kv", f"is {pairs}, not head_count, {heads}"),
        (each not in {None, width // heads}, "attention.head_dim", f"is {each}, not {width // heads}"),
        (
            window is not None and not kind.has_windows and window > 0,
            "n_wa_pattern",
            f"is {window}, and this encoder has no windows",
        ),
    )
    look.rules("clip.vision.", rows)


def _lint_tensors(look: Look, shapes: Shapes, model: str, optional: Sequence[str] = ()) -> None:
    tensors = {tensor.name: tensor for tensor in look.file.tensors}
    look.errors([(name, "is missing") for name in shapes if name not in tensors and name not in optional])
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
