"""The pocket model as GGUF: the form that is published, and back again to the bit."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch
from gguf import GGUFReader
from hypothesis import given
from hypothesis import strategies as st
from torch.nn import functional

from recipes.models.gguf.lint import lint_mmproj, lint_model, lint_pair
from recipes.models.gguf.reader import read_gguf
from recipes.pocket.model import import_gguf as restore
from recipes.pocket.model.architecture import MROPE_SECTION
from recipes.pocket.model.export_gguf import is_kept_exact, weights_of
from recipes.pocket.model.import_gguf import load
from recipes.pocket.model.tokenizer import CHAT_TEMPLATE, SPECIAL_TOKENS
from tests.pocket.conftest import Files, Model

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray
    from tokenizers import Tokenizer

# As Qwen's own GGUF of Qwen3-VL-30B-A3B-Instruct has them: `general.*` apart, which only describe.
MODEL_KEYS = {
    *("block_count", "context_length", "embedding_length", "feed_forward_length"),
    *("attention.head_count", "attention.head_count_kv", "attention.key_length", "attention.value_length"),
    *("attention.layer_norm_rms_epsilon", "rope.freq_base", "rope.dimension_sections"),
    *("expert_count", "expert_used_count", "expert_feed_forward_length", "n_deepstack_layers"),
}
TOKENIZER_KEYS = {
    *("model", "pre", "tokens", "token_type", "merges"),
    *("eos_token_id", "padding_token_id", "bos_token_id", "add_bos_token"),
}
VISION_KEYS = {
    *("projection_dim", "image_size", "patch_size", "embedding_length", "feed_forward_length", "block_count"),
    *("attention.head_count", "attention.layer_norm_epsilon", "image_mean", "image_std"),
    *("spatial_merge_size", "is_deepstack_layers"),
}
LIMIT_KEYS = {
    "image_min_pixels",
    "image_max_pixels",
}  # this project's: published files leave them to the program
LAYER_TENSORS = {
    *("attn_norm", "attn_q", "attn_k", "attn_v", "attn_output", "attn_q_norm", "attn_k_norm"),
    *("ffn_norm", "ffn_gate_inp", "ffn_gate_exps", "ffn_up_exps", "ffn_down_exps"),
}
BLOCK_TENSORS = {"ln1", "ln2", "attn_qkv", "attn_out", "ffn_up", "ffn_down"}


@pytest.fixture(params=["f32", "f16"])
def files(request: pytest.FixtureRequest) -> Files:
    found = request.getfixturevalue(f"{request.param}_files")
    assert isinstance(found, Files)
    return found


def described(path: Path) -> set[str]:
    return {name for name in read_gguf(path).metadata if not name.startswith("general.")}


def tensors_of(path: Path) -> dict[str, NDArray[Any]]:
    return {tensor.name: np.array(tensor.data) for tensor in GGUFReader(path).tensors}


def test_the_lint_finds_nothing(files: Files) -> None:
    model, mmproj = map(read_gguf, files)
    assert [*lint_model(model), *lint_mmproj(mmproj), *lint_pair(model, mmproj)] == []


def test_the_keys_are_those_of_published_files(files: Files) -> None:
    tokenizer = {f"tokenizer.ggml.{name}" for name in TOKENIZER_KEYS} | {"tokenizer.chat_template"}
    assert described(files.model) == {f"qwen3vlmoe.{name}" for name in MODEL_KEYS} | tokenizer
    vision = {f"clip.vision.{name}" for name in VISION_KEYS | LIMIT_KEYS}
    assert described(files.mmproj) == vision | {
        "clip.has_vision_encoder",
        "clip.projector_type",
        "clip.use_gelu",
    }


def test_the_keys_say_what_the_model_is(f16_files: Files) -> None:
    model, mmproj = (read_gguf(path).metadata for path in f16_files)
    expected = {
        "general.architecture": "qwen3vlmoe",
        "general.type": "model",
        "general.file_type": 1,
        "qwen3vlmoe.block_count": 3,
        "qwen3vlmoe.attention.head_count": 4,
        "qwen3vlmoe.attention.head_count_kv": 2,
        "qwen3vlmoe.attention.key_length": 64,
        "qwen3vlmoe.rope.freq_base": 5_000_000.0,
        "qwen3vlmoe.rope.dimension_sections": (*MROPE_SECTION, 0),
        "qwen3vlmoe.expert_count": 8,
        "qwen3vlmoe.expert_used_count": 2,
        "qwen3vlmoe.n_deepstack_layers": 2,
        "tokenizer.ggml.model": "gpt2",
        "tokenizer.ggml.pre": "qwen2",
        "tokenizer.ggml.add_bos_token": False,
        "tokenizer.chat_template": CHAT_TEMPLATE,
    }
    assert {name: model[name].content for name in expected} == expected
    expected = {
        "general.architecture": "clip",
        "general.type": "mmproj",
        "clip.projector_type": "qwen3vl_merger",
        "clip.has_vision_encoder": True,
        "clip.use_gelu": True,
        "clip.vision.image_size": 14 * 16,
        "clip.vision.projection_dim": 256,
        "clip.vision.image_min_pixels": 8 * 32 * 32,
        "clip.vision.image_max_pixels": 4096 * 32 * 32,
        "clip.vision.image_mean": (0.5, 0.5, 0.5),
        "clip.vision.image_std": (0.5, 0.5, 0.5),
        "clip.vision.is_deepstack_layers": (False, True, False, True, False, False),
    }
    assert {name: mmproj[name].content for name in expected} == expected


def test_the_tensors_are_named_as_in_published_files(files: Files) -> None:
    layers = {f"blk.{layer}.{name}.weight" for layer in range(3) for name in LAYER_TENSORS}
    assert tensors_of(files.model).keys() == layers | {
        "token_embd.weight",
        "output.weight",
        "output_norm.weight",
    }
    pairs = {f"v.blk.{block}.{name}" for block in range(6) for name in BLOCK_TENSORS}
    pairs |= {f"v.deepstack.{block}.{name}" for block in (1, 3) for name in ("norm", "fc1", "fc2")}
    pairs |= {"v.post_ln", "mm.0", "mm.2"}
    assert tensors_of(files.mmproj).keys() == {
        f"{name}.{suffix}" for name in pairs for suffix in ("weight", "bias")
    } | {"v.patch_embd.weight", "v.patch_embd.weight.1", "v.patch_embd.bias", "v.position_embd.weight"}


def test_in_an_f16_file_vectors_positions_and_routers_stay_exact(f16_files: Files) -> None:
    for path in f16_files:
        for tensor in read_gguf(path).tensors:
            exact = len(tensor.shape) == 1 or "position_embd" in tensor.name or "gate_inp" in tensor.name
            assert (tensor.type.name == "F32") is exact, tensor.name
            assert tensor.type.name in {"F32", "F16"}


def test_an_f32_file_gives_back_every_weight_to_the_bit(f32_files: Files, model: Model) -> None:
    restored, _ = load(*f32_files)
    weights = model.state_dict()
    assert restored.state_dict().keys() == weights.keys()
    for name, value in restored.state_dict().items():
        assert torch.equal(value, weights[name]), name


def test_an_f16_file_gives_back_every_weight_to_its_rounding(f16_files: Files, model: Model) -> None:
    restored, _ = load(*f16_files)
    changed = 0
    for name, value in restored.state_dict().items():
        wanted = model.state_dict()[name]
        exact = wanted.ndim == 1 or name.endswith(("mlp.gate.weight", "pos_embed.weight"))
        assert torch.equal(value, wanted if exact else wanted.half().float()), name
        changed += not torch.equal(value, wanted)
    assert changed > 30  # it does round


def test_the_restored_configuration_is_the_models(f16_files: Files, model: Model) -> None:
    restored = load(*f16_files)[0].config.to_dict()
    written = model.config.to_dict()
    for part in (restored, written):
        for config in (part, part["text_config"], part["vision_config"]):
            # how a model begins, and how transformers runs it: no part of what it is
            for name in ("initializer_range", "dtype", "_attn_implementation", "attn_implementation"):
                config.pop(name, None)
    epsilons = [config["text_config"].pop("rms_norm_eps") for config in (restored, written)]
    assert epsilons[0] == np.float32(epsilons[1])  # a GGUF keeps 32 bits of it
    assert restored == written


def test_each_expert_computes_what_transformers_own_does(f32_files: Files, model: Model) -> None:
    tensors = {name: torch.from_numpy(value) for name, value in tensors_of(f32_files.model).items()}
    torch.manual_seed(3)
    hidden = torch.randn(5, model.config.text_config.hidden_size)
    for layer, number in ((0, 0), (2, 7)):
        # as ggml's build_moe_ffn has it: rows are outputs, SiLU of gate times up, then down
        gate, up, down = (
            tensors[f"blk.{layer}.ffn_{part}_exps.weight"][number] for part in ("gate", "up", "down")
        )
        ours = (functional.silu(hidden @ gate.T) * (hidden @ up.T)) @ down.T
        experts = model.model.language_model.layers[layer].mlp.experts
        with torch.no_grad():
            chosen = torch.full((5, 1), number)
            theirs = experts(hidden, chosen, torch.ones(5, 1))
        torch.testing.assert_close(ours, theirs, rtol=0, atol=1e-5)


def test_the_two_frames_of_the_patch_kernel_are_two_tensors(f32_files: Files, model: Model) -> None:
    tensors = tensors_of(f32_files.mmproj)
    kernel = weights_of(model)["model.visual.patch_embed.proj.weight"]
    assert np.array_equal(tensors["v.patch_embd.weight"], kernel[:, :, 0])
    assert np.array_equal(tensors["v.patch_embd.weight.1"], kernel[:, :, 1])
    assert not np.array_equal(kernel[:, :, 0], kernel[:, :, 1])


@pytest.mark.parametrize(
    "change",
    ["missing", "too many", "another shape"],
)
def test_a_file_with_other_weights_than_its_keys_say_is_refused(
    f32_files: Files, monkeypatch: pytest.MonkeyPatch, change: str
) -> None:
    class Changed(restore.Opened):
        def __init__(self, path: Path) -> None:
            super().__init__(path)
            if path == f32_files.mmproj:
                return
            if change == "missing":
                del self.tensors["blk.1.attn_q.weight"]
            elif change == "too many":
                self.tensors["blk.3.attn_q.weight"] = self.tensors["blk.1.attn_q.weight"]
            else:
                self.tensors["blk.1.attn_q.weight"] = self.tensors["blk.1.attn_q.weight"][1:]

    monkeypatch.setattr(restore, "Opened", Changed)
    with pytest.raises(RuntimeError):
        load(*f32_files)


@pytest.fixture(scope="session")
def restored_tokenizer(f16_files: Files) -> Tokenizer:
    return load(*f16_files)[1]


PIECES = st.lists(st.sampled_from([*SPECIAL_TOKENS, "What shape", "12", " ", "\n", "é", "e\u0301"]))


@given(st.text() | PIECES.map("".join))
def test_the_restored_tokenizer_splits_as_the_first_one(
    restored_tokenizer: Tokenizer, tokenizer: Tokenizer, text: str
) -> None:
    ids = tokenizer.encode(text).ids
    assert restored_tokenizer.encode(text).ids == ids
    assert restored_tokenizer.decode(ids) == tokenizer.decode(ids)


def test_the_restored_vocabulary_is_the_first_one(
    restored_tokenizer: Tokenizer, tokenizer: Tokenizer
) -> None:
    assert restored_tokenizer.get_vocab() == tokenizer.get_vocab()
    assert {*SPECIAL_TOKENS} <= tokenizer.get_vocab().keys()


def test_rows_of_the_embedding_that_nothing_becomes_are_unused_tokens(
    f16_files: Files, tokenizer: Tokenizer
) -> None:
    metadata = read_gguf(f16_files.model).metadata
    tokens, kinds = (metadata[f"tokenizer.ggml.{name}"].content for name in ("tokens", "token_type"))
    assert isinstance(tokens, tuple)
    assert isinstance(kinds, tuple)
    vocabulary = tokenizer.get_vocab()
    for number, (token, kind) in enumerate(zip(tokens, kinds, strict=True)):
        if token in vocabulary:
            assert vocabulary[str(token)] == number
            assert kind == (3 if token in SPECIAL_TOKENS else 1)
        else:
            assert (token, kind) == (f"[PAD{number}]", 5)


@pytest.mark.parametrize(
    ("name", "shape", "exact"),
    [
        ("blk.0.attn_norm.weight", (4,), True),
        ("v.blk.0.attn_qkv.bias", (4,), True),
        ("blk.0.ffn_gate_inp.weight", (4, 4), True),
        ("v.position_embd.weight", (4, 4), True),
        ("blk.0.ffn_gate_exps.weight", (2, 4, 4), False),
        ("token_embd.weight", (4, 4), False),
        ("v.patch_embd.weight", (4, 3, 2, 2), False),
    ],
)
def test_what_is_kept_exact(name: str, shape: tuple[int, ...], *, exact: bool) -> None:
    assert is_kept_exact(name, np.zeros(shape, np.float32)) is exact


def test_kinds_of_files_differ_in_size_alone(f32_files: Files, f16_files: Files) -> None:
    for one, other in zip(f32_files, f16_files, strict=True):
        assert described(one) == described(other)
        assert one.stat().st_size > 1.7 * other.stat().st_size
