from __future__ import annotations

import pytest

from recipes.build.audit.macho.audit import is_linked_as


@pytest.mark.parametrize(
    ("leaf", "identifier", "linked"),
    [
        ("llama-server", "llama-server", True),
        ("llama-server", "llama-server.1", False),
        ("libggml.dylib", "libggml.dylib", True),
        ("libggml.0.dylib", "libggml.0.9.5.dylib", True),
        ("libggml.dylib", "libggml.0.dylib", True),
        ("libggml.0.dylib", "libggml.1.9.5.dylib", False),
        ("libggml.0.dylib", "libggml.dylib", False),
        ("libggml.0.dylib", "libggml.0.dev.dylib", False),
        ("libggml.0.dylib", "libggml-base.0.dylib", False),
    ],
)
def test_the_name_that_a_file_is_signed_under(leaf: str, identifier: str, linked: bool) -> None:  # noqa: FBT001 - a column
    assert is_linked_as(leaf, identifier) is linked
