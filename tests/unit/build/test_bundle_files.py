"""What must not be in a bundle's files is found, and a search that would mean nothing is refused."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from recipes.build.audit.bundle_files import find_strings

if TYPE_CHECKING:
    from pathlib import Path


def test_a_forbidden_string_is_found_in_each_file_and_wherever_it_lies(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"/home/me/x" + bytes(5000))
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "b").write_bytes(bytes(4093) + b"/home/me" + bytes(10) + b"/store/p")
    (tmp_path / "sub" / "c").write_bytes(b"/home/m")
    (tmp_path / "empty").touch()
    (tmp_path / "link").symlink_to("a")
    assert find_strings(tmp_path, [b"/home/me", b"/store/p"]) == (
        ("a", b"/home/me"),
        ("sub/b", b"/home/me"),
        ("sub/b", b"/store/p"),
    )


def test_a_needle_too_short_to_mean_anything_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="b'/me' is shorter than 4 bytes"):
        find_strings(tmp_path, [b"/home", b"/me"])
