"""What must hold between the parts of a model's manifest."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from recipes.core.errors import ManifestError, PinMissingError, RecipeError, UsageError
from tests.support.model_manifests import HUB, LOCAL, a_project, the_model

if TYPE_CHECKING:
    from pathlib import Path


def test_a_model_of_the_repository_and_one_of_a_hub_are_valid(tmp_path: Path) -> None:
    manifests = a_project(tmp_path, local=LOCAL, hub=HUB)
    assert manifests.model_names() == ("hub", "local")
    local, hub = manifests.model("local"), manifests.model("hub")
    assert [file.path for file in local.files] == ["data/model.gguf", "data/mmproj.gguf"]
    assert (local.golden, local.repository, local.revision) == ("tests/golden.json", None, None)
    assert hub.repository == "someone/Some-GGUF"
    assert [(file.file, file.size_bytes, file.max_bytes) for file in hub.files] == [
        ("model.gguf", None, 5000),
        ("mmproj.gguf", 4, None),
    ]
    assert [file.sha256 is None for file in hub.files] == [True, False]


@pytest.mark.parametrize(
    "case",
    [
        (LOCAL, "role: mmproj", "role: model", "local.yaml:14: files[1].role", "another `model`"),
        (LOCAL, "    path: data/model.gguf\n", "", "local.yaml:9: files[0]", "`path`"),
        (
            LOCAL,
            "    size_bytes: 3\n",
            "    size_bytes: 3\n    file: a\n",
            "local.yaml:12: files[0].file",
            "no `file`",
        ),
        (
            LOCAL,
            "licence: MIT\n",
            f"licence: MIT\nrevision: {'c3' * 20}\n",
            "local.yaml:7: revision",
            "`repository`",
        ),
        (
            HUB,
            "licence: Apache-2.0\n",
            "licence: Apache-2.0\ngolden: a\n",
            "hub.yaml:7: golden",
            "no `golden`",
        ),
        (HUB, "hub: https://hub.example\n", "", "hub.yaml:7: repository", "add `hub:"),
        (HUB, "revision_unlocked: never seen\n", "", "hub.yaml:1", "neither"),
        (
            HUB,
            "revision_unlocked: never seen\n",
            f"revision: {'c3' * 20}\nrevision_unlocked: never seen\n",
            "hub.yaml:10: revision_unlocked",
            "both",
        ),
        (
            HUB,
            "revision_unlocked: never seen\n",
            "revision: main\n",
            "hub.yaml:9: revision",
            "4 digits: `main`",
        ),
        (HUB, "repository: someone/", "repository: ", "hub.yaml:8: repository", "OWNER/NAME"),
        (
            HUB,
            "    file: model.gguf\n",
            "    file: a\n    path: a\n",
            "hub.yaml:13: files[0].path",
            "no `path`",
        ),
        (HUB, "    file: model.gguf\n", "", "hub.yaml:11: files[0]", "add `file:"),
        (
            HUB,
            "    max_bytes: 5000\n",
            "    size_bytes: 1\n    max_bytes: 5000\n",
            "hub.yaml:14: files[0].max_bytes",
            "remove `max_bytes`",
        ),
        (HUB, "file: model.gguf", "file: ../model.gguf", "hub.yaml:12: files[0].file", "no `..`"),
    ],
)
def test_a_spoiled_model_is_refused(tmp_path: Path, case: tuple[str, str, str, str, str]) -> None:
    text, old, new, where, word = case
    error = refusal(tmp_path, text, old, new)
    assert (type(error), error.where) == (ManifestError, f"manifests/models/{where}")
    assert word in str(error)


@pytest.mark.parametrize(
    ("text", "old", "where", "word"),
    [
        (LOCAL, f"    sha256: {'a1' * 32}\n", "local.yaml:9: files[0]", "a second source"),
        (LOCAL, "    size_bytes: 3\n", "local.yaml:9: files[0]", "a second source"),
        (HUB, "    unlocked: no digest is known\n", "hub.yaml:11: files[0]", "-s lock -- --model hub"),
    ],
)
def test_a_missing_pin_of_a_model_says_how_it_is_made(
    tmp_path: Path, text: str, old: str, where: str, word: str
) -> None:
    error = refusal(tmp_path, text, old, "")
    assert (type(error), error.where) == (PinMissingError, f"manifests/models/{where}")
    assert word in error.fix


def refusal(folder: Path, text: str, old: str, new: str) -> RecipeError:
    assert text.count(old) == 1, "a case changes one place"
    with pytest.raises(RecipeError) as caught:
        the_model(folder, text.replace(old, new))
    return caught.value


def test_an_unknown_model_is_refused_with_what_was_meant(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="did you mean `local`"):
        a_project(tmp_path, local=LOCAL, hub=HUB).model("lokal")
