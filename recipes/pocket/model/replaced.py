"""Attributes that have another value within a block: how a model of transformers is made to compute otherwise."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator


@contextmanager
def replaced(owner: Any, **values: Any) -> Iterator[None]:  # noqa: ANN401 - modules of torch and of Python
    """Set attributes of an object within the block, and set them back however it ends."""
    kept = {name: getattr(owner, name) for name in values}
    for name, value in values.items():
        setattr(owner, name, value)
    try:
        yield
    finally:
        for name, value in kept.items():
            setattr(owner, name, value)
