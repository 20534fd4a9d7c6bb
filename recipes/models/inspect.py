"""What a model's files are, from their heads: what they hold in which types, if they fit, what they need. Pure."""

from __future__ import annotations

import math
import re
from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING

from recipes.models.gguf.findings import Finding, Look
from recipes.models.gguf.lint import lint_mmproj, lint_model, lint_pair

if TYPE_CHECKING:
    from recipes.models.gguf.reader import GgufFile

# By the first that fits: the part of a model that a tensor belongs to.
_GROUPS = (
    ("token embedding", r"token_embd\..*"),
    ("output", r"output\..*"),
    ("norms", r"(output_norm|blk\.\d+\.\w+_norm)\.(weight|bias)"),
    ("experts", r"blk\.\d+\.ffn_\w+_exps\..*"),
    ("router", r"blk\.\d+\.ffn_gate_inp\..*"),
    ("feed forward", r"blk\.\d+\.ffn_.*"),
    ("attention", r"blk\.\d+\.attn_.*"),
    ("vision: patches", r"v\.(patch_embd|position_embd)\..*"),
    ("vision: attention", r"v\.blk\.\d+\.attn_.*"),
    ("vision: feed forward", r"v\.blk\.\d+\.ffn_.*"),
    ("vision: norms", r"v\.(post_ln|blk\.\d+\.ln\d|deepstack\.\d+\.norm)\.(weight|bias)"),
    ("vision: mergers", r"(mm\.|v\.deepstack\.).*"),
)
GROUPS = tuple((name, re.compile(pattern)) for name, pattern in _GROUPS)
OTHER = "other"

CACHE_BYTES = 2  # of each number of the keys and values: llama-server keeps them in F16
BATCH = 512  # tokens that llama-server computes at once, its n_ubatch
REAL_BYTES = 4
PICTURE_SIDE = 1024  # pixels: of the picture that the estimate is for


@dataclass(frozen=True)
class Share:
    """What one group of tensors has in one type."""

    group: str
    type: str
    tensors: int
    parameters: int
    size_bytes: int

    @property
    def bits(self) -> float:
        """Bits for each parameter."""
        return self.size_bytes * 8 / self.parameters


@dataclass(frozen=True)
class MemoryEstimate:
    """What a model needs to run, in bytes.

    Parameters
    ----------
    weights
        The model's tensors.
    cache
        Keys and values of the whole context.
    compute
        What a batch of tokens is computed in, an estimate: the logits, and a few rows of each token.
    projector
        The projector's tensors; 0 without one.
    picture
        What a picture is computed in, an estimate; 0 without a projector.
    """

    weights: int
    cache: int
    compute: int
    projector: int = 0
    picture: int = 0

    @property
    def without_projector(self) -> int:
        """For text alone."""
        return self.weights + self.cache + self.compute

    @property
    def total(self) -> int:
        """With the projector."""
        return self.without_projector + self.projector + self.picture


@dataclass(frozen=True)
class Inspection:
    """What a model is.

    Parameters
    ----------
    architecture, name
        As the file says; "" where it does not.
    parameters
        Of the model, without the projector.
    active_parameters
        Those that one token needs; the same, where there are no experts.
    context
        The longest that the model was made for; 0 where it does not say.
    template
        How a chat is written; "" where there is none.
    model_shares, mmproj_shares
        What each has in which type, the group's order first and then the largest.
    findings
        What is wrong: the file, and the finding.
    fits
        Whether model and projector belong together; None without a projector.
    memory
        What it needs; None where the file does not say its sizes.
    """

    architecture: str
    name: str
    parameters: int
    active_parameters: int
    context: int
    template: str
    model_shares: tuple[Share, ...]
    mmproj_shares: tuple[Share, ...]
    findings: tuple[tuple[str, Finding], ...]
    fits: bool | None
    memory: MemoryEstimate | None


def inspect(model: GgufFile, mmproj: GgufFile | None, context: int) -> Inspection:
    """Say what a model is.

    Parameters
    ----------
    model
        As `read_gguf` gave it.
    mmproj
        The projector, where there is one.
    context
        Tokens, for the estimate of memory.
    """
    look = Look(model)
    kind = look.text("general.architecture")
    findings = [("model", finding) for finding in lint_model(model)]
    fits: bool | None = None
    if mmproj is not None:
        findings += [("mmproj", finding) for finding in lint_mmproj(mmproj)]
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
        fits=fits,
        memory=estimate_memory(model, mmproj, context),
    )


def share_out(file: GgufFile) -> tuple[Share, ...]:
    """Say which part of a file has what in which type; nothing is left out and nothing counted twice."""
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
    """Say which part of a model a tensor belongs to."""
    return next((group for group, pattern in GROUPS if pattern.fullmatch(name)), OTHER)


def estimate_memory(model: GgufFile, mmproj: GgufFile | None, context: int) -> MemoryEstimate | None:
    """Say what a model needs to run; None where it does not say its sizes.

    The weights and the cache are exact. What is computed in is an estimate: for the language model, the logits of a
    batch and a few rows of each token in it; for a picture of 1024 by 1024 pixels, a few rows of each patch.

    Parameters
    ----------
    model, mmproj
        As `read_gguf` gave them.
    context
        Tokens.
    """
    look = Look(model)
    kind = look.text("general.architecture")
    names = (
        "block_count",
        "attention.head_count_kv",
        "attention.key_length",
        "attention.value_length",
        "embedding_length",
    )
    sizes = [look.size(f"{kind}.{name}") for name in names]
    if None in sizes:
        return None
    blocks, pairs, key, value, width = (size or 0 for size in sizes)
    tokens = next((t.shape[1] for t in model.tensors if t.name == "token_embd.weight" and t.shape[1:]), 0)
    cache = context * blocks * pairs * (key + value) * CACHE_BYTES
    compute = BATCH * REAL_BYTES * (tokens + 16 * width)
    weights = sum(tensor.size_bytes for tensor in model.tensors)
    if mmproj is None:
        return MemoryEstimate(weights, cache, compute)
    vision = Look(mmproj)
    patch, inner, deep = (
        vision.size(f"clip.vision.{name}") or 0
        for name in ("patch_size", "feed_forward_length", "embedding_length")
    )
    patches = (PICTURE_SIDE // patch) ** 2 if patch else 0
    picture = patches * REAL_BYTES * (2 * inner + 8 * deep)
    return MemoryEstimate(
        weights, cache, compute, sum(tensor.size_bytes for tensor in mmproj.tensors), picture
    )


def _active(look: Look, kind: str, shares: tuple[Share, ...]) -> int:
    experts, used = look.size(f"{kind}.expert_count"), look.size(f"{kind}.expert_used_count")
    total = sum(share.parameters for share in shares)
    if not experts or not used or used > experts:
        return total
    in_experts = sum(share.parameters for share in shares if share.group == "experts")
    return total - in_experts + in_experts * used // experts
