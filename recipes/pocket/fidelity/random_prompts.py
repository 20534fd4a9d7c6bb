"""What every model is asked: more than a hundred prompts, each under one or more ways to run a server."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import cycle
from typing import TYPE_CHECKING

from recipes.evalset.image_sizes import Grid, exact_size, odd_size
from recipes.evalset.prompts import Prompt, compared_clips, one_image, rng_of, which_of_two
from recipes.evalset.questions import scene_questions
from recipes.evalset.tasks import Turn, few_shapes, text_turn
from recipes.pocket.fidelity.servers import SERVERS

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from random import Random

    from recipes.evalset.prompts import Size
    from recipes.evalset.render import Scene
    from recipes.evalset.tasks import Conversation

ALL_TASKS = ("shape", "colour", "count", "where", "read")
ROOMY = ("shape", "colour", "read")  # what fits into a strip
GRIDS = (
    Grid(3, 3),
    Grid(4, 4),
    Grid(5, 5),
    Grid(3, 4),
    Grid(4, 3),
    Grid(6, 5),
    Grid(5, 6),
    Grid(4, 6),
    Grid(7, 7),
)
STRIPS = (
    *(Grid(2, 5), Grid(5, 2), Grid(2, 9), Grid(9, 2), Grid(2, 12), Grid(12, 2)),
    *(Grid(3, 10), Grid(10, 3), Grid(1, 9), Grid(9, 1), Grid(1, 14), Grid(14, 1)),
)
TINY: tuple[Size, ...] = ((60, 70), (50, 90), (44, 44), (100, 40), (36, 150))  # enlarged to eight cells
LONG_TURNS = (12, 20, 30, 45, 70)
# Images of more tokens than a server computes at once, with the servers that they are too large for.
LARGE = (
    (Grid(6, 7), ("ubatch 32", "batch 64")),
    (Grid(8, 8), ("batch 64",)),
    (Grid(8, 9), ("ubatch 64", "ubatch 32")),
    (Grid(9, 12), ("ubatch 100", "batch 300")),
    (Grid(11, 10), ("ubatch 100", "batch 64")),
    (Grid(12, 16), ("two clients", "ubatch 64")),
    (Grid(24, 24), ("ubatch 512", "batch 300")),
)
# They take turns; a batch that is no power of two is one for a few, because upstream leaves image tokens out with it.
ORDINARY = tuple(server for server in SERVERS if server != "batch 300")


@dataclass(frozen=True)
class PromptTrial:
    """One prompt, the kind of thing that it tries, and the names of the servers that it is asked under."""

    kind: str
    prompt: Prompt
    servers: tuple[str, ...]

    @property
    def group(self) -> str:
        """What its figures are put together with: text, no resize, resize, or clips."""
        if self.prompt.clips:
            return "clips"
        if not self.prompt.scenes:
            return "text"
        return "resize" if self.prompt.is_resized else "no resize"


def trials() -> tuple[PromptTrial, ...]:
    """Return all, in an order that does not change; the ways to run a server take turns."""
    found: list[PromptTrial] = []
    turns = cycle(ORDINARY)
    kinds = {
        "text": _texts(),
        "text, several turns": _text_turns(range(2, 10)),
        "text, several batches": _text_turns(LONG_TURNS),
        "image": _images("image", 20),
        "image, tall or wide": _strips(),
        "image, resized": _resized(),
        "several images": _several(),
        "several turns with images": _image_turns(),
        "image between words": _between(),
        "image in a long context": _long(),
    }
    for kind, conversations in kinds.items():
        for number, turns_of_it in enumerate(conversations):
            prompt = Prompt(f"{kind} {number + 1}", turns_of_it)
            found.append(PromptTrial(kind, prompt, (next(turns),)))
    found.extend(_larger_than_ubatch())
    found.extend(PromptTrial("clip", prompt, (next(turns),)) for prompt in compared_clips() if prompt.clips)
    return tuple(found)


def _texts() -> Iterator[Conversation]:
    turns = dict.fromkeys(text_turn(rng_of(f"fidelity, text {number}")) for number in range(20))
    for turn in [*turns][:16]:  # of each question one: the short ones come again
        yield (turn,)


def _text_turns(counts: Sequence[int]) -> Iterator[Conversation]:
    for count in counts:
        rng = rng_of(f"fidelity, {count} turns of text")
        yield tuple(text_turn(rng) for _ in range(count))


def _images(name: str, count: int) -> Iterator[Conversation]:
    for number, grid, task in zip(range(count), cycle(GRIDS), cycle(ALL_TASKS), strict=False):
        yield one_image(f"fidelity, {name} {number}", task, exact_size(grid)).turns


def _strips() -> Iterator[Conversation]:
    for number, (grid, task) in enumerate(zip(STRIPS, cycle(ROOMY), strict=False)):
        chosen = "colour" if min(grid.rows, grid.columns) == 1 else task
        yield one_image(f"fidelity, strip {number}", chosen, exact_size(grid)).turns


def _resized() -> Iterator[Conversation]:
    for number, (grid, task) in enumerate(zip((*GRIDS, *STRIPS[:6]), cycle(ROOMY), strict=False)):
        name = f"fidelity, resized {number}"
        yield one_image(name, task, odd_size(rng_of(name), grid)).turns
    for number, size in enumerate(TINY):
        yield one_image(f"fidelity, tiny {number}", "colour", size).turns


def _several() -> Iterator[Conversation]:
    grids = cycle(GRIDS)
    for number in range(12):
        rng = rng_of(f"fidelity, several images {number}")
        count, is_resized = 2 + number % 3, number >= 8
        sizes = [_size(rng, next(grids), is_resized=is_resized) for _ in range(count)]
        first, second, question = which_of_two(rng, (sizes[0], sizes[1]))
        more = [few_shapes(rng, size) for size in sizes[2:]]
        yield (Turn((first, second, *more, question.text), question.answer, "which"),)


def _image_turns() -> Iterator[Conversation]:
    grids = cycle(GRIDS)
    for number in range(8):
        rng = rng_of(f"fidelity, turns with images {number}")
        is_resized = number >= 6
        turns = [text_turn(rng)] if number % 2 else []
        for _ in range(1 + number % 3):
            scene = few_shapes(rng, _size(rng, next(grids), is_resized=is_resized))
            turns += [_about(rng, scene, shown=True), _about(rng, scene, shown=False)]
        yield tuple(turns)


def _between() -> Iterator[Conversation]:
    for number, (grid, task) in enumerate(zip(GRIDS[:6], cycle(ALL_TASKS), strict=False)):
        name = f"fidelity, between {number}"
        size = _size(rng_of(name), grid, is_resized=number == 5)
        arranged = (
            (lambda scene, text: (text, scene))
            if number % 2
            else (lambda scene, text: ("Look at the image.", scene, text))
        )
        yield one_image(name, task, size, arranged).turns


def _long() -> Iterator[Conversation]:
    """Images after, before and among many turns."""
    for before, after in ((10, 0), (25, 1), (45, 0), (0, 20), (8, 12)):
        rng = rng_of(f"fidelity, image after {before} and before {after} turns")
        scene = few_shapes(rng, exact_size(Grid(4, 5)))
        texts = tuple(text_turn(rng) for _ in range(before))
        later = tuple(_about(rng, scene, shown=False) for _ in range(after))
        yield (*texts, _about(rng, scene, shown=True), *later)
    rng = rng_of("fidelity, eight images")
    scenes = [few_shapes(rng, exact_size(grid)) for grid in GRIDS[:8]]
    yield tuple(_about(rng, scene, shown=True) for scene in scenes)


def _larger_than_ubatch() -> Iterator[PromptTrial]:
    kind = "image larger than a ubatch"
    for number, (grid, servers) in enumerate(LARGE):
        for is_resized in (False, True) if number in {0, 3, 4} else (False,):
            name = f"fidelity, large {number}{', resized' if is_resized else ''}"
            size = _size(rng_of(name), grid, is_resized=is_resized)
            words = f"{kind}, {grid.rows} by {grid.columns} cells{', resized' if is_resized else ''}"
            yield PromptTrial(kind, Prompt(words, one_image(name, "colour", size).turns), servers)


def _size(rng: Random, grid: Grid, *, is_resized: bool) -> Size:
    return odd_size(rng, grid) if is_resized else exact_size(grid)


def _about(rng: Random, scene: Scene, *, shown: bool) -> Turn:
    """Ask about a scene, shown in this turn or in one before."""
    question = rng.choice(scene_questions(rng, scene))
    return Turn((scene, question.text) if shown else (question.text,), question.answer, question.task)
