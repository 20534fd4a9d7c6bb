"""The questions of every task, about images and about clips, that training never sees."""

from __future__ import annotations

from typing import TYPE_CHECKING

from recipes.evalset.clip_tasks import CLIP_TASKS, held_out_clips
from recipes.evalset.tasks import TASKS, held_out_conversation

if TYPE_CHECKING:
    from recipes.evalset.tasks import Conversation

EVERY_TASK = (*TASKS, *CLIP_TASKS)


def held_out_question(index: int, task: str, split: str = "held-out") -> Conversation:
    """Return one question of a task."""
    return (held_out_clips if task in CLIP_TASKS else held_out_conversation)(index, task, split)
