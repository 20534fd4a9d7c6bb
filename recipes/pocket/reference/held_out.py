"""How often the reference's greedy answers are right, on pictures that training never saw."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from recipes.evalset.prompts import Prompt
from recipes.evalset.tasks import KINDS_OF_SIZE, TASKS, held_out_conversation, kind_of_size

if TYPE_CHECKING:
    from collections.abc import Iterable

    from recipes.pocket.reference.reference import Reference


class Row(NamedTuple):
    """How many questions of a task are answered rightly, of how many, by the kind of their images' sizes."""

    task: str
    right: dict[str, int]
    asked: dict[str, int]

    @property
    def share(self) -> float:
        """Over all sizes."""
        return sum(self.right.values()) / sum(self.asked.values())


def examine(reference: Reference, count: int) -> tuple[Row, ...]:
    """Ask questions of each task.

    Parameters
    ----------
    reference
        Who answers.
    count
        How many of each.
    """
    return tuple(_row(reference, task, count) for task in TASKS)


def _row(reference: Reference, task: str, count: int) -> Row:
    right, asked = (dict.fromkeys(KINDS_OF_SIZE, 0) for _ in range(2))
    for index in range(count):
        prompt = Prompt(f"{task} {index}", held_out_conversation(index, task))
        kind = kind_of_size(index)
        asked[kind] += 1
        right[kind] += reference.answer(prompt)[0] == prompt.expected
    return Row(task, right, asked)


def table(rows: Iterable[Row]) -> str:
    """Give the shares as a table of Markdown."""
    kinds = KINDS_OF_SIZE
    lines = [f"| task | all | {' | '.join(kinds)} |", "|---|---:" + "|---:" * len(kinds) + "|"]
    for row in rows:
        shares = (f"{row.right[kind] / row.asked[kind]:.1%}" if row.asked[kind] else "" for kind in kinds)
        lines.append(f"| {row.task} | {row.share:.1%} of {sum(row.asked.values())} | {' | '.join(shares)} |")
    return "\n".join(lines)
