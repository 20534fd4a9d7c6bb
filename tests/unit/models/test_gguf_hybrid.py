"""Qwen3.6's mixture of experts: good files pass, each key and tensor is demanded, and its states are counted."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

import pytest

from recipes.manifest.load import Manifests
from recipes.models.gguf.lint import lint_mmproj, lint_model, lint_pair
from recipes.models.gguf.reader import GgufFile, read_gguf
from recipes.models.inspect import estimate_memory, inspect
from recipes.models.loader.table import read_table
from recipes.models.report import memory_lines
from tests.support.gguf_drafts import (
    F16,
    MMPROJ_KEYS,
    MMPROJ_TENSORS,
    Keys,
    Tensors,
    flags,
    number,
    whole_draft,
    word,
)
from tests.support.gguf_hybrid import (
    DRAFT_BLOCK,
    DRAFT_KEYS,
    EXPERTS,
    HEAD,
    HEADS,
    INNER,
    MIXED,
    OPTIONAL,
    PAIRS,
    PROJECTOR_KEYS,
    PROJECTOR_TENSORS,
    SIZES,
    STATE,
    TENSORS,
    TOKENS,
    VALUES,
    WIDTH,
    model_keys,
)

if TYPE_CHECKING:
    from pathlib import Path

MANIFESTS = Manifests()
NEW, OLD = (read_table(MANIFESTS, recipe) for recipe in ("b11312", "b6751"))
T = TypeVar("T")
A, YES, NO = "qwen35moe.", True, False


def written(folder: Path, keys: Keys, tensors: Tensors, name: str = "x.gguf") -> GgufFile:
    path = folder / name
    path.write_bytes(whole_draft(keys, tensors).encode())
    return read_gguf(path)


def without(rows: dict[str, T], *names: str) -> dict[str, T]:
    assert all(name in rows for name in names)
    return {name: row for name, row in rows.items() if name not in names}


def test_a_good_model_and_its_projector_pass(tmp_path: Path) -> None:
    model = written(tmp_path, model_keys(), TENSORS)
    mmproj = written(tmp_path, PROJECTOR_KEYS, PROJECTOR_TENSORS, "p.gguf")
    assert lint_model(model, NEW) == lint_mmproj(mmproj, NEW) == lint_pair(model, mmproj) == ()


@pytest.mark.parametrize(
    ("keys", "tensors"),
    [
        (without(model_keys(), *(A + name for name in OPTIONAL)), TENSORS),
        (without(model_keys(), A + "attention.recurrent_layers"), TENSORS),
        (without(model_keys(), A + "attention.recurrent_layers", A + "full_attention_interval"), TENSORS),
        (without(model_keys(), A + "rope.dimension_count"), TENSORS),
        (model_keys() | DRAFT_KEYS, TENSORS | DRAFT_BLOCK),
        (without(model_keys() | DRAFT_KEYS, A + "attention.recurrent_layers"), TENSORS | DRAFT_BLOCK),
        (
            model_keys() | DRAFT_KEYS,
            TENSORS | DRAFT_BLOCK | {"blk.4.nextn.embed_tokens.weight": (F16, (WIDTH, TOKENS))},
        ),
        (
            model_keys(),
            without(TENSORS, "blk.1.ffn_gate_exps.weight", "blk.1.ffn_up_exps.weight")
            | {"blk.1.ffn_gate_up_exps.weight": (F16, (WIDTH, 2 * INNER, EXPERTS))},
        ),
        (
            model_keys(),
            without(TENSORS, *(f"blk.3.attn_{name}.weight" for name in "qkv"))
            | {"blk.3.attn_qkv.weight": (F16, (WIDTH, 2 * (HEADS + PAIRS) * HEAD))},
        ),
    ],
)
def test_what_llama_cpp_loads_too_passes(tmp_path: Path, keys: Keys, tensors: Tensors) -> None:
    assert lint_model(written(tmp_path, keys, tensors), NEW) == ()


@pytest.mark.parametrize("name", SIZES)
def test_each_key_is_demanded(tmp_path: Path, name: str) -> None:
    found = lint_model(written(tmp_path, without(model_keys(), A + name), TENSORS), NEW)
    assert (A + name, "is missing") in {(one.where, one.what) for one in found}


@pytest.mark.parametrize("name", [name for name in TENSORS if not name.startswith(("blk.1.", "blk.2."))])
def test_each_tensor_is_demanded(tmp_path: Path, name: str) -> None:
    (found,) = lint_model(written(tmp_path, model_keys(), without(TENSORS, name)), NEW)
    assert (found.where, found.what) == (name, "is missing")


@pytest.mark.parametrize("name", DRAFT_BLOCK)
def test_each_tensor_of_a_block_that_guesses_ahead_is_demanded(tmp_path: Path, name: str) -> None:
    tensors = TENSORS | without(DRAFT_BLOCK, name)
    (found,) = lint_model(written(tmp_path, model_keys() | DRAFT_KEYS, tensors), NEW)
    assert (found.where, found.what) == (name, "is missing")


@pytest.mark.parametrize(
    ("changes", "where", "what"),
    [
        ({"ssm.inner_size": number(STATE * VALUES + 16)}, "ssm.inner_size", "not 10 heads of 16"),
        ({"ssm.group_count": number(3)}, "ssm.time_step_rank", "not a multiple of group_count, 3"),
        ({"rope.dimension_count": number(3)}, "rope.dimension_count", "not an even part of key_length, 8"),
        ({"rope.dimension_count": number(10)}, "rope.dimension_count", "not an even part"),
        ({"rope.dimension_count": number(2)}, "rope.dimension_sections", "sum from 1 to 1"),
        (
            {"attention.recurrent_layers": flags(YES, YES, NO)},
            "attention.recurrent_layers",
            "each of 4 blocks",
        ),
        ({"attention.recurrent_layers": number(1)}, "attention.recurrent_layers", "each of 4 blocks"),
        ({"nextn_predict_layers": number(2)}, "nextn_predict_layers", "is 2, not from 0 to 1"),
    ],
)
def test_what_llama_cpp_would_compute_wrongly_with_is_found(
    tmp_path: Path, changes: Keys, where: str, what: str
) -> None:
    keys = model_keys() | {A + name: value for name, value in changes.items()}
    found = {one.where: one.what for one in lint_model(written(tmp_path, keys, TENSORS), NEW)}
    assert what in found[A + where]


def test_an_interval_of_0_is_found_since_llama_cpp_divides_by_it(tmp_path: Path) -> None:
    keys = without(model_keys(), A + "attention.recurrent_layers") | {
        A + "full_attention_interval": number(0)
    }
    found = {one.where: one.what for one in lint_model(written(tmp_path, keys, TENSORS), NEW)}
    assert found[A + "full_attention_interval"].startswith("is 0, not from 1")


def test_a_recipe_that_does_not_load_it_says_so(tmp_path: Path) -> None:
    (found,) = [
        one
        for one in lint_model(written(tmp_path, model_keys(), TENSORS), OLD)
        if one.where == "general.architecture"
    ]
    assert found.what == "is 'qwen35moe', which this recipe's llama.cpp does not load"
    assert "--recipe" in found.fix


def test_the_kernel_of_the_convolution_is_read_in_one_type_only(tmp_path: Path) -> None:
    tensors = TENSORS | {"blk.0.ssm_conv1d.weight": (F16, (4, MIXED))}
    (found,) = lint_model(written(tmp_path, model_keys(), tensors), NEW)
    assert (found.where, found.what) == (
        "blk.0.ssm_conv1d.weight",
        "is F16, which llama.cpp cannot use there",
    )


def test_a_projector_with_layers_for_another_kind_does_not_fit(tmp_path: Path) -> None:
    model = written(tmp_path, model_keys(), TENSORS)
    (found,) = lint_pair(model, written(tmp_path, MMPROJ_KEYS, MMPROJ_TENSORS, "p.gguf"))
    assert (found.where, found.what) == ("mmproj: v.deepstack", "gives 1 layers, and the model takes 0")


@pytest.mark.parametrize(("more", "tensors"), [({}, TENSORS), (DRAFT_KEYS, TENSORS | DRAFT_BLOCK)])
def test_memory_has_keys_of_full_attention_and_one_state_a_request(
    tmp_path: Path, more: Keys, tensors: Tensors
) -> None:
    file = written(tmp_path, model_keys() | more, tensors)
    memory = estimate_memory(file, None, context=1000)
    assert memory is not None
    assert memory.cache == 1000 * 1 * PAIRS * (HEAD + HEAD) * 2
    assert memory.state == 4 * 3 * 4 * (3 * MIXED + STATE * STATE * VALUES)
    assert memory.without_projector == memory.weights + memory.cache + memory.state + memory.compute
    lines = list(memory_lines(inspect(file, None, 1000, NEW), 1000))
    assert "state of linear attention" in lines[0]
    assert "not counted: up to 32 copies" in lines[-1]


@pytest.mark.parametrize(
    "keys",
    [
        without(model_keys(), A + "ssm.state_size"),
        model_keys() | {A + "block_count": number((1 << 32) - 1)},
        model_keys() | {A + "attention.recurrent_layers": flags(YES)},
    ],
)
def test_memory_is_unknown_where_the_file_does_not_say(tmp_path: Path, keys: Keys) -> None:
    assert estimate_memory(written(tmp_path, keys, TENSORS), None, context=1000) is None


def test_the_splitter_of_another_family_is_a_warning(tmp_path: Path) -> None:
    keys = model_keys() | {"tokenizer.ggml.pre": word("qwen2")}
    (found,) = lint_model(written(tmp_path, keys, TENSORS), NEW)
    assert (found.where, found.severity.value) == ("tokenizer.ggml.pre", "warning")
