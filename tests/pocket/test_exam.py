"""How often answers are right is counted by task and by the kind of size."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from recipes.evalset.held_out import EVERY_TASK
from recipes.evalset.image_sizes import TRAINING_GRIDS, UNSEEN_GRIDS, exact_size, grid_of
from recipes.evalset.render import Scene
from recipes.evalset.tasks import KINDS_OF_SIZE, TASKS, held_out_conversation, kind_of_size
from recipes.pocket.model.architecture import new_model
from recipes.pocket.model.export_gguf import weights_of
from recipes.pocket.model.import_gguf import load
from recipes.pocket.model.tokenizer import train_tokenizer
from recipes.pocket.reference.held_out import TaskAccuracy, examine, table
from recipes.pocket.training.release import release

if TYPE_CHECKING:
    from pathlib import Path

    from recipes.evalset.prompts import Prompt


class Knowing:
    """A reference that knows some answers."""

    def answer(self, prompt: Prompt) -> tuple[str, float]:
        task, index = prompt.name.split()
        return ("no" if task == "where" or index == "1" else prompt.expected), 1.0


def test_right_answers_are_counted_by_task_and_size() -> None:
    rows = examine(Knowing(), 6)  # type: ignore[arg-type]  # all that is asked of a reference
    assert [row.task for row in rows] == list(EVERY_TASK)
    assert all(row.asked == {"trained": 3, "unseen": 2, "resized": 1} for row in rows)
    where = rows[TASKS.index("where")]
    assert (where.share, where.right) == (0, {"trained": 0, "unseen": 0, "resized": 0})
    others = [row for row in rows if row is not where]
    assert all(row.right == {"trained": 3, "unseen": 1, "resized": 1} for row in others)
    assert all(row.share == 5 / 6 for row in others)


def test_the_table_has_a_row_a_task() -> None:
    row = TaskAccuracy(
        "read", {"trained": 1, "unseen": 0, "resized": 0}, {"trained": 2, "unseen": 1, "resized": 0}
    )
    assert table([row]) == (
        "| task | all | trained | unseen | resized |\n| --- | ---: | ---: | ---: | ---: |\n"
        "| read | 33.3% of 3 | 50.0% | 0.0% |  |"
    )


def test_kinds_of_size_are_what_they_say() -> None:
    for index in range(40):
        for turn in held_out_conversation(index, "shape"):
            for scene in turn.parts:
                if not isinstance(scene, Scene):
                    continue
                grid = grid_of(scene.height, scene.width)
                exact = (scene.height, scene.width) == exact_size(grid)
                kind = kind_of_size(index)
                assert kind in KINDS_OF_SIZE
                assert (grid in TRAINING_GRIDS, grid in UNSEEN_GRIDS) == (kind != "unseen", kind == "unseen")
                assert exact == (kind != "resized")


def test_released_files_hold_the_trained_weights(tmp_path: Path) -> None:
    trained = new_model(train_tokenizer(), seed=3)
    halves = {name: value.half() for name, value in trained.state_dict().items()}
    torch.save(halves, tmp_path / "weights.pt")
    release(tmp_path / "weights.pt", tmp_path / "new" / "m.gguf", tmp_path / "new" / "p.gguf")
    read = weights_of(load(tmp_path / "new" / "m.gguf", tmp_path / "new" / "p.gguf")[0])
    assert all((read[name] == value.float().numpy()).all() for name, value in halves.items())
