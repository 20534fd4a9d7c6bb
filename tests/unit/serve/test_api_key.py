from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from recipes.core.errors import ApiKeyError
from recipes.serve.api_key import KEY_VARIABLE, demand_api_key, parse_api_key, read_api_key

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
    ("text", "is_short"),
    [
        ("", True),
        (KEY[:15], True),
        (f"{KEY} x", False),
        (f"{KEY},{KEY}", False),  # it would be two keys
        (f"{KEY}\n{KEY}", False),
        (f"{KEY}ü", False),
        ("x" * 513, False),
    ],
)
def test_what_is_no_key_is_refused_and_not_shown(text: str, *, is_short: bool) -> None:
    with pytest.raises(ApiKeyError) as caught:
        parse_api_key(text, "here")
    assert (caught.value.where, caught.value.exit_code) == ("here", 26)
    assert caught.value.found.startswith(f"{len(text)} characters")
    assert ("not allowed" in caught.value.found) is not is_short
    assert not text or text not in str(caught.value)


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o660])
def test_a_file_that_others_can_read_is_refused(tmp_path: Path, mode: int) -> None:
    path = key_file(tmp_path, mode=mode)
    with pytest.raises(ApiKeyError) as caught:
        read_api_key(path, {})
    assert caught.value.where == f"--api-key-file {path}"
    assert "other users" in caught.value.found
    assert caught.value.fix == f"chmod 600 {path}"


def test_a_file_that_cannot_be_read_is_refused(tmp_path: Path) -> None:
    binary = tmp_path / "binary"
    binary.write_bytes(b"\xff\xfe" * 20)
    binary.chmod(0o600)
    for path, found in ((tmp_path / "none", "No such file"), (binary, "UTF-8")):
        with pytest.raises(ApiKeyError) as caught:
            read_api_key(path, {})
        assert found in caught.value.found


def test_where_others_reach_it_a_key_is_demanded() -> None:
    error = demand_api_key("0.0.0.0")  # noqa: S104 - nothing listens
    assert error.where == "--host 0.0.0.0"
    assert KEY_VARIABLE in error.fix
