"""Trains the pocket model on conversations about images and clips that are drawn while it learns.

`python -m recipes.pocket.training.train --out FOLDER`: the key figures go to FOLDER/training.jsonl, the state to
FOLDER/state.pt, so that a later run goes on. The same seed and the same hardware draw the same images in the same
order; on a GPU the sums are not bit for bit repeatable, so the weights that are shipped are pinned, not rebuilt.
"""

from __future__ import annotations

import argparse
import functools
import itertools
import json
import math
import multiprocessing
import sys
import time
from collections import Counter, deque
from dataclasses import dataclass
from pathlib import Path
from queue import Empty
from typing import TYPE_CHECKING, Any

import torch

from recipes.core.cores import usable_cores
from recipes.evalset.clip_tasks import CLIP_CLASSES, CLIP_TASKS, CLIP_TRAINING_WEIGHTS, training_clips
from recipes.evalset.held_out import EVERY_TASK, held_out_question
from recipes.evalset.image_sizes import SIZE_CLASSES
from recipes.evalset.tasks import TASKS, TRAINING_WEIGHTS, training_conversation
from recipes.pocket.model.architecture import new_model
from recipes.pocket.model.batches import Batch, collate
from recipes.pocket.model.preprocess import JOINT, Writer, fit, padded, pieces_of, wrapped_pieces_of
from recipes.pocket.model.tokenizer import END_OF_TEXT, train_tokenizer
from recipes.pocket.training.fast_kernels import quick
from recipes.pocket.training.losses import Heads, forward, losses_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from torch import Tensor

    from recipes.pocket.training.losses import Losses

WARM_UP_STEPS = 300
# Of the batch size, by size class: about as many patches in each batch.
BATCH_SHARE = (1.6, 1.0, 0.7, 0.5)
CLIP_SHARE = (1.2, 0.6)
KEPT_BATCHES = 48  # seen again while the drawing is slower than the learning
# What differs among the programs that run the model; it is to answer alike in all of them. The sights of a padded
# image are those of the stretched one: at most half a cell off.
JOINTS = ("", JOINT)
FITTINGS = (fit, fit, fit, padded, padded)
# A clip as its authors' own code writes it, and as transformers does since 5.10.
FORMS = (pieces_of, pieces_of, pieces_of, wrapped_pieces_of)
LOG_EVERY = 100  # steps
CHECK_EVERY = 1000  # steps
CHECKED = 128  # questions of each task
PATIENCE_S = 60.0  # a drawing process that gives nothing for so long is looked at
EARLY = (1, 10, 30)  # steps that are logged too, to see soon that it goes


@dataclass(frozen=True)
class Course:
    """How training goes: the whole of it in steps, so that a resumed run has the same learning rates.

    `batch` is about how many conversations a batch has, `rate` the highest learning rate, `weights` how often each
    task is drawn, `size_classes` how many of them are, from the smallest. With `bf16`, matrices are multiplied in 16
    bits. With `clip_weights`, every other batch is of clips.
    """

    steps: int
    batch: int
    seed: int
    rate: float
    limit_s: float = math.inf
    weights: tuple[int, ...] = TRAINING_WEIGHTS
    size_classes: int = len(SIZE_CLASSES)
    bf16: bool = False
    clip_weights: tuple[int, ...] = ()

    def learning_rate(self, step: int, passed_s: float) -> float:
        """Rise in a line, then fall as a cosine to a hundredth: at the last step, or when the time is up."""
        if step < WARM_UP_STEPS:
            return self.rate * (step + 1) / WARM_UP_STEPS
        done = min(
            1.0, max((step - WARM_UP_STEPS) / max(1, self.steps - WARM_UP_STEPS), passed_s / self.limit_s)
        )
        return self.rate * (0.01 + 0.99 * (1 + math.cos(math.pi * done)) / 2)


def draw_batch(number: int, course: Course) -> Batch:
    """Draw one batch: its images are of one class of sizes, its conversations used in no other batch."""
    writer = Writer(train_tokenizer())
    first = course.seed * 10**9 + number * course.batch * 2
    if course.clip_weights and number % 2:
        clip_class = number // 2 % len(CLIP_CLASSES)
        drawn = (
            training_clips(first + index, clip_class, weights=course.clip_weights)
            for index in range(max(1, int(course.batch * CLIP_SHARE[clip_class])))
        )
    else:
        size_class = (number // 2 if course.clip_weights else number) % course.size_classes
        drawn = (
            training_conversation(first + index, size_class, weights=course.weights)
            for index in range(max(1, int(course.batch * BATCH_SHARE[size_class])))
        )
    prepared = [
        writer.prepare(
            conversation,
            joint=JOINTS[index % len(JOINTS)],
            fitting=FITTINGS[index % len(FITTINGS)],
            pieces=FORMS[index // len(JOINTS) % len(FORMS)],
        )
        for index, conversation in enumerate(drawn)
    ]
    return collate(prepared, writer.special(END_OF_TEXT))


def _draw_into(queue: Any, numbers: Iterator[int], course: Course) -> None:  # noqa: ANN401 - a multiprocessing queue
    torch.set_num_threads(1)
    for number in numbers:
        queue.put(draw_batch(number, course))


def _next_of(queue: Any, drawing: list[Any]) -> Batch:  # noqa: ANN401 - a multiprocessing queue and processes
    while True:
        try:
            batch: Batch = queue.get(timeout=PATIENCE_S)
        except Empty:
            if not all(process.is_alive() for process in drawing):
                raise RuntimeError("a process that draws has died; its traceback stands above") from None
        else:
            return batch


def supply(course: Course, first: int, workers: int) -> Iterator[Batch]:
    """Yield batches without end: drawn by other processes, and seen again where those are slower."""
    if not workers:
        for number in itertools.count(first):
            yield draw_batch(number, course)
    context = multiprocessing.get_context("spawn")
    queue = context.Queue(maxsize=3 * workers)
    drawing = [
        context.Process(
            target=_draw_into, args=(queue, itertools.count(first + worker, workers), course), daemon=True
        )
        for worker in range(workers)
    ]
    for process in drawing:
        process.start()
    kept: deque[Batch] = deque(maxlen=KEPT_BATCHES)
    again = 0
    while True:
        if len(kept) < KEPT_BATCHES or not queue.empty():
            kept.append(_next_of(queue, drawing))
            yield kept[-1]
        else:
            again += 1
            yield kept[again % KEPT_BATCHES]


@torch.no_grad()
def accuracy(model: Any, tasks: list[str], count: int, device: str, split: str) -> dict[str, float]:  # noqa: ANN401 - as above
    """Return the share of whole answers that are right, greedily, by task.

    A greedy answer is the right one exactly where each of its tokens is the likeliest after the right ones before
    it, so that one pass over question and answer tells.
    """
    right: Counter[str] = Counter()
    for task in tasks:
        for start in range(0, count, 64):
            batch = asked(task, start, min(count, start + 64), split).to(device)
            missed = forward(model, batch)[0].argmax(-1) != batch.labels.reshape(-1)[batch.answered + 1]
            rows = batch.answered // batch.ids.shape[1]
            right[task] += len(batch.ids) - len(rows[missed].unique())
    return {task: right[task] / count for task in tasks}


@functools.lru_cache(maxsize=64)
def asked(task: str, start: int, stop: int, split: str) -> Batch:
    """Return some held-out questions of a task."""
    writer = Writer(train_tokenizer())
    prepared = [writer.prepare(held_out_question(index, task, split)) for index in range(start, stop)]
    return collate(prepared, writer.special(END_OF_TEXT))


@dataclass
class State:
    """All that a course goes on from."""

    model: Any
    heads: Heads
    optimiser: torch.optim.Optimizer
    step: int = 0

    @classmethod
    def begin(cls, course: Course, device: str) -> State:
        """Return random weights."""
        model: Any = new_model(train_tokenizer(), course.seed).to(device)
        mergers = 1 + len(model.model.visual.deepstack_merger_list)
        heads = Heads(model.config.text_config.hidden_size, mergers).to(device)
        learned = [*model.parameters(), *heads.parameters()]
        decayed = [parameter for parameter in learned if parameter.ndim > 1]
        plain = [parameter for parameter in learned if parameter.ndim <= 1]
        groups = [{"params": decayed, "weight_decay": 0.05}, {"params": plain, "weight_decay": 0.0}]
        optimiser = torch.optim.AdamW(groups, lr=course.rate, betas=(0.9, 0.98), fused=device == "cuda")
        return cls(model, heads, optimiser)

    def load(self, path: Path, device: str) -> None:
        """Take up what `save` left."""
        state = torch.load(path, map_location=device, weights_only=True)
        self.model.load_state_dict(state["model"])
        self.heads.load_state_dict(state["heads"])
        self.optimiser.load_state_dict(state["optimiser"])
        self.step = state["step"]

    def save(self, path: Path) -> None:
        """Keep it, whole or not at all."""
        parts = {name: getattr(self, name).state_dict() for name in ("model", "heads", "optimiser")}
        save_whole(parts | {"step": self.step}, path)

    def learn(self, batch: Batch, rate: float, routers: list[Tensor], *, bf16: bool) -> Losses:
        """Make one step, inside `quick`; the model's routers append their logits to `routers`."""
        for group in self.optimiser.param_groups:
            group["lr"] = rate
        with torch.autocast(batch.ids.device.type, torch.bfloat16, enabled=bf16):
            losses = losses_of(self.model, self.heads, batch, routers)
            losses.total().backward()
        torch.nn.utils.clip_grad_norm_([*self.model.parameters(), *self.heads.parameters()], 1.0)
        self.optimiser.step()
        self.optimiser.zero_grad(set_to_none=True)
        self.step += 1
        return losses


def train(course: Course, out: Path, device: str, workers: int, start: Path | None = None) -> None:
    """Train until the course ends or the time is up; the state is kept in `out` either way, and gone on from.

    As many `workers` draw. A new course may `start` with the weights of an earlier one.
    """
    out.mkdir(parents=True, exist_ok=True)
    state = State.begin(course, device)
    model = state.model
    if (out / "state.pt").exists():
        state.load(out / "state.pt", device)
    elif start is not None:
        model.load_state_dict(torch.load(start, map_location=device, weights_only=True))
    if device == "cuda":
        torch.backends.cuda.matmul.allow_tf32 = True
    routers: list[Tensor] = []
    for layer in model.model.language_model.layers:
        layer.mlp.gate.register_forward_hook(lambda _module, _input, output: routers.append(output[0]))
    started, seen = time.monotonic(), 0
    with quick(), (out / "training.jsonl").open("a", encoding="utf-8") as log:
        for batch in supply(course, state.step, workers):
            passed_s = time.monotonic() - started
            if state.step >= course.steps or passed_s > course.limit_s:
                break
            rate = course.learning_rate(state.step, passed_s)
            losses = state.learn(batch.to(device), rate, routers, bf16=course.bf16)
            seen += len(batch.ids)
            step, last = state.step, state.step == course.steps
            if step % LOG_EVERY == 0 or step in EARLY or last:
                row: dict[str, object] = {"step": step, "conversations": seen, "s": round(passed_s, 1)}
                row |= {name: round(float(loss.detach()), 4) for name, loss in vars(losses).items()}
                if step % CHECK_EVERY == 0 or last:
                    row["accuracy"] = accuracy(model, list(EVERY_TASK), CHECKED, device, "validation")
                    save_weights(model, out)
                print(json.dumps(row), file=log, flush=True)
                print(json.dumps(row), file=sys.stderr, flush=True)
    state.save(out / "state.pt")
    save_weights(model, out)


def save_weights(model: Any, out: Path) -> None:  # noqa: ANN401 - as above
    """Keep the weights in f16: what is shipped, and all that is left of a run that is cut off."""
    weights = {name: value.to(torch.float16) for name, value in model.state_dict().items()}
    save_whole(weights, out / "weights.pt")


def save_whole(kept: object, path: Path) -> None:
    """Write a file of torch's, whole or not at all."""
    part = path.with_suffix(".part")
    torch.save(kept, part)
    part.rename(path)


def _weights(tasks: tuple[str, ...], usual: tuple[int, ...], text: str) -> tuple[int, ...]:
    parts = text.split(",")
    if len(parts) != len(tasks) or not all(part.isdecimal() for part in parts):
        example = ",".join(map(str, usual))
        raise argparse.ArgumentTypeError(
            f"{text!r}: write {len(tasks)} whole numbers with commas, as {example}"
        )
    return tuple(map(int, parts))


def main(argv: list[str]) -> None:
    """Read the command line, and train."""
    parser = argparse.ArgumentParser(prog="python -m recipes.pocket.training.train", description=__doc__)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--steps", type=int, default=20_000, help="of the whole course")
    parser.add_argument("--batch", type=int, default=512, help="conversations in a batch, about")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--rate", type=float, default=1.5e-3, help="the highest learning rate")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--workers", type=int, default=0, help="processes that draw")
    parser.add_argument("--start", type=Path, help="weights.pt of an earlier course, to begin with")
    parser.add_argument("--limit-s", type=float, default=math.inf, help="stop after this long, in seconds")
    for option, tasks, usual in (
        ("--weights", TASKS, TRAINING_WEIGHTS),
        ("--clip-weights", CLIP_TASKS, CLIP_TRAINING_WEIGHTS),
    ):
        parser.add_argument(
            option,
            type=functools.partial(_weights, tasks, usual),
            default=usual,
            help=f"how often each of {', '.join(tasks)}",
        )
    parser.add_argument("--no-clips", action="store_true", help="draw images alone")
    parser.add_argument(
        "--size-classes", type=int, default=len(SIZE_CLASSES), help="of images, from the smallest"
    )
    parser.add_argument(
        "--f32", action="store_true", help="multiply in 32 bits, where a processor is slow with 16"
    )
    chosen = parser.parse_args(argv)
    torch.set_num_threads(usable_cores())
    course = Course(
        *(chosen.steps, chosen.batch, chosen.seed, chosen.rate, chosen.limit_s),
        *(chosen.weights, chosen.size_classes, not chosen.f32),
        () if chosen.no_clips else chosen.clip_weights,
    )
    train(course, chosen.out, chosen.device, chosen.workers, chosen.start)


if __name__ == "__main__":
    main(sys.argv[1:])
