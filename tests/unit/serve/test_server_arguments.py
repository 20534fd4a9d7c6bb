"""The server behind the door takes the pixels of what the door took; one that stands alone keeps its own limit."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

from recipes.serve.door.options import MOST_BODY
from recipes.serve.server_arguments import EVERY_SERVER, MIB, ServerOptions, server_arguments

READY: Any = SimpleNamespace(path=Path("model.gguf"), mmproj=None, context=4096, name="model")


def arguments(known: set[str]) -> tuple[str, ...]:
    return server_arguments(READY, ServerOptions(), known)


def test_behind_the_door_more_is_taken_than_by_it() -> None:
    given = arguments({"--max-body", "--offline"})
    assert int(given[given.index("--max-body") + 1]) * MIB > 2 * MOST_BODY


def test_a_server_that_has_no_such_limit_is_not_asked_for_it() -> None:
    assert "--max-body" not in arguments({"--offline"})


def test_a_server_without_a_door_keeps_its_own_limit() -> None:
    assert "--max-body" not in {option for option, *_ in EVERY_SERVER}
