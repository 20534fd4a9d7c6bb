"""Both ways in which llama.cpp says its build and its commit."""

from __future__ import annotations

import pytest

from recipes.build.bundle.version_output import read_version


@pytest.mark.parametrize(
    ("text", "version"),
    [
        ("version: 7827 (16639ba2)\nbuilt with Clang\n", "7827 (16639ba2)"),
        (
            "load_backend: x\nversion: 0.1.0-dev (build 10454, commit 4df29be4)\nbuilt with",
            "10454 (4df29be4)",
        ),
        ("version: 0 (unknown)", None),
        ("version: 7827 (16639ba2) and more", None),
        ("a version: 7827 (16639ba2)", None),
        ("", None),
    ],
)
def test_build_and_commit_are_read_from_their_line_alone(text: str, version: str | None) -> None:
    assert read_version(text) == version
