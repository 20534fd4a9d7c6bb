"""What is no model says what it is, with a fix that can help."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from recipes.models.gguf.lint import lint_mmproj, lint_model
from recipes.models.gguf.other_kinds import part_names
from recipes.models.gguf.reader import Value, ValueType, read_gguf
from tests.support.gguf_drafts import (
    F32,
    MMPROJ_TENSORS,
    Keys,
    Tensors,
    model_keys,
    model_tensors,
    whole_draft,
    word,
)

if TYPE_CHECKING:
    from pathlib import Path

ONE: Tensors = {"a": (F32, (8,))}
ARCHITECTURE = "general.architecture"


def part(number: int) -> Keys:
    numbers = {"split.count": Value(ValueType.UINT16, 2), "split.no": Value(ValueType.UINT16, number)}
    return numbers if number else model_keys("qwen3vlmoe") | numbers


@pytest.mark.parametrize(
    ("keys", "tensors", "where", "what", "fix"),
    [
        ({"general.type": word("imatrix")}, ONE, "general.type", "importance matrix", "--imatrix"),
        (
            {"general.type": word("adapter"), ARCHITECTURE: word("llama")},
            ONE,
            "general.type",
            "LoRA",
            "--lora",
        ),
        ({"adapter.type": word("lora")}, ONE, "adapter.type", "LoRA", "--lora"),
        ({ARCHITECTURE: word("controlvector")}, ONE, ARCHITECTURE, "control vector", "--control-vector"),
        (model_keys("qwen3vlmoe"), {}, "tensors", "a vocabulary alone", "whole"),
        ({ARCHITECTURE: word("llama")}, {}, "tensors", "keys alone", "whole"),
        (part(0), ONE, "split.count", "part 1 of 2", "llama-gguf-split --merge"),
        (part(1), ONE, "split.count", "part 2 of 2", "llama-gguf-split --merge"),
        (
            model_keys("qwen3vl"),
            model_tensors("qwen3vl") | MMPROJ_TENSORS,
            "v.patch_embd.weight",
            "model and encoder in one file",
            "two files",
        ),
    ],
)
def test_a_file_that_is_no_model_says_what_it_is(  # noqa: PLR0913, PLR0917 - one case's parts
    tmp_path: Path, keys: Keys, tensors: Tensors, where: str, what: str, fix: str
) -> None:
    (tmp_path / "x.gguf").write_bytes(whole_draft(keys, tensors).encode())
    file = read_gguf(tmp_path / "x.gguf")
    for lint in (lint_model, lint_mmproj):
        (finding,) = lint(file)
        assert (finding.where, what in finding.what, fix in finding.fix) == (where, True, True), finding


def test_the_names_of_a_models_parts() -> None:
    assert part_names("m-00002-of-00003.gguf") == tuple(f"m-0000{at}-of-00003.gguf" for at in (1, 2, 3))
    assert part_names("m.gguf") == part_names("m-00001-of-99999.gguf") == ()
