"""Each rule of the lint finds what breaks it, and nothing else."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from recipes.models.gguf.lint import lint_mmproj, lint_model, lint_pair
from recipes.models.gguf.reader import GgufFile, Value, ValueType, read_gguf
from tests.support.gguf_drafts import (
    COMMON,
    EXPERTS,
    F16,
    F32,
    I32,
    MMPROJ_KEYS,
    MMPROJ_TENSORS,
    Q8_1,
    TOKENIZER,
    Keys,
    Tensors,
    flag,
    flags,
    integers,
    model_keys,
    model_tensors,
    number,
    real,
    whole_draft,
    word,
    words,
)

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from recipes.models.gguf.findings import Finding

Expected = tuple[str, str]  # where, and a part of what; a warning's where starts with "?"


def written(folder: Path, keys: Keys, tensors: Tensors, name: str = "x.gguf", extra: bytes = b"") -> GgufFile:
    path = folder / name
    path.write_bytes(whole_draft(keys, tensors).encode() + extra)
    return read_gguf(path)


def assert_found(findings: tuple[Finding, ...], expected: list[Expected]) -> None:
    """Demand these errors and warnings, and no other."""
    found = [("?" * (one.severity.value == "warning") + one.where, one.what) for one in findings]
    assert [where for where, _ in found] == [where for where, _ in expected], found
    for (_, what), (_, part) in zip(found, expected, strict=True):
        assert part in what


@pytest.mark.parametrize("kind", ["qwen3vlmoe", "qwen3vl"])
@pytest.mark.parametrize("tied", [True, False])
def test_a_good_model_and_its_projector_pass(tmp_path: Path, kind: str, *, tied: bool) -> None:
    tensors = model_tensors(kind) | ({} if tied else {"output.weight": (F16, (32, 5))})
    model = written(tmp_path, model_keys(kind), tensors)
    mmproj = written(tmp_path, MMPROJ_KEYS, MMPROJ_TENSORS)
    assert lint_model(model) == lint_mmproj(mmproj) == lint_pair(model, mmproj) == ()


KEYS = (*(f"qwen3vlmoe.{name}" for name in (*COMMON, *EXPERTS)), *TOKENIZER)


@pytest.mark.parametrize("name", KEYS)
def test_each_key_of_a_model_is_demanded_and_has_one_type(tmp_path: Path, name: str) -> None:
    keys, tensors = model_keys("qwen3vlmoe"), model_tensors("qwen3vlmoe")
    right = keys.pop(name)
    assert (name, "is missing") in {
        (one.where, one.what) for one in lint_model(written(tmp_path, keys, tensors))
    }
    keys[name] = Value(ValueType.INT8, 1)
    found = next(one.what for one in lint_model(written(tmp_path, keys, tensors)) if one.where == name)
    array = "an array of " if isinstance(right.content, tuple) else ""
    assert found.startswith(f"is INT8, not {array}{right.type.name}")


@pytest.mark.parametrize("name", [name for name in MMPROJ_KEYS if "architecture" not in name])
def test_each_key_of_a_projector_is_demanded(tmp_path: Path, name: str) -> None:
    keys = {other: value for other, value in MMPROJ_KEYS.items() if other != name}
    assert_found(lint_mmproj(written(tmp_path, keys, MMPROJ_TENSORS)), [(name, "is missing")])


def k(**changes: Value) -> Keys:
    """Keys of the model, by the last part of their names."""
    return {
        next(name for name in model_keys("qwen3vlmoe") if name.rpartition(".")[2] == short): value
        for short, value in changes.items()
    }


A, T = "qwen3vlmoe.", "tokenizer.ggml."
EPSILON, SECTIONS = A + "attention.layer_norm_rms_epsilon", A + "rope.dimension_sections"
HEADS = A + "attention.head_count"
ORDINARY = "'<|vision_start|>' ordinary"


@pytest.mark.parametrize(
    ("changes", "found"),
    [
        (k(block_count=number(0)), [(A + "block_count", "is 0, not from 1 to 512")]),
        (k(block_count=number(1 << 31)), [(A + "block_count", "2147483648")]),
        (k(expert_count=number(513)), [(A + "expert_count", "is 513, not from 1 to 512")]),
        (k(embedding_length=number(0)), [(A + "embedding_length", "from 1 to 2147483647")]),
        (k(head_count=integers(2, 2)), [(HEADS, "is an array of INT32, not UINT32")]),
        (k(head_count=Value(ValueType.UINT32, (2, 2))), [(HEADS, "is an array of UINT32, not UINT32")]),
        (k(dimension_sections=Value(ValueType.INT32, 2)), [(SECTIONS, "not an array of INT32 or UINT32")]),
        (k(value_length=number(4)), [(A + "attention.value_length", "is 4, not key_length, 8")]),
        ({A + "rope.dimension_count": number(4)}, [(A + "rope.dimension_count", "key_length, 8")]),
        (k(n_deepstack_layers=number(3)), [(A + "n_deepstack_layers", "is 3, and there are 2 blocks")]),
        (k(expert_used_count=number(5)), [(A + "expert_used_count", "is 5, and there are 4 experts")]),
        (k(freq_base=real(0.0)), [(A + "rope.freq_base", "is 0.0, not a positive")]),
        (k(layer_norm_rms_epsilon=real(float("nan"))), [(EPSILON, "is nan, not a positive")]),
        (k(dimension_sections=integers(2, 1, 1)), [(SECTIONS, "has 3 values, not 4")]),
        (k(dimension_sections=integers(2, 2, 1, 0)), [(SECTIONS, "is [2, 2, 1, 0], not")]),
        (k(dimension_sections=integers(1, 1, 1, 1)), [(SECTIONS, "is [1, 1, 1, 1], not")]),
        (k(dimension_sections=integers(0, 0, 0, 0)), [(SECTIONS, "is [0, 0, 0, 0], not")]),
        (k(dimension_sections=integers(4, -1, 1, 0)), [(SECTIONS, "is [4, -1, 1, 0], not")]),
        (k(dimension_sections=Value(ValueType.UINT32, (1, 1, 1, 0))), []),
        (k(model=word("llama")), [(T + "model", "is 'llama', not 'gpt2'")]),
        (k(pre=word("gpt-2")), [("?" + T + "pre", "is 'gpt-2', not 'qwen2'")]),
        (k(merges=words("a b", "ab", " c")), [(T + "merges", "'ab'")]),
        (k(token_type=integers(1, 3)), [(T + "token_type", "has 2 values, not 5")]),
        (k(token_type=integers(1, 1, 1, 1, 4)), [(T + "token_type", ORDINARY)]),
        (k(eos_token_id=number(5)), [(T + "eos_token_id", "is 5, and there are 5 tokens")]),
        ({T + "padding_token_id": number(9)}, [(T + "padding_token_id", "is 9, and there are 5 tokens")]),
        (
            k(tokens=words("a", "", "", "<|vision_start|>", "a")),
            [(T + "tokens", "'a' more than once"), (T + "tokens", "has no '<|vision_end|>'")],
        ),
        (
            k(tokens=words("a", "b", "<|vision_start|>", "<|vision_end|>"), token_type=integers(1, 1, 3, 3)),
            [(T + "eos_token_id", "is 4"), ("token_embd.weight", "[32, 5], not [32, 4]")],
        ),
        (k(tokens=words()), [(T + "tokens", "has no token")]),
        ({"split.count": Value(ValueType.UINT16, 3)}, [("split.count", "this is part ? of 3 of a model")]),
        ({"split.count": Value(ValueType.UINT16, 1)}, []),
    ],
)
def test_a_key_of_a_model_that_does_not_fit(tmp_path: Path, changes: Keys, found: list[Expected]) -> None:
    model = written(tmp_path, model_keys("qwen3vlmoe") | changes, model_tensors("qwen3vlmoe"))
    assert_found(lint_model(model), found)


@pytest.mark.parametrize(
    ("name", "row", "found"),
    [
        ("attn_q", (F16, (32, 8)), "[32, 8], not [32, 16]"),
        ("attn_k", (F16, (32, 16)), "[32, 16], not [32, 8]"),
        ("attn_v", (F16, (8, 32)), "[8, 32], not [32, 8]"),
        ("attn_output", (F16, (32, 16)), "[32, 16], not [16, 32]"),
        ("attn_q_norm", (F32, (32,)), "[32], not [8]"),
        ("ffn_gate_inp", (F32, (32, 2)), "[32, 2], not [32, 4]"),
        ("ffn_up_exps", (F16, (24, 32, 4)), "[24, 32, 4], not [32, 24, 4]"),
        ("ffn_down_exps", (F16, (24, 32)), "[24, 32], not [24, 32, 4]"),
        ("ffn_norm", (F16, (32,)), "F16"),
        ("attn_q", (Q8_1, (32, 16)), "Q8_1"),
        ("attn_q", (I32, (32, 16)), "I32"),
        ("attn_norm", (F32, (32, 1, 1)), ""),
        ("attn_k_norm", None, "is missing"),
        ("ffn_gate", (F32, (32, 4)), "is not a tensor of a qwen3vlmoe of 2 blocks"),
    ],
)
def test_a_tensor_of_a_model_that_does_not_fit(
    tmp_path: Path, name: str, row: tuple[int, tuple[int, ...]] | None, found: str
) -> None:
    full = f"blk.1.{name}.weight"
    tensors = {other: what for other, what in model_tensors("qwen3vlmoe").items() if other != full}
    tensors |= {full: row} if row is not None else {}
    model = written(tmp_path, model_keys("qwen3vlmoe"), tensors)
    assert_found(lint_model(model), [(full, found)] if found else [])


def test_heads_that_do_not_share_pairs_evenly(tmp_path: Path) -> None:
    keys = model_keys("qwen3vl") | {"qwen3vl.attention.head_count_kv": number(3)}
    found = lint_model(written(tmp_path, keys, model_tensors("qwen3vl")))
    assert_found(found[:1], [("qwen3vl.attention.head_count", "head_count_kv, 3")])


MORE = ("tensors", "have 2 more errors")


def test_thousands_of_errors_of_one_kind_are_counted(tmp_path: Path) -> None:
    keys = model_keys("qwen3vl") | {"qwen3vl.block_count": number(512)}
    named = [(f"blk.2.attn_{name}.weight", "is missing") for name in ("norm", "q", "k", "v")]
    found = lint_model(written(tmp_path, keys, model_tensors("qwen3vl")))
    assert_found(found, [*named, ("tensors", "have 5606 more errors")])


def test_a_name_is_shown_so_that_a_terminal_does_not_obey_it(tmp_path: Path) -> None:
    keys = model_keys("qwen3vl") | {"tokenizer.ggml.\x1b[2J_token_id": real(1.0)}
    tensors = model_tensors("qwen3vl") | {"\x1b[31m": (F32, (8,))}
    found = lint_model(written(tmp_path, keys, tensors))
    assert_found(found, [(T + "\\x1b[2J_token_id", "FLOAT32"), ("\\x1b[31m", "not a tensor")])


def v(**changes: Value) -> Keys:
    return {f"clip.vision.{name}": value for name, value in changes.items()}


V, POSITIONS = "clip.vision.", "v.position_embd.weight"
OWN = "is not a tensor of an encoder of 2 blocks with these deepstack layers"
PARTS = ("norm.weight", "norm.bias", "fc1.weight", "fc1.bias")
YES, NO = True, False


@pytest.mark.parametrize(
    ("keys", "tensors", "found"),
    [
        ({"clip.use_gelu": flag(content=False)}, {}, [("clip.use_gelu", "is false")]),
        (v(image_std=Value(ValueType.FLOAT32, (0.5,))), {}, [(V + "image_std", "has 1 values, not 3")]),
        (v(image_size=number(14)), {}, [(V + "image_size", "is 14, not a multiple of patch_size, 4")]),
        (v(image_size=number(16)), {}, [(POSITIONS, "[16, 9], not [16, 16]")]),
        (v(spatial_merge_size=number(1)), {}, [(V + "spatial_merge_size", "is 1")]),
        (v(**{"attention.head_count": number(3)}), {}, [(V + "embedding_length", "4 times 3 heads")]),
        (v(is_deepstack_layers=flags(NO, YES, NO)), {}, [(V + "is_deepstack_layers", "has 3 values")]),
        (
            v(is_deepstack_layers=flags(YES, YES)),
            {},
            [*((f"v.deepstack.0.{part}", "is missing") for part in PARTS), MORE],
        ),
        (
            v(is_deepstack_layers=flags(NO, NO)),
            {},
            [*((f"v.deepstack.1.{part}", OWN) for part in PARTS), MORE],
        ),
        ({}, {"v.class_embd": (F32, (16,))}, [("v.class_embd", OWN)]),
        (
            {},
            {"v.patch_embd.weight.1": (F32, (4, 4, 16, 3))},
            [("v.patch_embd.weight.1", "[4, 4, 16, 3], not [4, 4, 3, 16]")],
        ),
        ({}, {POSITIONS: (F16, (16, 9))}, [(POSITIONS, "F16")]),
        (
            {},
            {"v.blk.0.attn_qkv.weight": (F16, (16, 16))},
            [("v.blk.0.attn_qkv.weight", "[16, 16], not [16, 48]")],
        ),
        ({}, {"mm.0.weight": (F16, (64, 32))}, [("mm.0.weight", "[64, 32], not [64, 64]")]),
        (
            v(projection_dim=number(48)),
            {},
            [
                ("v.deepstack.1.fc2.weight", "[64, 32], not [64, 48]"),
                ("v.deepstack.1.fc2.bias", "[32], not [48]"),
                ("mm.2.weight", "[64, 32], not [64, 48]"),
                ("mm.2.bias", "[32], not [48]"),
            ],
        ),
    ],
)
def test_a_projector_that_does_not_fit(
    tmp_path: Path, keys: Keys, tensors: Tensors, found: list[Expected]
) -> None:
    assert_found(lint_mmproj(written(tmp_path, MMPROJ_KEYS | keys, MMPROJ_TENSORS | tensors)), found)


ARCHITECTURE, BEYOND = "general.architecture", "only its format, keys and vocabulary were checked"
LLAMA = {ARCHITECTURE: word("llama"), T + "tokens": words("a", "b")}
GEMMA = {ARCHITECTURE: word("clip"), "clip.projector_type": word("gemma3")}


@pytest.mark.parametrize(
    ("lint", "keys", "found"),
    [
        (lint_model, {}, (ARCHITECTURE, "is missing")),
        (lint_model, {ARCHITECTURE: number(1)}, (ARCHITECTURE, "not a text")),
        (lint_model, LLAMA, ("?" + ARCHITECTURE, f"is 'llama': {BEYOND}")),
        (lint_model, MMPROJ_KEYS, (ARCHITECTURE, "is 'clip': this is a projector")),
        (lint_mmproj, model_keys("qwen3vl"), (ARCHITECTURE, "is 'qwen3vl': this is a language model")),
        (lint_mmproj, LLAMA, ("?" + ARCHITECTURE, f"is 'llama': {BEYOND}")),
        (lint_mmproj, {ARCHITECTURE: word("clip")}, ("clip.projector_type", "is missing")),
        (lint_mmproj, GEMMA, ("?clip.projector_type", f"is 'gemma3': {BEYOND}")),
    ],
)
def test_only_the_format_of_another_kind_of_file_is_checked(
    tmp_path: Path, lint: Callable[[GgufFile], tuple[Finding, ...]], keys: Keys, found: Expected
) -> None:
    assert_found(lint(written(tmp_path, keys, {"a": (F32, (8,))})), [found])


def test_bytes_of_no_tensor_and_gaps_are_found_in_any_kind_of_file(tmp_path: Path) -> None:
    file = written(tmp_path, LLAMA, {"a": (F32, (8,)), "b": (F32, (8,))}, extra=b"PK\3\4")
    assert_found(lint_model(file)[:-1], [("?the end of the file", "has 4 bytes")])
    gap = replace(file, tensors=file.tensors[1:])
    assert_found(lint_mmproj(gap)[:-1], [("b", "is at 32, not at 0")])


WIDTH, LAYERS, BOTH = "mmproj: mm.2.weight", "mmproj: v.deepstack", "model and mmproj"


@pytest.mark.parametrize(
    ("changes", "tensors", "found"),
    [
        (
            {"qwen3vl.embedding_length": number(48)},
            MMPROJ_TENSORS,
            [(WIDTH, "[32], and the model takes [48]")],
        ),
        (
            {"qwen3vl.n_deepstack_layers": number(2)},
            MMPROJ_TENSORS,
            [(LAYERS, "gives 1 layers, and the model takes 2")],
        ),
        (
            {"qwen3vl.embedding_length": real(1.0), "qwen3vl.n_deepstack_layers": real(1.0)},
            {},
            [(WIDTH, "[], and the model takes [None]"), (LAYERS, "takes None")],
        ),
        (
            {"qwen3vl.n_deepstack_layers": number(0)},
            {name: row for name, row in MMPROJ_TENSORS.items() if "deepstack" not in name},
            [(LAYERS, "gives no layer, and llama.cpp's graph needs one")],
        ),
        (LLAMA, MMPROJ_TENSORS, [(BOTH, "'llama' and 'qwen3vl_merger'")]),
    ],
)
def test_a_pair_that_does_not_belong_together(
    tmp_path: Path, changes: Keys, tensors: Tensors, found: list[Expected]
) -> None:
    model = written(tmp_path, model_keys("qwen3vl") | changes, {})
    assert_found(lint_pair(model, written(tmp_path, MMPROJ_KEYS, tensors)), found)


def test_a_pair_of_other_kinds_is_not_checked(tmp_path: Path) -> None:
    file = written(tmp_path, LLAMA, {})
    assert_found(lint_pair(file, file), [("?" + BOTH, "only their format was checked")])
