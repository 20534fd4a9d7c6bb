"""The keys that a model may have or not, with the values that they may have. Pure.

llama.cpp reads more keys than the converter writes for a Qwen model. Each changes how the model computes, so that for a
known kind of model only the values are accepted that leave it what it is.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, TypeAlias

from recipes.models.gguf.other_formats import shown

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from recipes.models.gguf.findings import Look
    from recipes.models.gguf.reader import Scalar

Rule: TypeAlias = tuple[float, float] | frozenset[str]  # from, to; or one of these texts
INT = (1 << 31) - 1

# Of any model: what llama-server samples with where a request does not say (common/common.cpp).
SAMPLING: Mapping[str, Rule] = {
    "general.sampling.top_k": (0, INT),
    "general.sampling.top_p": (0, 1),
    "general.sampling.min_p": (0, 1),
    "general.sampling.xtc_probability": (0, 1),
    "general.sampling.xtc_threshold": (0, 1),
    "general.sampling.temp": (0, 100),
    "general.sampling.penalty_last_n": (-1, 1 << 20),  # it keeps so many tokens
    "general.sampling.penalty_repeat": (0.001, 100),  # it divides by it, as a text with six digits
    "general.sampling.mirostat": (0, 2),  # another number ends the program
    "general.sampling.mirostat_tau": (0, 1000),
    "general.sampling.mirostat_eta": (0, 1),
}
# Of a Qwen model, by the names without the architecture.
MODEL: Mapping[str, Rule] = {
    "attention.causal": (1, 1),
    "nextn_predict_layers": (0, 0),
    "expert_group_count": (0, 1),
    "expert_group_used_count": (0, 1),
    "pooling_type": (0, 4),  # enum llama_pooling_type of llama.h
    "feed_forward_length": (1, INT),
    "rope.scaling.type": frozenset({"none", "linear", "yarn", "longrope"}),
    "rope.scaling.factor": (0, 1 << 20),
    "rope.scale_linear": (0, 1 << 20),
    "rope.scaling.attn_factor": (0, 1 << 20),
    "rope.scaling.alpha": (0, 1 << 20),
    "rope.scaling.original_context_length": (1, INT),
    "rope.scaling.finetuned": (0, 1),
}
# Of the vision encoder of a Qwen model.
VISION: Mapping[str, Rule] = {
    "clip.has_vision_encoder": (1, 1),
    "clip.has_audio_encoder": (0, 0),
    "clip.has_gen_audio_encoder": (0, 0),
    "clip.minicpmv_version": (0, 0),
    "clip.minicpmv_query_num": (0, INT),
    "clip.vision.image_min_pixels": (1, 1 << 28),
    "clip.vision.image_max_pixels": (1, 1 << 28),
    "clip.vision.image_crop_resolution": (0, INT),
    "clip.vision.preproc_image_size": (0, INT),
    "clip.vision.mm_patch_merge_type": frozenset({"flat"}),
}


def lint_values(look: Look, rules: Mapping[str, Rule], prefix: str = "") -> None:
    """Add an error for each key that has a value outside of its rule; a missing one has none."""
    for name, rule in rules.items():
        key = prefix + name
        value = look.file.metadata.get(key)
        if value is None or look.has_error(key) or isinstance(value.content, tuple):
            continue
        content = value.content
        if isinstance(rule, frozenset):
            if content not in rule:
                look.error(key, f"is {_said(content)}, not one of {', '.join(sorted(rule))}")
        elif isinstance(content, str) or math.isnan(content) or not rule[0] <= content <= rule[1]:
            look.error(key, f"is {_said(content)}, not from {rule[0]} to {rule[1]}")


def lint_unexpected(look: Look, read: Collection[str], expected: Collection[str], prefix: str) -> None:
    """Add an error for each key with a prefix that llama.cpp reads and that no model of this kind has."""
    for key in look.file.metadata:
        if key.startswith(prefix) and key in read and key not in expected and not look.has_error(key):
            look.error(
                key, "is read by llama.cpp, and no model of this kind has it: it would change the results"
            )


def _said(content: Scalar) -> str:
    return shown(content) if isinstance(content, str) else str(content)
