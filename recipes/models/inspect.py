"""Describes a model from its GGUF headers: tensor types, whether model and projector fit, memory. Pure."""

from __future__ import annotations

import math
import re
import shlex
from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING

from recipes.core.errors import VerifyError
from recipes.models.gguf import hybrid
from recipes.models.gguf.findings import Finding, Look, Severity
from recipes.models.gguf.kinds import MODEL_KINDS, PROJECTOR_KINDS
from recipes.models.gguf.lint import lint_mmproj, lint_model, lint_pair

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from recipes.models.gguf.reader import GgufFile
    from recipes.models.loader.table import LoaderTable

# The part of a model that a tensor belongs to: the first pattern that matches its name.
_GROUPS = (
    ("token embedding", r"token_embd\..*"),
    ("output", r"output\..*"),
    ("norms", r"(output_norm|blk\.\d+\.\w+_norm)\.(weight|bias)"),
    ("experts", r"blk\.\d+\.ffn_\w+_exps\..*"),
    ("router", r"blk\.\d+\.ffn_gate_inp\..*"),
    ("feed forward", r"blk\.\d+\.ffn_.*"),
    ("attention", r"blk\.\d+\.(attn_|ssm_).*"),
    ("vision: patches", r"v\.(patch_embd|position_embd)\..*"),
    ("vision: attention", r"v\.blk\.\d+\.attn_.*"),
    ("vision: feed forward", r"v\.blk\.\d+\.ffn_.*"),
    ("vision: norms", r"v\.(post_ln|blk\.\d+\.ln\d|deepstack\.\d+\.norm)\.(weight|bias)"),
    ("vision: mergers", r"(mm\.|v\.deepstack\.).*"),
)
GROUPS = tuple((name, re.compile(pattern)) for name, pattern in _GROUPS)
OTHER = "other"

CACHE_BYTES = 2  # of each number in the KV cache: llama-server keeps F16
BATCH = 512  # tokens, llama-server's n_ubatch
REAL_BYTES = 4
IMAGE_PIXELS = 1024 * 1024  # of the image that the estimate is for


@dataclass(frozen=True)
class Share:
    """The tensors of one group (a part of the model) that have one type."""

    group: str
    type: str
    tensors: int
    parameters: int
    size_bytes: int

    @property
    def bits(self) -> float:
        """Bits per parameter."""
        return self.size_bytes * 8 / self.parameters


@dataclass(frozen=True)
class MemoryEstimate:
    """The memory that a model needs to run, in bytes."""

    weights: int
    cache: int  # keys and values of the whole context
    compute: int  # estimated buffers for a batch of tokens: the logits, and a few rows for each token
    projector: int = 0  # 0 without one
    image: int = 0  # estimated buffers for an image; 0 without a projector
    state: int = 0  # of the requests, in layers of linear attention: the same for any context

    @property
    def without_projector(self) -> int:
        """Bytes for text only."""
        return self.weights + self.cache + self.state + self.compute

    @property
    def total(self) -> int:
        """Bytes with the projector."""
        return self.without_projector + self.projector + self.image

    def needed(self, *, images: bool) -> int:
        """Return the bytes with or without the projector."""
        return self.total if images else self.without_projector


@dataclass(frozen=True)
class Inspection:
    """The description of a model."""

    architecture: str  # "" if the file does not say, like the name
    name: str
    parameters: int  # of the model, without the projector
    active_parameters: int  # those that one token uses; equal to `parameters` without experts
    context: int  # tokens that the model was made for; 0 if the file does not say
    template: str  # the chat template; "" if there is none
    model_shares: tuple[Share, ...]  # in the order of `GROUPS`, the largest first within a group
    mmproj_shares: tuple[Share, ...]
    findings: tuple[tuple[str, Finding], ...]  # with "model", "mmproj" or "both"
    projector: str  # clip.projector_type of the projector; "" without one
    fits: bool | None  # whether model and projector belong together; None without a projector
    memory: MemoryEstimate | None  # None if the file does not state its sizes


def inspect(  # noqa: PLR0913 - two files, how they are used, and what they are checked by
    model: GgufFile,
    mmproj: GgufFile | None,
    context: int,
    table: LoaderTable | None = None,
    templates: Sequence[Finding] = (),
    *,
    image_pixels: int = IMAGE_PIXELS,
) -> Inspection:
    """Describe a model and check it; `context`, in tokens, and an image's pixels are for the memory estimate.

    The table says what the llama.cpp that shall load it reads. `templates` is what was found of its chat templates.
    """
    look = Look(model)
    kind = look.text("general.architecture")
    findings = [("model", finding) for finding in (*lint_model(model, table), *templates)]
    fits: bool | None = None
    if mmproj is not None:
        findings += [("mmproj", finding) for finding in lint_mmproj(mmproj, table)]
        pair = lint_pair(model, mmproj)
        findings += [("both", finding) for finding in pair]
        fits = not pair
    shares = share_out(model)
    return Inspection(
        architecture=kind,
        name=look.text("general.name"),
        parameters=sum(share.parameters for share in shares),
        active_parameters=_active(look, kind, shares),
        context=look.size(f"{kind}.context_length") or 0,
        template=look.text("tokenizer.chat_template"),
        model_shares=shares,
        mmproj_shares=share_out(mmproj) if mmproj is not None else (),
        findings=tuple(findings),
        projector=Look(mmproj).text("clip.projector_type") if mmproj is not None else "",
        fits=fits,
        memory=estimate_memory(model, mmproj, context, image_pixels),
    )


def demand_sound(found: Inspection, title: str) -> None:
    """Demand that a model has no errors: that llama.cpp loads it, and that its projector fits.

    The VerifyError has the title, the first error and the number of others.
    """
    wrong = [(where, one) for where, one in found.findings if one.severity is Severity.ERROR]
    if wrong:
        where, one = wrong[0]
        raise VerifyError(
            where=f"{title}, {where}: {one.where}",
            expected="a model that llama.cpp loads, and a projector that belongs to it",
            found=f"{one.where} {one.what}" + (f"; {len(wrong) - 1} more are above" if wrong[1:] else ""),
            fix=one.fix or "do not load it: use a file that its publisher states a digest of",
        )


def demand_known(found: Inspection, title: str, allowed: Collection[str]) -> None:
    """Demand a kind of model that is checked whole, or one whose architecture is in `allowed`.

    A VerifyError is raised for another one: its tensors and their sizes would reach llama.cpp unchecked.
    """
    projector = found.projector
    if found.architecture in allowed or (
        found.architecture in MODEL_KINDS and (not projector or projector in PROJECTOR_KINDS)
    ):
        return
    raise VerifyError(
        where=f"{title}: general.architecture",
        expected=f"a kind of model that is checked whole: {', '.join(MODEL_KINDS)}",
        found=repr(found.architecture[:60]) + (f" with a projector {projector[:60]!r}" if projector else ""),
        fix=f"--allow-architecture {shlex.quote(found.architecture[:60])}  # if you trust who made the file",
    )


def share_out(file: GgufFile) -> tuple[Share, ...]:
    """Return tensors, parameters and bytes by part of the model and type; each tensor counts once."""
    rows: dict[tuple[str, str], list[int]] = defaultdict(lambda: [0, 0, 0])
    for tensor in file.tensors:
        row = rows[group_of(tensor.name), tensor.type.name]
        row[0] += 1
        row[1] += math.prod(tensor.shape)
        row[2] += tensor.size_bytes
    order = [name for name, _ in GROUPS] + [OTHER]
    shares = [Share(group, kind, *counts) for (group, kind), counts in rows.items()]
    return tuple(sorted(shares, key=lambda share: (order.index(share.group), -share.size_bytes, share.type)))


def group_of(name: str) -> str:
    """Return the part of a model that a tensor belongs to."""
    return next((group for group, pattern in GROUPS if pattern.fullmatch(name)), OTHER)


def estimate_memory(
    model: GgufFile, mmproj: GgufFile | None, context: int, image_pixels: int = IMAGE_PIXELS
) -> MemoryEstimate | None:
    """Estimate the memory for a context of so many tokens; None if the file does not state its sizes.

    Weights, KV cache and state are exact. The compute buffers are an estimate: for the language model, the logits of a
    batch and a few rows for each token in it; for an image of so many pixels, a few rows for each patch.
    """
    look = Look(model)
    kind = look.text("general.architecture")
    names = ("block_count", "attention.head_count_kv", "attention.key_length", "attention.value_length")
    sizes = [look.size(f"{kind}.{name}") for name in (*names, "embedding_length")]
    if None in sizes:
        return None
    blocks, pairs, key, value, width = (size or 0 for size in sizes)
    tokens = next((t.shape[1] for t in model.tensors if t.name == "token_embd.weight" and t.shape[1:]), 0)
    state = 0
    if kind == hybrid.NAME:
        layers = hybrid.layers_of(look)
        kept = None if layers is None else hybrid.state_bytes(look, layers)
        if layers is None or kept is None:
            return None
        blocks, state = layers.full, kept * hybrid.REQUESTS
    cache = context * blocks * pairs * (key + value) * CACHE_BYTES
    compute = BATCH * REAL_BYTES * (tokens + 16 * width)
    weights = sum(tensor.size_bytes for tensor in model.tensors)
    if mmproj is None:
        return MemoryEstimate(weights, cache, compute, state=state)
    vision = Look(mmproj)
    patch, inner, deep = (
        vision.size(f"clip.vision.{name}") or 0
        for name in ("patch_size", "feed_forward_length", "embedding_length")
    )
    patches = image_pixels // patch**2 if patch else 0
    image = patches * REAL_BYTES * (2 * inner + 8 * deep)
    projector = sum(tensor.size_bytes for tensor in mmproj.tensors)
    return MemoryEstimate(weights, cache, compute, projector, image, state)


def _active(look: Look, kind: str, shares: tuple[Share, ...]) -> int:
    experts, used = look.size(f"{kind}.expert_count"), look.size(f"{kind}.expert_used_count")
    total = sum(share.parameters for share in shares)
    if not experts or not used or used > experts:
        return total
    in_experts = sum(share.parameters for share in shares if share.group == "experts")
    return total - in_experts + in_experts * used // experts
