"""The kinds of model that are checked whole: their keys, ranges and tensors. Pure."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from recipes.models.gguf import hybrid
from recipes.models.gguf.optional_keys import MODEL, VISION
from recipes.models.gguf.tensor_shapes import mmproj_shapes, model_shapes, qwen2_mmproj_shapes

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from typing import TypeAlias

    from recipes.models.gguf.findings import Look
    from recipes.models.gguf.optional_keys import Rule
    from recipes.models.gguf.tensor_shapes import Shapes

    Ranges: TypeAlias = Mapping[str, tuple[int, int]]

CLIP = "clip"
INT = (1 << 31) - 1
ANY = (1, INT)  # the loaders keep most sizes in 32 bits with a sign
BLOCKS = (1, 512)  # LLAMA_MAX_LAYERS and LLAMA_MAX_EXPERTS of llama-hparams.h, where no table says others
EXPERTS = ("expert_count", "expert_used_count")
LARGEST_IMAGE, LARGEST_PATCH = (1, 8192), (1, 1024)  # clip.cpp takes no larger image_size

_HEADS: Ranges = {
    **dict.fromkeys(("context_length", "embedding_length"), ANY),
    **dict.fromkeys(("attention.head_count", "attention.head_count_kv"), ANY),
    "block_count": BLOCKS,
}
_QWEN3: Ranges = {
    **_HEADS,
    **dict.fromkeys(("attention.key_length", "attention.value_length"), ANY),
    "n_deepstack_layers": (0, INT),
}
_EXPERTS: Ranges = {**dict.fromkeys(EXPERTS, (1, 512)), "expert_feed_forward_length": ANY}
_HYBRID: Ranges = {
    **_HEADS,
    **_EXPERTS,
    **dict.fromkeys(("attention.key_length", "attention.value_length"), ANY),
    **dict.fromkeys(("expert_shared_feed_forward_length", *hybrid.STATE_SIZES), ANY),
}
_DENSE: Ranges = {"feed_forward_length": ANY}
_VISION: Ranges = {
    **dict.fromkeys(("embedding_length", "attention.head_count", "projection_dim"), ANY),
    "image_size": LARGEST_IMAGE,
    "patch_size": LARGEST_PATCH,
    "block_count": BLOCKS,
}
# Keys that are checked beside the sizes: texts and numbers that are demanded, and defaults that may be stated.
_OF_MODELS = (
    *(
        "rope.freq_base",
        "attention.layer_norm_rms_epsilon",
        "rope.dimension_sections",
        "rope.dimension_count",
    ),
    *("rope.dimension_count_swa", "attention.key_length_swa", "attention.value_length_swa", "vocab_size"),
    *("attention.key_length", "attention.value_length"),
)
_OF_VISION = (
    *("clip.projector_type", "clip.use_gelu", "clip.use_silu"),
    *("clip.vision.attention.layer_norm_epsilon", "clip.vision.image_mean", "clip.vision.image_std"),
    *("clip.vision.is_deepstack_layers", "clip.vision.spatial_merge_size", "clip.vision.n_wa_pattern"),
    *("clip.vision.attention.head_count_kv", "clip.vision.attention.head_dim"),
    *("clip.vision.feed_forward_length", "clip.vision.projector_type"),
)


@dataclass(frozen=True)
class ModelKind:
    """A language model whose tensors are known."""

    name: str  # general.architecture
    sizes: Ranges  # of the keys that are demanded, by the names without the architecture
    projectors: tuple[str, ...]  # those that fit
    has_deepstack: bool = True
    states_heads: bool = (
        True  # whether keys say how long a head is; else all heads together are as wide as the model
    )
    has_biases: bool = False
    is_hybrid: bool = False  # whether layers have linear attention, and only a part of a head is rotated
    is_covered: bool = True  # whether conformance or the table of fidelity has a model of this kind
    splitter: str = "qwen2"  # tokenizer.ggml.pre

    @property
    def expected(self) -> frozenset[str]:
        """The keys of the architecture that are checked by name."""
        return frozenset(f"{self.name}.{name}" for name in (*self.sizes, *_OF_MODELS, *self.rules))

    @property
    def rules(self) -> Mapping[str, Rule]:
        """The values that the keys may have which it may have or not."""
        return {**MODEL, **hybrid.RULES} if self.is_hybrid else MODEL

    @property
    def optional(self) -> tuple[str, ...]:
        """The tensors that llama.cpp does without."""
        return ("output.weight",)

    def filled(self, sizes: Mapping[str, int]) -> dict[str, int]:
        """Return sizes with those that the kind does not state."""
        head = max(1, sizes["embedding_length"] // sizes["attention.head_count"])
        return {
            "attention.key_length": head,
            "attention.value_length": head,
            "n_deepstack_layers": 0,
            **sizes,
        }

    def shapes(self, sizes: Mapping[str, int], tokens: int, look: Look) -> Shapes:
        """Return the tensors of a model of these sizes and so many tokens."""
        if self.is_hybrid:
            found = {tensor.name: tensor.shape for tensor in look.file.tensors}
            layers = hybrid.layers_of(look)  # None is an error already: there is nothing to compare with
            return found if layers is None else hybrid.hybrid_shapes(sizes, tokens, layers, found)
        return model_shapes(sizes, tokens, normed=self.states_heads, biased=self.has_biases)


@dataclass(frozen=True)
class ProjectorKind:
    """A vision encoder with its projector whose tensors are known."""

    name: str  # clip.projector_type
    sizes: Ranges  # of the keys that are demanded, by the names without clip.vision
    flags: Mapping[str, bool]  # True: demanded; False: absent, or false
    shapes: Callable[[Mapping[str, int], Sequence[int], Shapes], Shapes]
    has_deepstack: bool = False
    has_windows: bool = False
    expected: frozenset[str] = field(init=False)

    def __post_init__(self) -> None:
        sizes = {f"clip.vision.{name}" for name in self.sizes}
        object.__setattr__(
            self, "expected", frozenset(sizes | set(self.flags) | set(VISION) | set(_OF_VISION))
        )


GELU, SILU, VISION_FLAG = "clip.use_gelu", "clip.use_silu", "clip.has_vision_encoder"
_INNER: Ranges = {"feed_forward_length": ANY, "spatial_merge_size": ANY}

MODEL_KINDS = {
    kind.name: kind
    for kind in (
        ModelKind("qwen3vlmoe", {**_QWEN3, **_EXPERTS}, ("qwen3vl_merger",)),
        ModelKind("qwen3vl", {**_QWEN3, **_DENSE}, ("qwen3vl_merger",)),
        ModelKind(
            "qwen2vl",
            {**_HEADS, **_DENSE},
            ("qwen2vl_merger", "qwen2.5vl_merger"),
            has_deepstack=False,
            states_heads=False,
            has_biases=True,
            is_covered=False,
        ),
        ModelKind(
            hybrid.NAME,
            _HYBRID,
            ("qwen3vl_merger",),
            has_deepstack=False,
            is_hybrid=True,
            is_covered=False,
            splitter=hybrid.SPLITTER,
        ),
    )
}
PROJECTOR_KINDS = {
    kind.name: kind
    for kind in (
        ProjectorKind(
            "qwen3vl_merger",
            {**_VISION, **_INNER},
            {VISION_FLAG: True, GELU: True, SILU: False},
            lambda sizes, deepstack, _: mmproj_shapes(sizes, deepstack),
            has_deepstack=True,
        ),
        ProjectorKind(
            "qwen2vl_merger",
            _VISION,
            {VISION_FLAG: True, GELU: False, SILU: False},
            lambda sizes, _, found: qwen2_mmproj_shapes(sizes, found, gated=False),
        ),
        ProjectorKind(
            "qwen2.5vl_merger",
            {**_VISION, "n_wa_pattern": BLOCKS},
            {VISION_FLAG: True, GELU: False, SILU: True},
            lambda sizes, _, found: qwen2_mmproj_shapes(sizes, found, gated=True),
            has_windows=True,
        ),
    )
}


def is_covered(architecture: str) -> bool:
    """Whether conformance, or the table of fidelity, has a model of an architecture."""
    kind = MODEL_KINDS.get(architecture)
    return kind is not None and kind.is_covered
