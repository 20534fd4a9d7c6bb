"""What the tests of the pocket model share: a model with random weights, as transformers has it and as files.

PYTHON -m pytest tests/pocket, where PYTHON has manifests/python/reference.lock installed.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import pytest
import torch
from gguf import GGMLQuantizationType

from recipes.pocket.model.architecture import new_model
from recipes.pocket.model.export_gguf import weights_of, write_model, write_projector
from recipes.pocket.model.import_gguf import load
from recipes.pocket.model.preprocess import Writer
from recipes.pocket.model.tokenizer import train_tokenizer
from recipes.pocket.reference.reference import Reference

if TYPE_CHECKING:
    from pathlib import Path

    from tokenizers import Tokenizer


torch.set_num_threads(
    1
)  # so small a model gains nothing by more, and loses much where other programs run too


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
def model(tokenizer: Tokenizer) -> Any:  # noqa: ANN401 - transformers' model
    return new_model(tokenizer).eval()


def write(folder: Path, model: Any, tokenizer: Tokenizer, kind: GGMLQuantizationType) -> Files:  # noqa: ANN401 - as above
    files = Files(folder / "model.gguf", folder / "mmproj.gguf")
    weights = weights_of(model)
    write_model(files.model, model.config, weights, tokenizer, kind)
    write_projector(files.mmproj, model.config, weights, kind)
    return files


@pytest.fixture(scope="session")
def f32_files(tmp_path_factory: pytest.TempPathFactory, model: Any, tokenizer: Tokenizer) -> Files:  # noqa: ANN401 - as above
    return write(tmp_path_factory.mktemp("f32"), model, tokenizer, GGMLQuantizationType.F32)


@pytest.fixture(scope="session")
def f16_files(tmp_path_factory: pytest.TempPathFactory, model: Any, tokenizer: Tokenizer) -> Files:  # noqa: ANN401 - as above
    return write(tmp_path_factory.mktemp("f16"), model, tokenizer, GGMLQuantizationType.F16)


@pytest.fixture(scope="session")
def reference(f32_files: Files) -> Reference:
    return Reference(*load(*f32_files))
