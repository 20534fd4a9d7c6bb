"""Trains the pocket model on conversations about images that are drawn while it learns.

`python -m recipes.pocket.training --out FOLDER`: the key figures go to FOLDER/training.jsonl, the state to
FOLDER/state.pt, so that a later run goes on. The same seed and the same hardware draw the same images in the same
order; on a GPU the sums are not bit for bit repeatable, so the weights that are shipped are pinned, not rebuilt.
"""

from __future__ import annotations

import argparse
import itertools
import json
import math
import multiprocessing
import sys
import time
from collections import Counter, deque
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch.nn import functional

from recipes.pocket.architecture import new_model
from recipes.pocket.batches import Batch, collate
from recipes.pocket.fast import embed_images, quick, read
from recipes.pocket.preparation import Writer
from recipes.pocket.sights import SIGHTS
from recipes.pocket.sizes import SIZE_CLASSES
from recipes.pocket.tasks import TASKS, held_out_conversation, training_conversation
from recipes.pocket.tokenizer import END_OF_TEXT, IMAGE_PAD, train_tokenizer

if TYPE_CHECKING:
    from collections.abc import Iterator

    from torch import Tensor

SIGHT = 0.5  # weight of the loss of what each cell shows
RARE = 4.0  # weight of a sight that is there against one that is not
BALANCE = 0.01  # weight of the loss that spreads the tokens over the experts, as Switch Transformers has it
WARM_UP_STEPS = 300
BATCH_SHARE = (1.6, 1.0, 0.7, 0.5)  # of the batch size, by size class: about as many patches in each batch
KEPT_BATCHES = 48  # seen again while the drawing is slower than the learning
CHECK_EVERY = 2000  # steps
EARLY = (1, 10, 30)  # steps that are logged too, to see soon that it goes


@dataclass(frozen=True)
class Course:
    """How training goes: the whole of it in steps, so that a resumed run has the same learning rates."""

    steps: int
    batch: int
    seed: int
    rate: float
    limit_s: float = math.inf

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
    size_class = number % len(SIZE_CLASSES)
    count = max(1, int(course.batch * BATCH_SHARE[size_class]))
    writer = Writer(train_tokenizer())
    first = course.seed * 10**9 + number * course.batch * 2
    prepared = [writer.prepare(training_conversation(first + index, size_class)) for index in range(count)]
    return collate(prepared, writer.special(END_OF_TEXT), writer.special(IMAGE_PAD))


def _draw_into(queue: Any, numbers: Iterator[int], course: Course) -> None:  # noqa: ANN401 - a multiprocessing queue
    torch.set_num_threads(1)
    for number in numbers:
        queue.put(draw_batch(number, course))


def supply(course: Course, first: int, workers: int) -> Iterator[Batch]:
    """Give batches without end: drawn by other processes, and seen again where those are slower."""
    if not workers:
        for number in itertools.count(first):
            yield draw_batch(number, course)
    context = multiprocessing.get_context("spawn")
    queue = context.Queue(maxsize=3 * workers)
    for worker in range(workers):
        numbers = itertools.count(first + worker, workers)
        context.Process(target=_draw_into, args=(queue, numbers, course), daemon=True).start()
    kept: deque[Batch] = deque(maxlen=KEPT_BATCHES)
    again = 0
    while True:
        if len(kept) < KEPT_BATCHES or not queue.empty():
            kept.append(queue.get())
            yield kept[-1]
        else:
            again += 1
            yield kept[again % KEPT_BATCHES]


@dataclass(frozen=True)
class Losses:
    """What a batch costs: the answers, the cells' sights, and how uneven the experts' load is."""

    answers: Tensor
    sights: Tensor
    uneven: Tensor

    def total(self) -> Tensor:
        """Give what is brought down."""
        return self.answers + SIGHT * self.sights + BALANCE * self.uneven


class Heads(torch.nn.Module):
    """Tell the sights from what the mergers give; used in training alone.

    Parameters
    ----------
    width
        Of the language model.
    mergers
        How many there are.
    """

    def __init__(self, width: int, mergers: int) -> None:
        super().__init__()
        self.heads = torch.nn.ModuleList(torch.nn.Linear(width, SIGHTS) for _ in range(mergers))
        self.register_buffer("weight", torch.full((SIGHTS,), RARE))

    def forward(self, merged: list[Tensor], sights: Tensor) -> Tensor:
        """Give the mean cross-entropy over cells and sights."""
        wanted = sights.float()
        losses = [
            functional.binary_cross_entropy_with_logits(head(part).float(), wanted, pos_weight=self.weight)
            for head, part in zip(self.heads, merged, strict=True)
        ]
        return torch.stack(losses).mean()


def losses_of(model: Any, heads: Heads, batch: Batch, routers: list[Tensor]) -> Losses:  # noqa: ANN401 - transformers' model
    """Give what a batch costs, inside `quick`.

    Parameters
    ----------
    model
        Its routers append their logits to `routers`.
    heads
        For the sights.
    batch
        What it reads.
    routers
        Emptied here.
    """
    routers.clear()
    logits, merged = forward(model, batch)
    answers = functional.cross_entropy(logits.float(), batch.labels.reshape(-1)[batch.answered + 1])
    sights = heads(merged, batch.sights) if merged else logits.new_zeros((), dtype=torch.float)
    uneven = logits.new_zeros((), dtype=torch.float)
    kept = batch.kept.reshape(-1, 1).float()
    for scores in routers:
        shares = scores.float().softmax(-1) * kept
        picked = functional.one_hot(shares.topk(2, dim=-1).indices, shares.shape[-1]).float().sum(1) * kept
        uneven = uneven + (picked.sum(0) * shares.sum(0)).sum() * shares.shape[-1] / 2 / kept.sum() ** 2
    return Losses(answers, sights, uneven / max(1, len(routers)))


def forward(model: Any, batch: Batch) -> tuple[Tensor, list[Tensor]]:  # noqa: ANN401 - as above
    """Give the logits of the answers' tokens, and what the mergers gave; inside `quick`.

    Returns
    -------
    Shape (answer tokens, vocabulary); and for each merger (image tokens, width).
    """
    inner = model.model
    embedded = inner.get_input_embeddings()(batch.ids)
    merged: list[Tensor] = []
    if batch.packing is not None:
        tokens, levels = embed_images(inner.visual, batch.pixels(), batch.grids, batch.packing)
        merged = [tokens, *levels]
        flat = embedded.reshape(-1, embedded.shape[-1])
        flat = flat.index_copy(0, batch.packing.image_tokens, tokens.to(flat.dtype))
        embedded = flat.reshape(embedded.shape)
    hidden = read(inner.language_model, embedded, batch, merged[1:])
    return model.lm_head(hidden.reshape(-1, hidden.shape[-1])[batch.answered]), merged


@torch.no_grad()
def accuracy(model: Any, tasks: list[str], count: int, device: str, split: str) -> dict[str, float]:  # noqa: ANN401 - as above
    """Give the share of whole answers that are right, greedily, by task.

    A greedy answer is the right one exactly where each of its tokens is the likeliest after the right ones before
    it, so that one pass over question and answer tells.
    """
    writer = Writer(train_tokenizer())
    right: Counter[str] = Counter()
    for task in tasks:
        for start in range(0, count, 64):
            numbers = range(start, min(count, start + 64))
            prepared = [writer.prepare(held_out_conversation(index, task, split)) for index in numbers]
            batch = collate(prepared, writer.special(END_OF_TEXT), writer.special(IMAGE_PAD)).to(device)
            missed = forward(model, batch)[0].argmax(-1) != batch.labels.reshape(-1)[batch.answered + 1]
            rows = batch.answered // batch.ids.shape[1]
            right[task] += len(numbers) - len(rows[missed].unique())
    return {task: right[task] / count for task in tasks}


def train(course: Course, out: Path, device: str, workers: int) -> None:
    """Train until the course ends or the time is up; the state is kept either way."""
    out.mkdir(parents=True, exist_ok=True)
    model: Any = new_model(train_tokenizer(), course.seed).to(device)
    heads = Heads(model.config.text_config.hidden_size, 1 + len(model.model.visual.deepstack_merger_list)).to(
        device
    )
    learned = [*model.parameters(), *heads.parameters()]
    decayed = [p for p in learned if p.ndim > 1]
    plain = [p for p in learned if p.ndim <= 1]
    groups = [{"params": decayed, "weight_decay": 0.05}, {"params": plain, "weight_decay": 0.0}]
    optimiser = torch.optim.AdamW(groups, lr=course.rate, betas=(0.9, 0.98), fused=device == "cuda")
    step = 0
    if (out / "state.pt").exists():
        state = torch.load(out / "state.pt", map_location=device, weights_only=True)
        model.load_state_dict(state["model"])
        heads.load_state_dict(state["heads"])
        optimiser.load_state_dict(state["optimiser"])
        step = state["step"]
    routers: list[Tensor] = []
    for layer in model.model.language_model.layers:
        layer.mlp.gate.register_forward_hook(lambda _module, _input, output: routers.append(output[0]))
    torch.backends.cuda.matmul.allow_tf32 = True
    started, seen = time.monotonic(), 0
    with quick(), (out / "training.jsonl").open("a", encoding="utf-8") as log:
        for batch in supply(course, step, workers):
            passed_s = time.monotonic() - started
            if step >= course.steps or passed_s > course.limit_s:
                break
            for group in optimiser.param_groups:
                group["lr"] = course.learning_rate(step, passed_s)
            with torch.autocast(device, torch.bfloat16, enabled=device == "cuda"):
                losses = losses_of(model, heads, batch.to(device), routers)
                losses.total().backward()
            torch.nn.utils.clip_grad_norm_(learned, 1.0)
            optimiser.step()
            optimiser.zero_grad(set_to_none=True)
            step, seen = step + 1, seen + len(batch.ids)
            if step % 100 == 0 or step in EARLY or step == course.steps:
                row: dict[str, object] = {"step": step, "conversations": seen, "s": round(passed_s, 1)}
                row |= {name: round(float(loss.detach()), 4) for name, loss in vars(losses).items()}
                if step % CHECK_EVERY == 0 or step == course.steps:
                    row["accuracy"] = accuracy(model, list(TASKS), 128, device, "validation")
                    save_weights(model, out)
                print(json.dumps(row), file=log, flush=True)
                print(json.dumps(row), file=sys.stderr, flush=True)
        routers.clear()
    state = {"model": model.state_dict(), "heads": heads.state_dict(), "optimiser": optimiser.state_dict()}
    torch.save(state | {"step": step}, out / "state.pt")
    save_weights(model, out)


def save_weights(model: Any, out: Path) -> None:  # noqa: ANN401 - as above
    """Keep the weights in f16, whole or not at all: what is shipped, and all that is left of a run that is cut off."""
    weights = {name: value.to(torch.float16) for name, value in model.state_dict().items()}
    torch.save(weights, out / "weights.part")
    (out / "weights.part").rename(out / "weights.pt")


def main(argv: list[str]) -> None:
    """Read the command line, and train."""
    parser = argparse.ArgumentParser(prog="python -m recipes.pocket.training", description=__doc__)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--steps", type=int, default=20_000, help="of the whole course")
    parser.add_argument("--batch", type=int, default=512, help="conversations in a batch, about")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--rate", type=float, default=1.5e-3, help="the highest learning rate")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--workers", type=int, default=0, help="processes that draw")
    parser.add_argument("--limit-s", type=float, default=math.inf, help="stop after this long, in seconds")
    chosen = parser.parse_args(argv)
    course = Course(chosen.steps, chosen.batch, chosen.seed, chosen.rate, chosen.limit_s)
    train(course, chosen.out, chosen.device, chosen.workers)


if __name__ == "__main__":
    main(sys.argv[1:])
