"""Training: a few steps on the CPU, kept and gone on with; and the pieces that it is made of."""

from __future__ import annotations

import json
import math
import multiprocessing
import queue
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from recipes.evalset.clip_tasks import CLIP_CLASSES, CLIP_TRAINING_WEIGHTS
from recipes.evalset.held_out import EVERY_TASK
from recipes.evalset.image_sizes import MERGE, SIZE_CLASSES
from recipes.pocket.training import train as training
from recipes.pocket.training.train import (
    BATCH_SHARE,
    CLIP_SHARE,
    WARM_UP_STEPS,
    Course,
    accuracy,
    draw_batch,
    supply,
    train,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    from torch import Tensor

    from recipes.pocket.model.batches import Batch

COURSE = Course(steps=2, batch=2, seed=3, rate=1e-3)


@pytest.fixture(autouse=True)
def few_questions(monkeypatch: pytest.MonkeyPatch) -> None:
    """The accuracy over two questions a task, in the place of hundreds."""

    def few(model: Any, tasks: list[str], _count: int, device: str, split: str) -> dict[str, float]:  # noqa: ANN401 - transformers' model
        found: dict[str, float] = accuracy(model, tasks, 2, device, split)
        return found

    monkeypatch.setattr(training, "accuracy", few)


def rows_of(out: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (out / "training.jsonl").read_text(encoding="utf-8").splitlines()]


def kept(folder: Path, name: str) -> Any:  # noqa: ANN401 - what torch.save kept
    return torch.load(folder / f"{name}.pt", weights_only=True)


def are_equal(one: dict[str, Tensor], other: dict[str, Tensor]) -> bool:
    return one.keys() == other.keys() and all(torch.equal(value, other[name]) for name, value in one.items())


def test_a_few_steps_leave_state_weights_and_figures(tmp_path: Path) -> None:
    out = tmp_path / "new"
    train(COURSE, out, "cpu", 0)
    assert {path.name for path in out.iterdir()} == {"state.pt", "training.jsonl", "weights.pt"}
    rows = rows_of(out)
    assert [row["step"] for row in rows] == [1, 2]
    assert [row["conversations"] for row in rows] == [3, 5]  # as BATCH_SHARE has it for the first two classes
    for row in rows:
        losses = [row[name] for name in ("answers", "sights", "places", "uneven")]
        assert all(math.isfinite(loss) and loss > 0 for loss in losses)
    assert "accuracy" not in rows[0]
    assert set(rows[1]["accuracy"]) == set(EVERY_TASK)
    state, weights = kept(out, "state"), kept(out, "weights")
    assert state["step"] == 2
    assert {value.dtype for value in weights.values()} == {torch.float16}
    assert are_equal(weights, {name: value.half() for name, value in state["model"].items()})
    train(COURSE, out, "cpu", 0)  # a course that is over changes nothing any more
    assert are_equal(weights, kept(out, "weights"))
    assert len(rows_of(out)) == 2


def cut_off_after(monkeypatch: pytest.MonkeyPatch, steps: int) -> None:
    def few(course: Course, first: int, workers: int) -> Iterator[Batch]:
        return islice(supply(course, first, workers), steps)

    monkeypatch.setattr(training, "supply", few)


def test_a_course_that_was_cut_off_goes_on_to_the_same_weights(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    train(COURSE, tmp_path / "at once", "cpu", 0)
    with monkeypatch.context() as cut_off:
        cut_off_after(cut_off, 1)
        train(COURSE, tmp_path / "in two", "cpu", 0)
    between = kept(tmp_path / "in two", "state")
    assert between["step"] == 1
    train(COURSE, tmp_path / "in two", "cpu", 0)
    one, other = (kept(tmp_path / name, "state") for name in ("at once", "in two"))
    assert one["step"] == other["step"] == 2
    assert [row["step"] for row in rows_of(tmp_path / "in two")] == [1, 2]
    for part in ("model", "heads"):
        assert are_equal(one[part], other[part])
        assert not are_equal(one[part], between[part])


def test_a_course_begins_with_other_weights_and_keeps_its_state_when_the_time_is_up(tmp_path: Path) -> None:
    train(COURSE, tmp_path / "first", "cpu", 0)
    timeless = Course(steps=1000, batch=2, seed=9, rate=1e-3, limit_s=0.0)
    train(timeless, tmp_path / "second", "cpu", 0, tmp_path / "first" / "weights.pt")
    assert are_equal(kept(tmp_path / "first", "weights"), kept(tmp_path / "second", "weights"))
    assert kept(tmp_path / "second", "state")["step"] == 0


def test_the_command_line_starts_a_course(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    started: list[object] = []
    monkeypatch.setattr(training, "train", lambda *given: started.extend(given))
    words = f"--out {tmp_path} --steps 7 --batch 3 --seed 5 --rate 0.25 --device cpu --workers 2"
    more = (
        "--limit-s 9 --start w.pt --weights 1,2,3,4,5,6,7 --clip-weights 7,6,5,4,3,2,1 --size-classes 2 --f32"
    )
    training.main([*words.split(), *more.split()])
    course = Course(
        7, 3, 5, 0.25, 9.0, (1, 2, 3, 4, 5, 6, 7), 2, bf16=False, clip_weights=(7, 6, 5, 4, 3, 2, 1)
    )
    assert started == [course, tmp_path, "cpu", 2, Path("w.pt")]
    training.main([*words.split(), "--no-clips"])
    assert started[5].clip_weights == ()  # type: ignore[attr-defined]  # a Course


@pytest.mark.parametrize("text", ["1,2,3", "1,2,3,4,5,6,x", ""])
def test_weights_that_are_not_one_a_task_are_refused_with_an_example(
    text: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        training.main(["--out", str(tmp_path), "--weights", text])
    assert ended.value.code == 2
    err = capsys.readouterr().err
    assert f"{text!r}: " in err
    assert "5,3,18,30,12,28,4" in err


@given(st.integers(0, 20_000), st.integers(1, 20_000))
def test_the_learning_rate_rises_to_its_height_and_falls_to_a_hundredth(step: int, steps: int) -> None:
    course = Course(steps=steps + WARM_UP_STEPS, batch=1, seed=0, rate=2.0)
    rate = course.learning_rate(step, 0.0)
    assert 0 < rate <= 2.0
    later = course.learning_rate(step + 1, 0.0)
    assert later > rate if step + 1 < WARM_UP_STEPS else later <= rate
    assert course.learning_rate(WARM_UP_STEPS - 1, 0.0) == course.learning_rate(WARM_UP_STEPS, 0.0) == 2.0
    assert course.learning_rate(course.steps, 0.0) == pytest.approx(0.02)
    assert course.learning_rate(course.steps + step, 0.0) == pytest.approx(0.02)


def test_the_learning_rate_is_down_when_the_time_is_up() -> None:
    course = Course(steps=10**6, batch=1, seed=0, rate=2.0, limit_s=60.0)
    assert course.learning_rate(WARM_UP_STEPS, 30.0) == pytest.approx(1.01)
    assert course.learning_rate(WARM_UP_STEPS, 60.0) == pytest.approx(0.02)
    assert course.learning_rate(WARM_UP_STEPS, 90.0) == pytest.approx(0.02)


def test_a_batch_is_of_one_class_of_sizes_and_of_its_share() -> None:
    assert len(BATCH_SHARE) == len(SIZE_CLASSES)
    course = Course(steps=1, batch=10, seed=7, rate=1.0)
    for number in range(len(SIZE_CLASSES)):
        batch = draw_batch(number, course)
        assert len(batch.ids) == int(10 * BATCH_SHARE[number])
        cells = batch.grids.prod(-1) // MERGE**2
        least = SIZE_CLASSES[number - 1] if number else 0
        assert all(least < count <= SIZE_CLASSES[number] for count in cells.tolist())


def test_with_clips_every_other_batch_is_of_them_and_the_classes_take_turns() -> None:
    assert len(CLIP_SHARE) == len(CLIP_CLASSES)
    course = Course(steps=1, batch=10, seed=7, rate=1.0, clip_weights=CLIP_TRAINING_WEIGHTS)
    for number in range(2 * len(SIZE_CLASSES)):
        batch, turn = draw_batch(number, course), number // 2
        assert (batch.later is not None) is (number % 2 == 1)
        shares = CLIP_SHARE if number % 2 else BATCH_SHARE
        assert len(batch.ids) == int(10 * shares[turn % len(shares)])


def conversations_of(number: int, course: Course) -> set[int]:
    """Which conversations a batch is made of; none of them is drawn."""
    indices: set[int] = set()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(training, "training_conversation", lambda index, _class, **_: indices.add(index))
        patch.setattr(training, "Writer", lambda _tokenizer: Nothing())
        patch.setattr(training, "collate", lambda *_: None)
        draw_batch(number, course)
    return indices


@given(st.integers(1, 600), st.integers(0, 50), st.integers(0, 10**5))
def test_no_conversation_is_in_two_batches(size: int, seed: int, number: int) -> None:
    batches = [
        conversations_of(each, Course(steps=1, batch=size, seed=chosen, rate=1.0))
        for chosen in (seed, seed + 1)
        for each in range(number, number + 5)
    ]
    assert len(set().union(*batches)) == sum(map(len, batches))


class Nothing:
    """A writer that prepares nothing."""

    def prepare(self, _conversation: object, **_: object) -> None:
        pass

    def special(self, _token: str) -> int:
        return 0


class Drawn:
    """A process that draws a few batches when it is started."""

    def __init__(self, target: Any, args: tuple[Any, Iterator[int], Course], *, daemon: bool) -> None:  # noqa: ANN401 - a function
        assert daemon
        self.target, (self.queue, self.numbers, self.course) = target, args

    def start(self) -> None:
        self.target(self.queue, islice(self.numbers, 2), self.course)

    def is_alive(self) -> bool:
        return False


class Context:
    """Processes that have drawn two batches each, and draw no more."""

    Process = Drawn

    def Queue(self, maxsize: int) -> queue.Queue[Batch]:  # noqa: N802 - multiprocessing's name
        return queue.Queue(maxsize)


@pytest.fixture
def drawn(monkeypatch: pytest.MonkeyPatch) -> None:
    """Batches are their numbers, and drawn at once."""
    monkeypatch.setattr(multiprocessing, "get_context", lambda _kind: Context())
    monkeypatch.setattr(training, "draw_batch", lambda number, _course: number)


@pytest.mark.usefixtures("drawn")
def test_workers_draw_each_batch_once_and_batches_are_seen_again_where_they_are_slower(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(training, "KEPT_BATCHES", 4)
    supplied: list[Any] = [*islice(supply(COURSE, 10, 2), 10)]
    assert sorted(supplied[:4]) == [10, 11, 12, 13]
    assert supplied[4:8] == [supplied[1], supplied[2], supplied[3], supplied[0]]
    assert supplied[8:] == supplied[4:6]


@pytest.mark.usefixtures("drawn")
def test_a_drawing_process_that_died_ends_the_course(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(training, "PATIENCE_S", 0.0)
    batches = supply(COURSE, 0, 2)
    assert len([*islice(batches, 4)]) == 4
    with pytest.raises(RuntimeError, match="has died"):
        next(batches)


@pytest.mark.usefixtures("drawn")
def test_without_workers_batches_are_drawn_in_order() -> None:
    supplied: list[Any] = [*islice(supply(COURSE, 5, 0), 3)]
    assert supplied == [5, 6, 7]


def test_an_answer_is_right_only_where_all_of_its_tokens_are(monkeypatch: pytest.MonkeyPatch) -> None:
    wrong_rows = {0, 3}

    def foretell(_model: object, batch: Batch) -> tuple[Tensor, list[Tensor]]:
        """Each answer token as it should be, but for the last one of some conversations."""
        wanted = batch.labels.reshape(-1)[batch.answered + 1].clone()
        rows = batch.answered // batch.ids.shape[1]
        for row in wrong_rows:
            last = int(torch.nonzero(rows == row)[-1])
            wanted[last] += 1
        return torch.nn.functional.one_hot(wanted, 600).float(), []

    monkeypatch.setattr(training, "forward", foretell)
    found = accuracy(None, ["read", "text"], 5, "cpu", "validation")
    assert found == {"read": 3 / 5, "text": 3 / 5}
