"""What the tests of the pocket model share: a model with random weights, as transformers has it and as files.

PYTHON -m pytest tests/pocket, where PYTHON has manifests/python/reference.lock installed.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias

import pytest
import torch
from gguf import GGMLQuantizationType

from recipes.evalset.prompts import compared
from recipes.pocket.model.architecture import new_model
from recipes.pocket.model.batches import collate
from recipes.pocket.model.export_gguf import weights_of, write_model, write_projector
from recipes.pocket.model.import_gguf import load
from recipes.pocket.model.preprocess import Writer
from recipes.pocket.model.tokenizer import END_OF_TEXT, train_tokenizer
from recipes.pocket.reference.reference import Reference

if TYPE_CHECKING:
    from pathlib import Path

    from tokenizers import Tokenizer
    from torch import Tensor

    from recipes.evalset.tasks import Conversation
    from recipes.pocket.model.batches import Batch


torch.set_num_threads(1)  # so small a model gains nothing by more, and loses much beside other programs
PROMPTS = {prompt.name: prompt for prompt in compared()}
Model: TypeAlias = Any  # transformers' model, which is not installed where types are checked


class Files(NamedTuple):
    """A language model and its projector."""

    model: Path
    mmproj: Path


@pytest.fixture(scope="session")
def tokenizer() -> Tokenizer:
    return train_tokenizer()


@pytest.fixture(scope="session")
def writer(tokenizer: Tokenizer) -> Writer:
    return Writer(tokenizer)


@pytest.fixture(scope="session")
def model(tokenizer: Tokenizer) -> Model:
    return new_model(tokenizer).eval()


def write(folder: Path, model: Model, tokenizer: Tokenizer, kind: GGMLQuantizationType) -> Files:
    files = Files(folder / "model.gguf", folder / "mmproj.gguf")
    weights = weights_of(model)
    write_model(files.model, model.config, weights, tokenizer, kind)
    write_projector(files.mmproj, model.config, weights, kind)
    return files


@pytest.fixture(scope="session")
def f32_files(tmp_path_factory: pytest.TempPathFactory, model: Model, tokenizer: Tokenizer) -> Files:
    return write(tmp_path_factory.mktemp("f32"), model, tokenizer, GGMLQuantizationType.F32)


@pytest.fixture(scope="session")
def f16_files(tmp_path_factory: pytest.TempPathFactory, model: Model, tokenizer: Tokenizer) -> Files:
    return write(tmp_path_factory.mktemp("f16"), model, tokenizer, GGMLQuantizationType.F16)


@pytest.fixture(scope="session")
def reference(f32_files: Files) -> Reference:
    return Reference(*load(*f32_files))


def collated(writer: Writer, *conversations: Conversation) -> Batch:
    prepared = [writer.prepare(conversation) for conversation in conversations]
    return collate(prepared, writer.special(END_OF_TEXT))


def images_of(model: Model, batch: Batch, ids: Tensor) -> dict[str, Tensor]:
    """What transformers' whole model takes of a batch's images beside the ids."""
    if not len(batch.grids):
        return {}
    kinds = (ids == model.config.image_token_id).int()
    return {"pixel_values": batch.pixels(), "image_grid_thw": batch.grids, "mm_token_type_ids": kinds}
