from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest

from recipes.core.errors import ApiKeyError
from recipes.serve.api_key import KEY_VARIABLE, MAKE, demand_api_key, parse_api_key, read_api_key

if TYPE_CHECKING:
    from pathlib import Path

KEY = "0123456789abcde+"


def key_file(folder: Path, text: str = f"{KEY}\n", mode: int = 0o600) -> Path:
    path = folder / "key"
    path.write_text(text, encoding="utf-8")
    path.chmod(mode)
    return path


def test_a_file_that_is_named_beats_the_variable(tmp_path: Path) -> None:
    other = {KEY_VARIABLE: "another-key-of-more-than-16"}
    assert read_api_key(key_file(tmp_path), other) == KEY
    assert read_api_key(None, other) == other[KEY_VARIABLE]
    assert read_api_key(None, {}) is None
    assert read_api_key(None, {KEY_VARIABLE: ""}) is None


@pytest.mark.parametrize("text", [f"{KEY}\r\n", KEY, "!" * 512, "~" * 16])
def test_a_line_is_a_key(tmp_path: Path, text: str) -> None:
    assert read_api_key(key_file(tmp_path, text), {}) == text.strip()


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("", "0 characters"),
        (KEY[:15], "15 characters"),
        (f"{KEY} x", "18 characters, of which some cannot be in a key"),
        (f"{KEY},{KEY}", "33 characters, of which some cannot be in a key"),  # it would be two keys
        (f"{KEY}\n{KEY}", "33 characters, of which some cannot be in a key"),
        (f"{KEY}ü", "17 characters, of which some cannot be in a key"),
        ("x" * 513, "513 characters, of which some cannot be in a key"),
    ],
)
def test_what_is_no_key_is_refused_and_not_shown(text: str, found: str) -> None:
    with pytest.raises(ApiKeyError) as error:
        parse_api_key(text, "here")
    assert str(error.value) == (
        "error: the API key cannot be used\n"
        "  where:    here\n"
        "  expected: one line of 16 to 512 letters, digits and signs of ASCII; no space, no comma\n"
        f"  found:    {found}\n"
        f"  fix:      make one: {MAKE}"
    )


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o660])
def test_a_file_that_others_can_read_is_refused(tmp_path: Path, mode: int) -> None:
    path = key_file(tmp_path, mode=mode)
    with pytest.raises(ApiKeyError) as error:
        read_api_key(path, {})
    assert str(error.value) == (
        "error: the API key cannot be used\n"
        f"  where:    --api-key-file {path}\n"
        "  expected: a file that is its owner's alone\n"
        "  found:    others have rights to it\n"
        f"  fix:      chmod 600 {path}"
    )


def test_a_file_that_cannot_be_read_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ApiKeyError, match=re.escape("found:    No such file or directory\n")):
        read_api_key(tmp_path / "none", {})
    binary = tmp_path / "binary"
    binary.write_bytes(b"\xff\xfe" * 20)
    binary.chmod(0o600)
    with pytest.raises(ApiKeyError, match="found:    no text\n"):
        read_api_key(binary, {})


def test_where_others_reach_it_a_key_is_demanded() -> None:
    assert str(demand_api_key("0.0.0.0")) == (  # noqa: S104 - nothing listens
        "error: the API key cannot be used\n"
        "  where:    --host 0.0.0.0\n"
        "  expected: a key, since other machines reach that address:"
        " in PINNED_LLAMA_API_KEY, or --api-key-file FILE\n"
        "  found:    none\n"
        f"  fix:      export PINNED_LLAMA_API_KEY=$({MAKE})"
    )
