"""Divides stages among the workers of a registry: each makes what nobody else has made or is making."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from recipes.registry.workers import Worker

T = TypeVar("T")


def divide(
    worker: Worker,
    stages: Mapping[str, T],
    is_there: Callable[[T], bool],
    make: Callable[[T], None],
    say: Callable[[list[T]], None],
) -> None:
    """Make stages, each under a claim, until all are there, by whomever; stages are named by their tags.

    `is_there` looks at a stage whose tag is there, and is called for each at most once after it has said yes. `say` is
    told once what this worker waits for, when all that is left is being made by others. Raises what `make` raises, and
    RegistryError as the worker does.
    """
    todo, is_said, looks = _in_order(worker, stages), False, 0
    while todo:
        tags = worker.tags()
        for name in [each for each in todo if each in tags and is_there(todo[each])]:
            del todo[name]
        if done := _make_one(worker, todo, tags, is_there, make):
            del todo[done]  # what others did meanwhile is looked at before the next
            looks = 0
        elif todo:
            if not is_said:
                say(list(todo.values()))
                is_said = True
            worker.rest(looks)
            looks += 1


def _make_one(
    worker: Worker,
    todo: Mapping[str, T],
    tags: frozenset[str],
    is_there: Callable[[T], bool],
    make: Callable[[T], None],
) -> str | None:
    """Make the first stage that this worker can claim; return its name, or None where others have them all."""
    for name, stage in todo.items():
        if not worker.is_free(name, tags):
            continue
        with worker.claim(name) as held:
            if held is None:
                continue
            if not is_there(stage):  # who held it before may have made it since we looked
                make(stage)
            return name
    return None


def _in_order(worker: Worker, stages: Mapping[str, T]) -> dict[str, T]:
    """Return stages from a place of the worker's own on, so that fewer workers want the same one at once."""
    names = list(stages)
    start = int(worker.name, 16) % max(len(names), 1)
    return {name: stages[name] for name in (*names[start:], *names[:start])}
