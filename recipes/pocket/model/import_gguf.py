"""Reads a pair of GGUF files back into transformers: what llama.cpp runs is what the reference runs."""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from gguf import GGUFReader
from gguf.quants import dequantize

from recipes.pocket.model.architecture import instantiate, make_config
from recipes.pocket.model.export_gguf import DENSE, HEAD, language_names, vision_names
from recipes.pocket.model.tokenizer import assemble

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from numpy.typing import NDArray
    from tokenizers import Tokenizer

    from recipes.pocket.model.architecture import Config


class Opened:
    """A GGUF file: its keys as Python values, its tensors in fp32 with GGUF's rows as numpy's."""

    def __init__(self, path: Path) -> None:
        reader = GGUFReader(path)
        self.keys: dict[str, Any] = {name: field.contents() for name, field in reader.fields.items()}
        self.tensors: dict[str, NDArray[np.float32]] = {
            tensor.name: dequantize(tensor.data, tensor.tensor_type).astype(np.float32)
            for tensor in reader.tensors
        }
        self.architecture: str = self.keys["general.architecture"]
        self._path = path
        self._taken: set[str] = set()

    def take(self, name: str) -> NDArray[np.float32]:
        """Return a tensor, and note that it was used; a RuntimeError is raised where there is none of that name."""
        if name not in self.tensors:
            raise RuntimeError(f"{self._path}: {name} is missing")
        self._taken.add(name)
        return self.tensors[name]

    def verify_all_taken(self) -> None:
        """Demand that every tensor was used; a RuntimeError names those that were not."""
        if left := sorted(set(self.tensors) - self._taken):
            raise RuntimeError(f"{self._path}: nothing takes {', '.join(left)}")

    def __getitem__(self, key: str) -> Any:  # noqa: ANN401 - a key's value has the key's type
        """Return a key of the architecture, named without it."""
        return self.keys[f"{self.architecture}.{key}"]


def tokenizer_of(model: Opened) -> Tokenizer:
    """Return the tokenizer that a language model carries."""
    tokens = model.keys["tokenizer.ggml.tokens"]
    unused = {token for token in tokens if token.startswith("[PAD")}
    vocabulary = {token: number for number, token in enumerate(tokens) if token not in unused}
    merges = [(left, right) for left, right in map(str.split, model.keys["tokenizer.ggml.merges"])]
    return assemble(vocabulary, merges)


def config_of(model: Opened, mmproj: Opened) -> Config:
    """Return transformers' configuration of a pair."""
    numbers = {token: number for number, token in enumerate(model.keys["tokenizer.ggml.tokens"])}
    flags = mmproj["vision.is_deepstack_layers"]
    is_dense = model.architecture == DENSE
    text = {
        "vocab_size": len(numbers),
        "hidden_size": model["embedding_length"],
        "intermediate_size": model["feed_forward_length"],
        "num_hidden_layers": model["block_count"],
        "num_attention_heads": model["attention.head_count"],
        "num_key_value_heads": model["attention.head_count_kv"],
        "head_dim": model["attention.key_length"],
        "max_position_embeddings": model["context_length"],
        "rms_norm_eps": model["attention.layer_norm_rms_epsilon"],
        "rope_theta": model["rope.freq_base"],
        "mrope_section": model["rope.dimension_sections"][:3],
        "bos_token_id": model.keys["tokenizer.ggml.bos_token_id"],
        "eos_token_id": model.keys["tokenizer.ggml.eos_token_id"],
    }
    if not is_dense:
        text |= {
            "moe_intermediate_size": model["expert_feed_forward_length"],
            "num_experts": model["expert_count"],
            "num_experts_per_tok": model["expert_used_count"],
        }
    vision = {
        "depth": mmproj["vision.block_count"],
        "hidden_size": mmproj["vision.embedding_length"],
        "intermediate_size": mmproj["vision.feed_forward_length"],
        "num_heads": mmproj["vision.attention.head_count"],
        "patch_size": mmproj["vision.patch_size"],
        "spatial_merge_size": mmproj["vision.spatial_merge_size"],
        "out_hidden_size": mmproj["vision.projection_dim"],
        "num_position_embeddings": len(mmproj.tensors["v.position_embd.weight"]),
        "deepstack_visual_indexes": [block for block, flag in enumerate(flags) if flag],
    }
    is_tied = "output.weight" not in model.tensors
    return make_config(text, vision, numbers.__getitem__, is_dense=is_dense, is_tied=is_tied)


def weights_in(file: Opened, names: Mapping[str, str]) -> dict[str, NDArray[np.float32]]:
    """Return a file's weights by transformers' names; the inverse of `part_of`."""
    parts: dict[str, list[NDArray[np.float32]]] = defaultdict(list)
    for name, source in names.items():
        parts[source].append(file.take(name))
    return {source: _whole(source, some) for source, some in parts.items()}


def _whole(source: str, parts: list[NDArray[np.float32]]) -> NDArray[np.float32]:
    if len(parts) == 1:
        return parts[0]
    return np.concatenate(parts, axis=1) if source.endswith("gate_up_proj") else np.stack(parts, axis=2)


def load(model: Path, mmproj: Path) -> tuple[Any, Tokenizer]:
    """Return transformers' model in fp32, on the CPU, ready to be asked; and its tokenizer.

    A RuntimeError is raised where a weight is missing, too many or of another shape.
    """
    language, vision = Opened(model), Opened(mmproj)
    config = config_of(language, vision)
    loaded = instantiate(config, "eager").eval()
    text, tower = config.text_config, config.vision_config
    is_tied = config.tie_word_embeddings
    names = language_names(text.num_hidden_layers, language.architecture, is_tied=is_tied)
    weights = weights_in(language, names)
    weights |= weights_in(vision, vision_names(tower.depth, tuple(tower.deepstack_visual_indexes)))
    if is_tied:
        weights[HEAD] = language.take("token_embd.weight")
    language.verify_all_taken()
    vision.verify_all_taken()
    state = {name: torch.from_numpy(np.ascontiguousarray(value)) for name, value in weights.items()}
    loaded.load_state_dict(state, strict=True)
    return loaded, tokenizer_of(language)
