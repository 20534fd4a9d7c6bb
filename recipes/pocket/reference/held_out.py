"""How often the reference's greedy answers are right, on images that training never saw."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from recipes.evalset.held_out import EVERY_TASK, held_out_question
from recipes.evalset.prompts import Prompt
from recipes.evalset.tasks import KINDS_OF_SIZE, kind_of_size
from recipes.pocket.reference.markdown import markdown_table

if TYPE_CHECKING:
    from collections.abc import Iterable

    from recipes.pocket.reference.reference import Reference


class TaskAccuracy(NamedTuple):
    """How many questions of a task are answered rightly, of how many, by the kind of their images' sizes."""

    task: str
    right: dict[str, int]
    asked: dict[str, int]

    @property
    def share(self) -> float:
        """Over all sizes."""
        return sum(self.right.values()) / sum(self.asked.values())

    def share_of(self, kind: str) -> str:
        """Return the share of a kind of size in percent; nothing where none was asked."""
        return f"{self.right[kind] / self.asked[kind]:.1%}" if self.asked[kind] else ""


def examine(reference: Reference, count: int) -> tuple[TaskAccuracy, ...]:
    """Ask questions of each task."""
    return tuple(_row(reference, task, count) for task in EVERY_TASK)


def _row(reference: Reference, task: str, count: int) -> TaskAccuracy:
    right, asked = (dict.fromkeys(KINDS_OF_SIZE, 0) for _ in range(2))
    for index in range(count):
        prompt = Prompt(f"{task} {index}", held_out_question(index, task))
        kind = kind_of_size(index)
        asked[kind] += 1
        right[kind] += reference.answer(prompt)[0] == prompt.expected
    return TaskAccuracy(task, right, asked)


def table(rows: Iterable[TaskAccuracy]) -> str:
    """Return the shares as a table of Markdown."""
    cells = [
        (row.task, f"{row.share:.1%} of {sum(row.asked.values())}", *map(row.share_of, KINDS_OF_SIZE))
        for row in rows
    ]
    return markdown_table(("task", "all", *KINDS_OF_SIZE), cells, texts=1)
