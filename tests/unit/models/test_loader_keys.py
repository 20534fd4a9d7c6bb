"""Each key that a recipe's llama.cpp reads: of another type, another length or out of its range it is refused."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from recipes.manifest.load import Manifests
from recipes.models.gguf.findings import Severity
from recipes.models.gguf.lint import lint_mmproj, lint_model
from recipes.models.gguf.reader import Value, ValueType, read_gguf
from recipes.models.loader.table import ANY_ARCHITECTURE, BLOCKS, KeyRead, LoaderTable, read_table
from tests.support.gguf_drafts import (
    F32,
    MMPROJ_KEYS,
    MMPROJ_TENSORS,
    Keys,
    Tensors,
    model_keys,
    model_tensors,
    number,
    real,
    whole_draft,
    word,
    words,
)

if TYPE_CHECKING:
    from pathlib import Path

MANIFESTS = Manifests()
RECIPES = MANIFESTS.recipe_names()
TABLES = {name: read_table(MANIFESTS, name) for name in RECIPES}
T = "tokenizer.ggml."
LLAMA: Keys = {"general.architecture": word("llama"), T + "tokens": words("a", "b")}
ONE: Tensors = {"a": (F32, (8,))}
WRONG = (
    Value(ValueType.INT8, 1),
    Value(ValueType.INT8, (1,)),
    Value(ValueType.UINT64, 1),
    Value(ValueType.UINT64, (1,)),
)


def errors(folder: Path, keys: Keys, tensors: Tensors, table: LoaderTable) -> dict[str, str]:
    path = folder / "x.gguf"
    path.write_bytes(whole_draft(keys, tensors).encode())
    file = read_gguf(path)
    lint = lint_mmproj if "clip.projector_type" in keys else lint_model
    return {one.where: one.what for one in lint(file, table) if one.severity is Severity.ERROR}


def wrong(read: KeyRead) -> list[Value]:
    return [
        one
        for one in WRONG
        if one.type.name not in (read.many if isinstance(one.content, tuple) else read.one)
    ]


def cases() -> list[tuple[str, str, KeyRead]]:
    return [
        (recipe, kind, read)
        for recipe, table in TABLES.items()
        for kind, reads in (
            ("qwen3vlmoe", table.model),
            ("llama", table.model),
            ("qwen3vl_merger", table.projector),
        )
        for read in reads
        if (not read.of or kind in read.of) and wrong(read)
    ]


@pytest.mark.parametrize("recipe", RECIPES)
@pytest.mark.parametrize("kind", ["qwen3vlmoe", "qwen3vl"])
def test_a_good_model_and_its_projector_pass(tmp_path: Path, recipe: str, kind: str) -> None:
    assert errors(tmp_path, model_keys(kind), model_tensors(kind), TABLES[recipe]) == {}
    assert errors(tmp_path, MMPROJ_KEYS, MMPROJ_TENSORS, TABLES[recipe]) == {}
    assert errors(tmp_path, LLAMA, ONE, TABLES[recipe]) == {}


@pytest.mark.parametrize("recipe", RECIPES)
def test_each_key_that_the_loader_reads_is_refused_with_another_type(tmp_path: Path, recipe: str) -> None:
    tried = 0
    for of, kind, read in cases():
        if of != recipe:
            continue
        keys = MMPROJ_KEYS if kind == "qwen3vl_merger" else LLAMA if kind == "llama" else model_keys(kind)
        key = read.key.replace(ANY_ARCHITECTURE, "vision" if kind == "qwen3vl_merger" else kind)
        if key in {"general.architecture", "clip.projector_type"} or any(
            other.key == read.key and not wrong(other) for other in TABLES[recipe].model
        ):
            continue
        for value in wrong(read):
            found = errors(tmp_path, keys | {key: value}, ONE, TABLES[recipe])
            assert key in found, (key, value)
            tried += 1
    assert tried > 300


@pytest.mark.parametrize("recipe", RECIPES)
def test_an_array_of_another_length_is_refused(tmp_path: Path, recipe: str) -> None:
    tried = 0
    for read in TABLES[recipe].model:
        if read.of and "llama" not in read.of:
            continue
        if read.length == BLOCKS or read.most:
            key = read.key.replace(ANY_ARCHITECTURE, "llama")
            for count in (1, 3, 600):
                keys = LLAMA | {
                    "llama.block_count": number(2),
                    key: Value(ValueType[read.many[-1]], (1,) * count),
                }
                assert (key in errors(tmp_path, keys, ONE, TABLES[recipe])) == (
                    count > (read.most or count) or read.length == BLOCKS
                ), (key, count)
                tried += 1
    assert tried >= 9


@pytest.mark.parametrize(
    ("recipe", "experts", "found"),
    [
        ("b6751", 384, ""),
        ("b6751", 385, "room for 384"),
        ("b11312", 1024, ""),
        ("b11312", 1025, "room for 1024"),
    ],
)
def test_experts_and_layers_are_those_of_the_recipe(
    tmp_path: Path, recipe: str, experts: int, found: str
) -> None:
    key = "llama.expert_count"
    assert found in errors(tmp_path, LLAMA | {key: number(experts)}, ONE, TABLES[recipe]).get(key, "")
    keys = model_keys("qwen3vlmoe") | {"qwen3vlmoe.expert_count": number(experts)}
    said = errors(tmp_path, keys, model_tensors("qwen3vlmoe"), TABLES[recipe]).get(
        "qwen3vlmoe.expert_count", ""
    )
    assert bool(said) == bool(found)
    key = "llama.block_count"
    assert "room for 512" in errors(tmp_path, LLAMA | {key: number(513)}, ONE, TABLES[recipe])[key]


def test_a_type_of_tensor_is_one_of_the_recipe(tmp_path: Path) -> None:
    tensors: Tensors = {"a": (40, (64,))}  # NVFP4
    assert "does not have" in errors(tmp_path, LLAMA, tensors, TABLES["b6751"])["a"]
    assert errors(tmp_path, LLAMA, tensors, TABLES["b11312"]) == {}


M = "qwen3vlmoe."


@pytest.mark.parametrize(
    ("key", "value", "found"),
    [
        (T + "scores", Value(ValueType.UINT8, (1,)), "an array of UINT8"),
        (T + "scores", Value(ValueType.FLOAT32, (1.0,)), "has 1 values, not 5"),
        (T + "token_type", Value(ValueType.INT32, (7, 1, 1, 3, 4)), "has 7, which is no kind"),
        (T + "bos_token_id", number(5), "is 5, and there are 5 tokens"),
        (T + "suppress_tokens", Value(ValueType.INT32, (-1,)), "has -1"),
        (M + "attention.causal", Value(ValueType.BOOL, content=False), "is False"),
        (M + "nextn_predict_layers", number(1), "is 1, not from 0 to 0"),
        (M + "rope.scaling.type", word("?"), "not one of"),
        (M + "rope.scaling.factor", real(float("nan")), "is nan"),
        (M + "vocab_size", number(6), "is 6, and there are 5 tokens"),
        (M + "classifier.output_labels", words("a"), "no model of this kind"),
        (T + "pre", word("of-nobody"), "does not know"),
        ("general.sampling.penalty_repeat", real(0.0), "is 0.0, not from"),
        ("general.sampling.mirostat", number(3), "is 3, not from 0 to 2"),
        ("general.sampling.penalty_last_n", Value(ValueType.INT32, (1 << 31) - 1), "not from -1"),
    ],
)
def test_a_value_that_would_change_the_results_or_end_the_program(
    tmp_path: Path, key: str, value: Value, found: str
) -> None:
    keys = model_keys("qwen3vlmoe") | {key: value}
    said = errors(tmp_path, keys, model_tensors("qwen3vlmoe"), TABLES["b11312"])
    assert (list(said), found in said.get(key, "")) == ([key], True), said


def test_an_id_that_llama_cpp_takes_itself_is_in_the_vocabulary(tmp_path: Path) -> None:
    keys = model_keys("qwen3vlmoe")
    del keys[T + "bos_token_id"]
    found = errors(tmp_path, keys, model_tensors("qwen3vlmoe"), TABLES["b11312"])
    assert found == {T + "bos_token_id": "is missing, llama.cpp then takes 11, and there are 5 tokens"}


@pytest.mark.parametrize(
    ("key", "value", "found"),
    [
        ("clip.vision.feature_layer", Value(ValueType.UINT8, (0,) * 1000), "an array of 1000 UINT8"),
        ("clip.vision.feature_layer", Value(ValueType.INT32, (0,)), "no model of this kind"),
        ("clip.vision.image_mean", Value(ValueType.FLOAT32, (0.5, 0.5, float("inf"))), "three numbers"),
        ("clip.vision.image_std", Value(ValueType.FLOAT32, (0.5, 0.5, 0.0)), "three numbers"),
        ("clip.vision.image_min_pixels", number(0), "is 0, not from 1"),
        ("clip.has_audio_encoder", Value(ValueType.BOOL, content=True), "is True"),
        ("clip.use_silu", Value(ValueType.BOOL, content=True), "is true"),
        ("clip.vision.image_size", number(1 << 20), "not from 1 to 8192"),
    ],
)
def test_a_value_of_a_projector_that_would_end_the_program(
    tmp_path: Path, key: str, value: Value, found: str
) -> None:
    said = errors(tmp_path, MMPROJ_KEYS | {key: value}, MMPROJ_TENSORS, TABLES["b11312"])
    assert (list(said), found in said.get(key, "")) == ([key], True), said


@pytest.mark.parametrize(
    ("model", "token", "kind"), [("plamo2", "<0x-1>", 1), ("llama", "<0xZZ>", 1), ("gpt2", "<0x0A", 6)]
)
def test_a_token_that_is_no_byte(tmp_path: Path, model: str, token: str, kind: int) -> None:
    more = {T + "model": word(model), T + "token_type": Value(ValueType.INT32, (kind, 1))}
    ids = {
        T + name: number(0)
        for name in ("bos_token_id", "eos_token_id", "padding_token_id", "unknown_token_id")
    }
    keys = LLAMA | more | ids | {T + "tokens": words(token, "b")}
    assert "is not a byte" in errors(tmp_path, keys, ONE, TABLES["b11312"])[T + "tokens"]
    keys |= {T + "tokens": words("<0x0A>", "b")}
    assert errors(tmp_path, keys, ONE, TABLES["b11312"]) == {}


@pytest.mark.parametrize("tokens", [("a", "a"), ("a\0b", "a"), ("", "[EMPTY_0]")])
def test_tokens_that_are_one_to_llama_cpp(tmp_path: Path, tokens: tuple[str, ...]) -> None:
    found = errors(tmp_path, LLAMA | {T + "tokens": words(*tokens)}, ONE, TABLES["b11312"])
    assert "more than once" in found[T + "tokens"]
