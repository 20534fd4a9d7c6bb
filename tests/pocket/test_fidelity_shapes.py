"""The models of other shapes: they differ where they should, and what is written of them is what they are."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import pytest
import torch
from gguf import GGUFReader
from torch.nn import functional

from recipes.models.gguf.lint import lint_mmproj, lint_model, lint_pair
from recipes.models.gguf.reader import read_gguf
from recipes.pocket.fidelity.model_shapes import SHAPES, Shape, make, write
from recipes.pocket.model.export_gguf import language_names, weights_of
from recipes.pocket.model.import_gguf import load
from recipes.pocket.reference.reference import Reference
from tests.pocket.conftest import PROMPTS, Files, images_of

if TYPE_CHECKING:
    from pathlib import Path

    from tokenizers import Tokenizer

by_shape = pytest.mark.parametrize("shape", SHAPES, ids=lambda shape: shape.name)
DENSE_TIED = next(shape for shape in SHAPES if shape.experts is None and shape.is_tied)


def written(shape: Shape, folder: Path, tokenizer: Tokenizer) -> Files:
    files = Files(folder / "model.gguf", folder / "mmproj.gguf")
    write(shape, tokenizer, *files)
    return files


def test_they_differ_in_all_that_may_go_wrong() -> None:
    assert len(SHAPES) == 6
    assert len({shape.seed for shape in SHAPES}) == len({shape.name for shape in SHAPES}) == 6
    assert {len(shape.deepstack) for shape in SHAPES} == {1, 2, 3, 4}
    assert {shape.sections for shape in SHAPES} >= {(6, 5, 5), (20, 9, 17), (24, 20, 20), (4, 11, 3)}
    assert {shape.is_tied for shape in SHAPES if shape.experts} == {False, True}
    assert {shape.is_tied for shape in SHAPES if not shape.experts} == {False, True}
    assert len({shape.head for shape in SHAPES}) == 6
    for shape in SHAPES:
        assert sum(shape.sections) * 2 == shape.head
        assert shape.heads % shape.groups == 0
        assert len(shape.deepstack) < shape.layers


@by_shape
def test_the_files_are_sound_and_give_back_every_weight(
    shape: Shape, tmp_path: Path, tokenizer: Tokenizer
) -> None:
    files = written(shape, tmp_path, tokenizer)
    model, mmproj = map(read_gguf, files)
    assert [*lint_model(model), *lint_mmproj(mmproj), *lint_pair(model, mmproj)] == []
    restored, _ = load(*files)
    made = make(shape, tokenizer)
    assert restored.state_dict().keys() == made.state_dict().keys()
    for name, value in made.state_dict().items():
        assert torch.equal(restored.state_dict()[name], value), name
    assert type(restored) is type(made)
    assert restored.config.tie_word_embeddings is shape.is_tied
    assert restored.config.text_config.rope_parameters["mrope_section"] == list(shape.sections)


@by_shape
def test_names_and_keys_are_those_of_published_files(
    shape: Shape, tmp_path: Path, tokenizer: Tokenizer
) -> None:
    model = read_gguf(written(shape, tmp_path, tokenizer).model)
    names = {tensor.name for tensor in model.tensors}
    architecture = model.metadata["general.architecture"].content
    assert ("output.weight" in names) is not shape.is_tied
    of_experts = {
        f"blk.0.{name}.weight" for name in ("ffn_gate_inp", "ffn_gate_exps", "ffn_up_exps", "ffn_down_exps")
    }
    of_dense = {f"blk.0.{name}.weight" for name in ("ffn_gate", "ffn_up", "ffn_down")}
    if shape.experts:
        assert architecture == "qwen3vlmoe"
        assert (of_experts <= names, of_dense & names) == (True, set())
        counts = (model.metadata[f"qwen3vlmoe.expert_{name}"].content for name in ("count", "used_count"))
        assert tuple(counts) == shape.experts
    else:
        assert architecture == "qwen3vl"
        assert (of_dense <= names, of_experts & names) == (True, set())
        assert not [key for key in model.metadata if "expert" in key]
    assert model.metadata[f"{architecture}.n_deepstack_layers"].content == len(shape.deepstack)
    assert model.metadata[f"{architecture}.rope.dimension_sections"].content == (*shape.sections, 0)


def test_a_dense_layer_computes_what_transformers_own_does(tmp_path: Path, tokenizer: Tokenizer) -> None:
    path = written(DENSE_TIED, tmp_path, tokenizer).model
    tensors = {tensor.name: torch.from_numpy(np.array(tensor.data)) for tensor in GGUFReader(path).tensors}
    torch.manual_seed(3)
    hidden = torch.randn(5, tensors["output_norm.weight"].shape[0])
    for layer in range(DENSE_TIED.layers):
        # as ggml's build_ffn has it: SiLU of gate times up, then down
        gate, up, down = (tensors[f"blk.{layer}.ffn_{part}.weight"] for part in ("gate", "up", "down"))
        ours = (functional.silu(hidden @ gate.T) * (hidden @ up.T)) @ down.T
        with torch.no_grad():
            theirs = make(DENSE_TIED, tokenizer).model.language_model.layers[layer].mlp(hidden)
        torch.testing.assert_close(ours, theirs, rtol=0, atol=1e-4)


def test_weights_follow_from_the_seed(tokenizer: Tokenizer) -> None:
    one, same, other = (
        make(shape, tokenizer) for shape in (DENSE_TIED, DENSE_TIED, replace(DENSE_TIED, seed=99))
    )
    for name, value in one.state_dict().items():
        assert torch.equal(value, same.state_dict()[name]), name
    assert not torch.equal(one.lm_head.weight, other.lm_head.weight)


@by_shape
def test_no_gain_is_one_and_no_bias_nothing(shape: Shape, tokenizer: Tokenizer) -> None:
    for name, value in make(shape, tokenizer).named_parameters():
        assert value.std() > 0.03, name


def test_a_head_that_is_the_embedding_is_written_once(tokenizer: Tokenizer) -> None:
    assert "lm_head.weight" not in weights_of(make(DENSE_TIED, tokenizer))
    assert "output.weight" not in language_names(DENSE_TIED.layers, "qwen3vl", is_tied=True)


@pytest.mark.parametrize("name", ["text alone 0", "where, wide", "resized, too small"])
def test_the_reference_answers_as_transformers_own_forward_does(
    name: str, tmp_path: Path, tokenizer: Tokenizer
) -> None:
    loaded, _ = load(*written(DENSE_TIED, tmp_path, tokenizer))
    reference, prompt = Reference(loaded, tokenizer), PROMPTS[name]
    batch = reference.prepare(prompt)
    with torch.no_grad():
        whole = loaded(input_ids=batch.ids, **images_of(loaded, batch, batch.ids))
    theirs = whole.logits[0, -1].log_softmax(-1)
    torch.testing.assert_close(reference.first(prompt, frozenset(), {}), theirs, rtol=0, atol=2e-5)


def test_sums_in_16_bits_change_a_dense_model_too(tmp_path: Path, tokenizer: Tokenizer) -> None:
    reference = Reference(*load(*written(DENSE_TIED, tmp_path, tokenizer)))
    for name, deviation in (("text alone 0", "half-text"), ("where, wide", "half")):
        exact, changed, again = (
            reference.first(PROMPTS[name], frozenset(names), {}) for names in ((), (deviation,), ())
        )
        assert not torch.equal(exact, changed)
        assert torch.equal(exact, again)
