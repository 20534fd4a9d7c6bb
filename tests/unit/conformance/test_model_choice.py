"""What conformance asks: models that have a reference, and no others."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from recipes.conformance.results.model_choice import reference_of
from recipes.core.errors import ManifestError, PinMissingError
from recipes.manifest.load import PROJECT, Manifests
from tests.support.model_manifests import HUB, LOCAL, a_project

if TYPE_CHECKING:
    from pathlib import Path


def test_a_model_of_the_repository_has_a_reference(tmp_path: Path) -> None:
    manifests = a_project(tmp_path, local=LOCAL)
    assert reference_of(manifests, manifests.model("local")) == tmp_path / "tests" / "golden.json"


def test_a_fetched_model_is_refused_and_the_fix_names_the_default_model() -> None:
    manifests = Manifests()
    with pytest.raises(PinMissingError) as caught:
        reference_of(manifests, manifests.model("qwen3-vl-30b-a3b-instruct"))
    assert caught.value.where == "manifests/models/qwen3-vl-30b-a3b-instruct.yaml"
    assert "conformance -- --model pocket" in caught.value.fix
    assert reference_of(manifests, manifests.model(str(manifests.defaults().model))).is_relative_to(PROJECT)


def test_a_hub_model_with_a_reference_is_no_manifest(tmp_path: Path) -> None:
    text = HUB.replace("unlocked: no digest is known", f"sha256: {'a1' * 32}") + "golden: tests/golden.json\n"
    with pytest.raises(ManifestError, match="no `golden`"):
        a_project(tmp_path, hub=text).model("hub")
