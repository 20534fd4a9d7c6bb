"""Qwen2-VL and Qwen2.5-VL: good files pass, and each tensor and key that llama.cpp needs is demanded."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from recipes.manifest.load import Manifests
from recipes.models.gguf.lint import lint_mmproj, lint_model, lint_pair
from recipes.models.gguf.reader import GgufFile, read_gguf
from recipes.models.loader.table import read_table
from tests.support.gguf_drafts import MMPROJ_KEYS, MMPROJ_TENSORS, Keys, Tensors, flag, number, whole_draft
from tests.support.gguf_qwen2 import MODEL_KEYS, MODEL_TENSORS, SIZES, mmproj_keys, mmproj_tensors

if TYPE_CHECKING:
    from pathlib import Path

MANIFESTS = Manifests()
TABLE = read_table(MANIFESTS, MANIFESTS.defaults().recipe)
KINDS = ("qwen2vl_merger", "qwen2.5vl_merger")


def written(folder: Path, keys: Keys, tensors: Tensors) -> GgufFile:
    path = folder / "x.gguf"
    path.write_bytes(whole_draft(keys, tensors).encode())
    return read_gguf(path)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("exchanged", [False, True])
def test_a_good_model_and_its_projector_pass(tmp_path: Path, kind: str, *, exchanged: bool) -> None:
    model = written(tmp_path, MODEL_KEYS, MODEL_TENSORS)
    mmproj = written(tmp_path, mmproj_keys(kind), mmproj_tensors(kind, exchanged=exchanged))
    assert lint_model(model, TABLE) == lint_mmproj(mmproj, TABLE) == lint_pair(model, mmproj) == ()


@pytest.mark.parametrize("name", [f"qwen2vl.{name}" for name in SIZES])
def test_each_key_of_a_model_is_demanded(tmp_path: Path, name: str) -> None:
    keys = {key: value for key, value in MODEL_KEYS.items() if key != name}
    assert (name, "is missing") in {
        (one.where, one.what) for one in lint_model(written(tmp_path, keys, MODEL_TENSORS))
    }


@pytest.mark.parametrize("name", [name for name in MODEL_TENSORS if "blk.1." not in name])
def test_each_tensor_of_a_model_is_demanded(tmp_path: Path, name: str) -> None:
    tensors = {key: value for key, value in MODEL_TENSORS.items() if key != name}
    (found,) = lint_model(written(tmp_path, MODEL_KEYS, tensors))
    assert (found.where, found.what) == (name, "is missing")


@pytest.mark.parametrize("kind", KINDS)
def test_each_tensor_of_a_projector_is_demanded(tmp_path: Path, kind: str) -> None:
    whole = mmproj_tensors(kind)
    for name in [name for name in whole if "blk.1." not in name and name != "v.blk.0.ffn_up.weight"]:
        tensors = {key: value for key, value in whole.items() if key != name}
        (found,) = lint_mmproj(written(tmp_path, mmproj_keys(kind), tensors))
        assert (found.where, found.what) == (name, "is missing")


@pytest.mark.parametrize(
    ("kind", "changes", "where"),
    [
        (KINDS[0], {"clip.use_silu": flag(content=True)}, "clip.use_silu"),
        (KINDS[0], {"clip.use_gelu": flag(content=True)}, "clip.use_gelu"),
        (KINDS[0], {"clip.vision.n_wa_pattern": number(2)}, "clip.vision.n_wa_pattern"),
        (KINDS[0], {"clip.vision.spatial_merge_size": number(1)}, "clip.vision.spatial_merge_size"),
        (KINDS[1], {"clip.use_silu": flag(content=False)}, "clip.use_silu"),
        (KINDS[1], {"clip.vision.n_wa_pattern": number(0)}, "clip.vision.n_wa_pattern"),
    ],
)
def test_a_key_of_a_projector_that_does_not_fit(tmp_path: Path, kind: str, changes: Keys, where: str) -> None:
    found = lint_mmproj(written(tmp_path, mmproj_keys(kind) | changes, mmproj_tensors(kind)))
    assert [one.where for one in found] == [where]


def test_heads_that_do_not_make_the_width(tmp_path: Path) -> None:
    found = lint_model(
        written(tmp_path, MODEL_KEYS | {"qwen2vl.attention.head_count": number(3)}, MODEL_TENSORS)
    )
    assert "qwen2vl.embedding_length" in [one.where for one in found]


def test_a_projector_of_another_kind_does_not_fit(tmp_path: Path) -> None:
    model = written(tmp_path, MODEL_KEYS, MODEL_TENSORS)
    (found,) = lint_pair(model, written(tmp_path, MMPROJ_KEYS, MMPROJ_TENSORS))
    assert "do not belong together" in found.what
