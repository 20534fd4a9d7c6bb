"""A word of the command line that names a file, and the file that it names."""

from __future__ import annotations

from pathlib import Path

import pytest

from recipes.core.errors import UsageError, VerifyError
from recipes.models.named_file import is_file_name, model_path

BLOB = "sha256-" + "0a" * 32


@pytest.mark.parametrize(
    "word", ["x.gguf", "X.GGUF", "./pocket", BLOB, BLOB.replace("-", ":"), "https://a/b", "here"]
)
def test_what_names_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, word: str) -> None:
    monkeypatch.chdir(tmp_path)
    Path("here").touch()
    assert is_file_name(word, ("pocket",))


def test_a_model_of_the_manifests_comes_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("pocket").touch()
    assert not is_file_name("pocket", ("pocket",))
    assert not is_file_name("poket", ("pocket",))


def test_an_address_is_not_a_file() -> None:
    with pytest.raises(UsageError) as caught:
        model_path("https://hub.example/a/b/resolve/main/x.gguf")
    assert (caught.value.found, "download the file" in caught.value.fix) == ("an address", True)


def test_a_part_whose_others_are_missing_names_them(tmp_path: Path) -> None:
    first = tmp_path / "m-00001-of-00003.gguf"
    first.touch()
    with pytest.raises(VerifyError) as caught:
        model_path(str(first))
    assert caught.value.found == "not there: m-00002-of-00003.gguf, m-00003-of-00003.gguf"
    for number in (2, 3):
        (tmp_path / f"m-0000{number}-of-00003.gguf").touch()
    assert model_path(str(first)) == first
