from __future__ import annotations

from typing import TYPE_CHECKING, TypeAlias

import pytest

from recipes.models.gguf.lint import Summary, TypeCount, lint_mmproj, lint_model, lint_pair, summary
from recipes.models.gguf.reader import GgufFile, Value, ValueType, read_gguf
from tests.unit.models.test_gguf_reader import whole_draft

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from recipes.models.gguf.findings import Finding

F32, F16, Q4_0, Q8_0, Q8_1, I32 = 0, 1, 2, 8, 9, 26

Keys: TypeAlias = dict[str, Value]
Tensors: TypeAlias = dict[str, tuple[int, tuple[int, ...]]]


def number(content: int) -> Value:
    return Value(ValueType.UINT32, content)


def real(content: float) -> Value:
    return Value(ValueType.FLOAT32, content)


def word(content: str) -> Value:
    return Value(ValueType.STRING, content)


def words(*content: str) -> Value:
    return Value(ValueType.STRING, content)


def integers(*content: int) -> Value:
    return Value(ValueType.INT32, content)


def flags(*content: bool) -> Value:
    return Value(ValueType.BOOL, content)


def flag(*, content: bool) -> Value:
    return Value(ValueType.BOOL, content)


# Sizes that all differ, so that none can stand for another: 32 wide, 2 heads of 8 on 1 pair, 5 tokens.
TOKENIZER = {
    "tokenizer.ggml.model": word("gpt2"),
    "tokenizer.ggml.pre": word("qwen2"),
    "tokenizer.ggml.tokens": words("a", "b", "ab", "<|vision_start|>", "<|vision_end|>"),
    "tokenizer.ggml.token_type": integers(1, 1, 1, 3, 3),
    "tokenizer.ggml.merges": words("a b"),
    "tokenizer.ggml.eos_token_id": number(4),
}
COMMON = {
    "block_count": number(2),
    "context_length": number(64),
    "embedding_length": number(32),
    "attention.head_count": number(2),
    "attention.head_count_kv": number(1),
    "attention.key_length": number(8),
    "attention.value_length": number(8),
    "attention.layer_norm_rms_epsilon": real(0.5),
    "rope.freq_base": real(5000000.0),
    "rope.dimension_sections": integers(2, 1, 1, 0),
    "n_deepstack_layers": number(1),
}
EXPERTS = {
    "expert_count": number(4),
    "expert_used_count": number(2),
    "expert_feed_forward_length": number(24),
}
ATTENTION = {
    "attn_norm": (F32, (32,)),
    "attn_q": (F16, (32, 16)),
    "attn_k": (Q8_0, (32, 8)),
    "attn_v": (Q4_0, (32, 8)),
    "attn_output": (F16, (16, 32)),
    "attn_q_norm": (F32, (8,)),
    "attn_k_norm": (F32, (8,)),
    "ffn_norm": (F32, (32,)),
}
MIXTURE = {
    "ffn_gate_inp": (F32, (32, 4)),
    "ffn_gate_exps": (Q8_0, (32, 24, 4)),
    "ffn_up_exps": (F16, (32, 24, 4)),
    "ffn_down_exps": (F16, (24, 32, 4)),
}
FEED_FORWARD = {"ffn_gate": (F16, (32, 40)), "ffn_up": (F16, (32, 40)), "ffn_down": (F16, (40, 32))}


def model_keys(kind: str) -> Keys:
    sizes = COMMON | (EXPERTS if kind == "qwen3vlmoe" else {"feed_forward_length": number(40)})
    prefixed = {f"{kind}.{name}": value for name, value in sizes.items()}
    return {"general.architecture": word(kind), "general.name": word("Tiny"), **prefixed, **TOKENIZER}


def model_tensors(kind: str) -> Tensors:
    block = ATTENTION | (MIXTURE if kind == "qwen3vlmoe" else FEED_FORWARD)
    return {
        "token_embd.weight": (F16, (32, 5)),
        "output_norm.weight": (F32, (32,)),
        **{f"blk.{index}.{name}.weight": row for index in range(2) for name, row in block.items()},
    }


MMPROJ_KEYS = {
    "general.architecture": word("clip"),
    "clip.has_vision_encoder": flag(content=True),
    "clip.projector_type": word("qwen3vl_merger"),
    "clip.use_gelu": flag(content=True),
    "clip.vision.block_count": number(2),
    "clip.vision.embedding_length": number(16),
    "clip.vision.feed_forward_length": number(24),
    "clip.vision.attention.head_count": number(2),
    "clip.vision.attention.layer_norm_epsilon": real(0.5),
    "clip.vision.projection_dim": number(32),
    "clip.vision.image_size": number(12),
    "clip.vision.patch_size": number(4),
    "clip.vision.spatial_merge_size": number(2),
    "clip.vision.image_mean": Value(ValueType.FLOAT32, (0.5, 0.5, 0.5)),
    "clip.vision.image_std": Value(ValueType.FLOAT32, (0.5, 0.5, 0.5)),
    "clip.vision.is_deepstack_layers": flags(False, True),  # noqa: FBT003 - one for each block
}


def linear(name: str, inputs: int, outputs: int) -> Tensors:
    return {f"{name}.weight": (F16, (inputs, outputs)), f"{name}.bias": (F32, (outputs,))}


def norm(name: str, width: int) -> Tensors:
    return {f"{name}.weight": (F32, (width,)), f"{name}.bias": (F32, (width,))}


def vision_block(index: int) -> Tensors:
    name = f"v.blk.{index}."
    return {
        **norm(name + "ln1", 16),
        **norm(name + "ln2", 16),
        **linear(name + "attn_qkv", 16, 48),
        **linear(name + "attn_out", 16, 16),
        **linear(name + "ffn_up", 16, 24),
        **linear(name + "ffn_down", 24, 16),
    }


def merger(index: int) -> Tensors:
    name = f"v.deepstack.{index}."
    return {**norm(name + "norm", 64), **linear(name + "fc1", 64, 64), **linear(name + "fc2", 64, 32)}


MMPROJ_TENSORS = {
    "v.patch_embd.weight": (F16, (4, 4, 3, 16)),
    "v.patch_embd.weight.1": (F16, (4, 4, 3, 16)),
    "v.patch_embd.bias": (F32, (16,)),
    "v.position_embd.weight": (F32, (16, 9)),
    **vision_block(0),
    **vision_block(1),
    **merger(1),
    **norm("v.post_ln", 16),
    **linear("mm.0", 64, 64),
    **linear("mm.2", 64, 32),
}


def written(folder: Path, keys: Keys, tensors: Tensors, name: str = "x.gguf", extra: bytes = b"") -> GgufFile:
    path = folder / name
    path.write_bytes(whole_draft(keys, tensors).encode() + extra)
    return read_gguf(path)


def said(findings: tuple[Finding, ...]) -> list[str]:
    return [f"{finding.severity.value}: {finding.where} {finding.what}" for finding in findings]


@pytest.mark.parametrize("kind", ["qwen3vlmoe", "qwen3vl"])
@pytest.mark.parametrize("tied", [True, False])
def test_a_good_model_and_its_projector_pass(tmp_path: Path, kind: str, *, tied: bool) -> None:
    tensors = model_tensors(kind) | ({} if tied else {"output.weight": (F16, (32, 5))})
    model = written(tmp_path, model_keys(kind), tensors)
    mmproj = written(tmp_path, MMPROJ_KEYS, MMPROJ_TENSORS)
    assert said(lint_model(model)) == said(lint_mmproj(mmproj)) == said(lint_pair(model, mmproj)) == []


@pytest.mark.parametrize("name", [f"qwen3vlmoe.{name}" for name in (*COMMON, *EXPERTS)] + list(TOKENIZER))
def test_each_key_of_a_model_is_demanded(tmp_path: Path, name: str) -> None:
    keys = model_keys("qwen3vlmoe")
    del keys[name]
    assert f"error: {name} is missing" in said(lint_model(written(tmp_path, keys, {})))


@pytest.mark.parametrize("name", [name for name in MMPROJ_KEYS if "architecture" not in name])
def test_each_key_of_a_projector_is_demanded(tmp_path: Path, name: str) -> None:
    keys = {other: value for other, value in MMPROJ_KEYS.items() if other != name}
    found = said(lint_mmproj(written(tmp_path, keys, MMPROJ_TENSORS)))
    assert found in ([f"error: {name} is missing"], [f"error: {name} is missing, or not a text"])


@pytest.mark.parametrize(
    "name",
    [name for name in model_keys("qwen3vlmoe") if name not in {"general.architecture", "general.name"}],
)
def test_each_key_of_a_model_has_one_type(tmp_path: Path, name: str) -> None:
    keys = model_keys("qwen3vlmoe")
    right = keys[name]
    keys[name] = Value(ValueType.INT8, 1)
    (found,) = [line for line in said(lint_model(written(tmp_path, keys, {}))) if name in line][:1]
    array = "an array of " if isinstance(right.content, tuple) else ""
    also = " or UINT32" if name.endswith("dimension_sections") else ""
    assert found == f"error: {name} is INT8, not {array}{right.type.name}{also}"


def k(**changes: Value) -> Keys:
    """Keys of the model, by the last part of their names."""
    return {
        next(name for name in model_keys("qwen3vlmoe") if name.rpartition(".")[2] == short): value
        for short, value in changes.items()
    }


A, T = "error: qwen3vlmoe.", "error: tokenizer.ggml."


@pytest.mark.parametrize(
    ("changes", "found"),
    [
        (k(block_count=number(0)), [A + "block_count is 0, not from 1 to 512"]),
        (k(block_count=number(1 << 31)), [A + "block_count is 2147483648, not from 1 to 512"]),
        (k(expert_count=number(513)), [A + "expert_count is 513, not from 1 to 512"]),
        (k(embedding_length=number(0)), [A + "embedding_length is 0, not from 1 to 4294967295"]),
        (
            k(head_count=Value(ValueType.INT32, (2, 2))),
            [A + "attention.head_count is an array of INT32, not UINT32"],
        ),
        (
            k(head_count=Value(ValueType.UINT32, (2, 2))),
            [A + "attention.head_count is an array of UINT32, not UINT32"],
        ),
        (
            k(dimension_sections=Value(ValueType.INT32, 2)),
            [A + "rope.dimension_sections is INT32, not an array of INT32 or UINT32"],
        ),
        (k(value_length=number(4)), [A + "attention.value_length is 4, not key_length, 8"]),
        (
            {"qwen3vlmoe.rope.dimension_count": number(4)},
            [A + "rope.dimension_count is 4, not key_length, 8"],
        ),
        (k(n_deepstack_layers=number(3)), [A + "n_deepstack_layers is 3, and there are 2 blocks"]),
        (k(expert_used_count=number(5)), [A + "expert_used_count is 5, and there are 4 experts"]),
        (k(freq_base=real(0.0)), [A + "rope.freq_base is 0.0, not a positive number"]),
        (
            k(layer_norm_rms_epsilon=real(float("nan"))),
            [A + "attention.layer_norm_rms_epsilon is nan, not a positive number"],
        ),
        (k(dimension_sections=integers(2, 1, 1)), [A + "rope.dimension_sections has 3 values, not 4"]),
        (
            k(dimension_sections=integers(2, 2, 1, 0)),
            [A + "rope.dimension_sections is [2, 2, 1, 0], not three numbers of 1 to 4 in all, and a zero"],
        ),
        (
            k(dimension_sections=integers(1, 1, 1, 1)),
            [A + "rope.dimension_sections is [1, 1, 1, 1], not three numbers of 1 to 4 in all, and a zero"],
        ),
        (
            k(dimension_sections=integers(0, 0, 0, 0)),
            [A + "rope.dimension_sections is [0, 0, 0, 0], not three numbers of 1 to 4 in all, and a zero"],
        ),
        (
            k(dimension_sections=integers(4, -1, 1, 0)),
            [A + "rope.dimension_sections is [4, -1, 1, 0], not three numbers of 1 to 4 in all, and a zero"],
        ),
        (k(dimension_sections=Value(ValueType.UINT32, (1, 1, 1, 0))), []),
        (k(model=word("llama")), [T + "model is 'llama', not 'gpt2'"]),
        (
            k(pre=word("gpt-2")),
            ["warning: tokenizer.ggml.pre is 'gpt-2', not 'qwen2': texts are split otherwise"],
        ),
        (k(merges=words("a b", "ab", " c")), [T + "merges has 'ab', which is no pair"]),
        (k(token_type=integers(1, 3)), [T + "token_type has 2 values, not 5"]),
        (
            k(token_type=integers(1, 1, 1, 1, 4)),
            [T + "token_type makes '<|vision_start|>' a common piece of text"],
        ),
        (k(eos_token_id=number(5)), [T + "eos_token_id is 5, and there are 5 tokens"]),
        (
            {"tokenizer.ggml.padding_token_id": number(9)},
            [T + "padding_token_id is 9, and there are 5 tokens"],
        ),
        (
            k(tokens=words("a", "", "", "<|vision_start|>", "a")),
            [
                T + "tokens has 'a' more than once",
                T + "tokens has no '<|vision_end|>', which llama.cpp puts around an image",
            ],
        ),
        (
            k(tokens=words("a", "b", "<|vision_start|>", "<|vision_end|>"), token_type=integers(1, 1, 3, 3)),
            [
                T + "eos_token_id is 4, and there are 4 tokens",
                "error: token_embd.weight has the shape [32, 5], not [32, 4]",
            ],
        ),
        (k(tokens=words()), [T + "tokens has no token"]),
        (
            {"split.count": Value(ValueType.UINT16, 3)},
            ["warning: split.count is 3: a part of a model, not looked at beyond the format"],
        ),
        ({"split.count": Value(ValueType.UINT16, 1)}, []),
    ],
)
def test_a_key_of_a_model_that_does_not_fit(tmp_path: Path, changes: Keys, found: list[str]) -> None:
    model = written(tmp_path, model_keys("qwen3vlmoe") | changes, model_tensors("qwen3vlmoe"))
    assert said(lint_model(model)) == found


B = "error: blk.1."


@pytest.mark.parametrize(
    ("name", "row", "found"),
    [
        ("attn_q", (F16, (32, 8)), "attn_q.weight has the shape [32, 8], not [32, 16]"),
        ("attn_k", (F16, (32, 16)), "attn_k.weight has the shape [32, 16], not [32, 8]"),
        ("attn_v", (F16, (8, 32)), "attn_v.weight has the shape [8, 32], not [32, 8]"),
        ("attn_output", (F16, (32, 16)), "attn_output.weight has the shape [32, 16], not [16, 32]"),
        ("attn_q_norm", (F32, (32,)), "attn_q_norm.weight has the shape [32], not [8]"),
        ("ffn_gate_inp", (F32, (32, 2)), "ffn_gate_inp.weight has the shape [32, 2], not [32, 4]"),
        ("ffn_up_exps", (F16, (24, 32, 4)), "ffn_up_exps.weight has the shape [24, 32, 4], not [32, 24, 4]"),
        ("ffn_down_exps", (F16, (24, 32)), "ffn_down_exps.weight has the shape [24, 32], not [24, 32, 4]"),
        ("ffn_norm", (F16, (32,)), "ffn_norm.weight is F16, which llama.cpp cannot use there"),
        ("attn_q", (Q8_1, (32, 16)), "attn_q.weight is Q8_1, which llama.cpp cannot use there"),
        ("attn_q", (I32, (32, 16)), "attn_q.weight is I32, which llama.cpp cannot use there"),
        ("attn_norm", (F32, (32, 1, 1)), ""),
        ("attn_k_norm", None, "attn_k_norm.weight is missing"),
        ("ffn_gate", (F32, (32, 4)), "ffn_gate.weight is no tensor of a qwen3vlmoe of 2 blocks"),
    ],
)
def test_a_tensor_of_a_model_that_does_not_fit(
    tmp_path: Path, name: str, row: tuple[int, tuple[int, ...]] | None, found: str
) -> None:
    tensors = model_tensors("qwen3vlmoe")
    full = f"blk.1.{name}.weight"
    if row is None:
        del tensors[full]
    else:
        tensors[full] = row
    assert said(lint_model(written(tmp_path, model_keys("qwen3vlmoe"), tensors))) == [B + found] * bool(found)


def test_heads_that_do_not_share_pairs_evenly(tmp_path: Path) -> None:
    keys = model_keys("qwen3vl") | {"qwen3vl.attention.head_count_kv": number(3)}
    found = said(lint_model(written(tmp_path, keys, model_tensors("qwen3vl"))))
    assert found[0] == "error: qwen3vl.attention.head_count is 2, no multiple of head_count_kv, 3"


def test_thousands_of_errors_of_one_kind_are_counted(tmp_path: Path) -> None:
    keys = model_keys("qwen3vl") | {"qwen3vl.block_count": number(512)}
    assert said(lint_model(written(tmp_path, keys, model_tensors("qwen3vl")))) == [
        "error: blk.2.attn_norm.weight is missing",
        "error: blk.2.attn_q.weight is missing",
        "error: blk.2.attn_k.weight is missing",
        "error: blk.2.attn_v.weight is missing",
        "error: tensors have 5606 more errors like the one before",
    ]


def test_a_name_is_shown_so_that_a_terminal_does_not_obey_it(tmp_path: Path) -> None:
    keys = model_keys("qwen3vl") | {"tokenizer.ggml.\x1b[2J_token_id": real(1.0)}
    tensors = model_tensors("qwen3vl") | {"\x1b[31m": (F32, (8,))}
    assert said(lint_model(written(tmp_path, keys, tensors))) == [
        "error: tokenizer.ggml.\\x1b[2J_token_id is FLOAT32, not UINT32",
        "error: \\x1b[31m is no tensor of a qwen3vl of 2 blocks",
    ]


def v(**changes: Value) -> Keys:
    return {f"clip.vision.{name}": value for name, value in changes.items()}


V = "error: clip.vision."
OWN = "is no tensor of an encoder of 2 blocks with these deepstack layers"


@pytest.mark.parametrize(
    ("keys", "tensors", "found"),
    [
        (
            {"clip.use_gelu": flag(content=False)},
            {},
            ["error: clip.use_gelu is false, and true of this model"],
        ),
        (v(image_std=Value(ValueType.FLOAT32, (0.5,))), {}, [V + "image_std has 1 values, not 3"]),
        (v(image_size=number(14)), {}, [V + "image_size is 14, no multiple of patch_size, 4"]),
        (
            v(image_size=number(16)),
            {},
            ["error: v.position_embd.weight has the shape [16, 9], not [16, 16]"],
        ),
        (
            v(spatial_merge_size=number(1)),
            {},
            [V + "spatial_merge_size is 1, and llama.cpp's graph is for 2"],
        ),
        (
            v(**{"attention.head_count": number(3)}),
            {},
            [V + "embedding_length is 16, no multiple of 4 times 3 heads"],
        ),
        (
            v(is_deepstack_layers=flags(False, True, False)),  # noqa: FBT003 - one for each block
            {},
            [V + "is_deepstack_layers has 3 values, and there are 2 blocks"],
        ),
        (
            v(is_deepstack_layers=flags(True, True)),  # noqa: FBT003 - one for each block
            {},
            [
                "error: v.deepstack.0.norm.weight is missing",
                "error: v.deepstack.0.norm.bias is missing",
                "error: v.deepstack.0.fc1.weight is missing",
                "error: v.deepstack.0.fc1.bias is missing",
                "error: tensors have 2 more errors like the one before",
            ],
        ),
        (
            v(is_deepstack_layers=flags(False, False)),  # noqa: FBT003 - one for each block
            {},
            [
                V + "is_deepstack_layers marks no layer, and llama.cpp's graph ends without one",
                f"error: v.deepstack.1.norm.weight {OWN}",
                f"error: v.deepstack.1.norm.bias {OWN}",
                f"error: v.deepstack.1.fc1.weight {OWN}",
                f"error: v.deepstack.1.fc1.bias {OWN}",
                "error: tensors have 2 more errors like the one before",
            ],
        ),
        ({}, {"v.class_embd": (F32, (16,))}, [f"error: v.class_embd {OWN}"]),
        (
            {},
            {"v.patch_embd.weight.1": (F32, (4, 4, 16, 3))},
            ["error: v.patch_embd.weight.1 has the shape [4, 4, 16, 3], not [4, 4, 3, 16]"],
        ),
        (
            {},
            {"v.position_embd.weight": (F16, (16, 9))},
            ["error: v.position_embd.weight is F16, which llama.cpp cannot use there"],
        ),
        (
            {},
            {"v.blk.0.attn_qkv.weight": (F16, (16, 16))},
            ["error: v.blk.0.attn_qkv.weight has the shape [16, 16], not [16, 48]"],
        ),
        (
            {},
            {"mm.0.weight": (F16, (64, 32))},
            ["error: mm.0.weight has the shape [64, 32], not [64, 64]"],
        ),
        (
            v(projection_dim=number(48)),
            {},
            [
                "error: v.deepstack.1.fc2.weight has the shape [64, 32], not [64, 48]",
                "error: v.deepstack.1.fc2.bias has the shape [32], not [48]",
                "error: mm.2.weight has the shape [64, 32], not [64, 48]",
                "error: mm.2.bias has the shape [32], not [48]",
            ],
        ),
    ],
)
def test_a_projector_that_does_not_fit(
    tmp_path: Path, keys: Keys, tensors: Tensors, found: list[str]
) -> None:
    mmproj = written(tmp_path, MMPROJ_KEYS | keys, MMPROJ_TENSORS | tensors)
    assert said(lint_mmproj(mmproj)) == found


BEYOND = "not looked at beyond the format"


@pytest.mark.parametrize(
    ("lint", "keys", "found"),
    [
        (lint_model, {}, "error: general.architecture is missing, or not a text"),
        (
            lint_model,
            {"general.architecture": number(1)},
            "error: general.architecture is missing, or not a text",
        ),
        (
            lint_model,
            {"general.architecture": word("llama")},
            f"warning: general.architecture is 'llama': {BEYOND}",
        ),
        (
            lint_model,
            MMPROJ_KEYS,
            "error: general.architecture is 'clip': this is a projector (mmproj), not a model",
        ),
        (
            lint_mmproj,
            model_keys("qwen3vl"),
            "error: general.architecture is 'qwen3vl': this is a language model, not a projector (mmproj)",
        ),
        (
            lint_mmproj,
            {"general.architecture": word("llama")},
            f"warning: general.architecture is 'llama': {BEYOND}",
        ),
        (
            lint_mmproj,
            {"general.architecture": word("clip"), "clip.projector_type": word("gemma3")},
            f"warning: clip.projector_type is 'gemma3': {BEYOND}",
        ),
    ],
)
def test_another_kind_of_file_is_said_not_to_be_looked_at(
    tmp_path: Path, lint: Callable[[GgufFile], tuple[Finding, ...]], keys: Keys, found: str
) -> None:
    assert said(lint(written(tmp_path, keys, {}))) == [found]


def test_what_belongs_to_no_tensor_is_said_whatever_the_kind(tmp_path: Path) -> None:
    tensors: Tensors = {"a": (F32, (8,)), "b": (F32, (8,))}
    keys = {"general.architecture": word("llama")}
    file = written(tmp_path, keys, tensors, extra=b"PK\3\4")
    assert said(lint_model(file))[:-1] == [
        "warning: the end of the file has 4 bytes that belong to no tensor"
    ]
    gap = GgufFile(
        version=3,
        alignment=32,
        metadata=file.metadata,
        tensors=file.tensors[1:],
        data_offset=file.data_offset,
        file_size=file.file_size,
    )
    assert said(lint_mmproj(gap))[:-1] == ["error: b is at 32, not at 0: llama.cpp wants no gap"]


@pytest.mark.parametrize(
    ("changes", "tensors", "found"),
    [
        (
            {"qwen3vl.embedding_length": number(48)},
            MMPROJ_TENSORS,
            ["error: mmproj: mm.2.weight gives vectors of [32], and the model takes [48]"],
        ),
        (
            {"qwen3vl.n_deepstack_layers": number(2)},
            MMPROJ_TENSORS,
            ["error: mmproj: v.deepstack gives 1 layers, and the model takes 2"],
        ),
        (
            {"qwen3vl.embedding_length": real(1.0), "qwen3vl.n_deepstack_layers": real(1.0)},
            {},
            [
                "error: mmproj: mm.2.weight gives vectors of [], and the model takes [None]",
                "error: mmproj: v.deepstack gives 0 layers, and the model takes None",
            ],
        ),
        (
            {"general.architecture": word("llama")},
            MMPROJ_TENSORS,
            ["error: model and mmproj do not belong together: 'llama' and 'qwen3vl_merger'"],
        ),
    ],
)
def test_a_pair_that_does_not_belong_together(
    tmp_path: Path, changes: Keys, tensors: Tensors, found: list[str]
) -> None:
    model = written(tmp_path, model_keys("qwen3vl") | changes, {})
    assert said(lint_pair(model, written(tmp_path, MMPROJ_KEYS, tensors))) == found


def test_a_pair_of_other_kinds_is_said_not_to_be_looked_at(tmp_path: Path) -> None:
    file = written(tmp_path, {"general.architecture": word("llama")}, {})
    assert said(lint_pair(file, file)) == [f"warning: model and mmproj were {BEYOND}"]


def test_a_summary_names_the_types_by_their_bytes(tmp_path: Path) -> None:
    keys = {"general.architecture": word("x"), "general.name": word("Tiny")}
    tensors: Tensors = {"a": (F32, (3,)), "b": (Q8_0, (32, 2)), "c": (F32, (2,))}
    assert summary(written(tmp_path, keys, tensors)) == Summary(
        architecture="x",
        name="Tiny",
        parameters=69,
        types=(TypeCount("Q8_0", 1, 68), TypeCount("F32", 2, 20)),
    )
    assert summary(written(tmp_path, {}, {})) == Summary("", "", 0, ())
