"""Questions about drawn clips, with answers: for training, and held out from it.

What happens in a clip is chosen first, then drawn frame by frame on one background; the answer follows from it.
"""

from __future__ import annotations

from dataclasses import replace
from random import Random
from typing import TYPE_CHECKING

from recipes.evalset.clips import Clip, clip_grid, stamps_of
from recipes.evalset.image_sizes import CELL_PX, Grid, exact_size, training_grids
from recipes.evalset.questions import ORDINALS, scene_questions
from recipes.evalset.render import SHAPES
from recipes.evalset.scenes import (
    LEAST_RADIUS_PX,
    Placement,
    choose_kinds,
    find_room,
    place,
    shapes_scene,
)
from recipes.evalset.tasks import Conversation, Turn, arrange, few_shapes, kind_of_size, text_turn

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from recipes.evalset.render import Scene, Thing

    Size = tuple[int, int]  # height and width in pixels
    SizeOf = Callable[[], Size]

CLIP_TASKS = ("motion", "order", "often", "when", "change", "beside", "clips")
CLIP_TRAINING_WEIGHTS = (20, 14, 14, 14, 16, 12, 14)
LEAST_FRAMES, MOST_FRAMES = 2, 9
MOST_FLASHES = 4
MOVES = {"left": (-1, 0), "right": (1, 0), "up": (0, -1), "down": (0, 1)}
CHANGES = ("colour", "shape", "place")
KINDS = ("clip", "image")
SMALL = 9  # most tokens of a pair where a conversation has two clips, or an image beside its clip
RATES = (10.0, 12.5, 15.0, 24.0, 25.0, 29.97, 30.0, 50.0, 60.0)  # of videos, in frames per second
EVEN_RATES = (4.0, 8.0, 10.0, 20.0, 24.0, 30.0, 60.0)  # whose half seconds are whole frames

CLIP_CLASSES = (9, 16)  # most tokens of a pair; a batch holds clips of one class
CLIP_GRIDS = tuple(
    Grid(rows, columns)
    for rows in range(2, 6)
    for columns in range(2, 6)
    if rows * columns <= CLIP_CLASSES[-1] and max(rows, columns) <= 2.5 * min(rows, columns)
)
UNSEEN_CLIP_GRIDS = tuple(Grid(*sides) for sides in ((2, 6), (6, 2), (3, 6), (6, 3), (4, 5), (5, 4), (5, 5)))


def training_clips(
    index: int, clip_class: int, split: str = "training", weights: Sequence[int] = CLIP_TRAINING_WEIGHTS
) -> Conversation:
    """Return a conversation about clips of one class of sizes, an index into CLIP_CLASSES.

    The weights are of the tasks.
    """
    rng = Random(f"{split} clips {index}")
    above = CLIP_CLASSES[clip_class - 1] if clip_class else 0
    grids = [grid for grid in CLIP_GRIDS if above < grid.cells <= CLIP_CLASSES[clip_class]]
    task = rng.choices(CLIP_TASKS, weights)[0]
    if rng.random() < 0.03:
        return (same_twice(rng),)
    turn = compose_clips(rng, task, _sizes(rng, grids, 0.35))
    turns = [turn]
    if task == "motion" and rng.random() < 0.3:
        turns += _still_true(rng, turn)
    if rng.random() < 0.1:
        turns.insert(rng.randint(0, 1), text_turn(rng))
    return tuple(turns)


def held_out_clips(index: int, task: str, split: str = "held-out") -> Conversation:
    """Return one question of a task: half at sizes of training, a quarter at unseen grids, a quarter resized."""
    rng = Random(f"{split} {task} {index}")
    kind = kind_of_size(index)
    grids = UNSEEN_CLIP_GRIDS if kind == "unseen" else CLIP_GRIDS
    return (compose_clips(rng, task, _sizes(rng, grids, float(kind == "resized"))),)


def _sizes(rng: Random, grids: Sequence[Grid], resized: float) -> SizeOf:
    """Return what chooses the size of a clip; a share of them must be resized."""

    def size() -> Size:
        grid = rng.choice(grids)
        return odd_clip_size(rng, grid) if rng.random() < resized else exact_size(grid)

    return size


def odd_clip_size(rng: Random, grid: Grid) -> Size:
    """Return random height and width that are resized to the grid, never exactly half a cell off."""
    reach = CELL_PX // 2 - 1
    while True:
        height, width = (side + rng.randint(-reach, reach) for side in exact_size(grid))
        if (height, width) != exact_size(grid) and clip_grid(LEAST_FRAMES, height, width) == grid:
            return height, width


def compose_clips(rng: Random, task: str, size: SizeOf) -> Turn:
    """Return a turn with clips and a question of a task."""
    parts, text, answer = COMPOSERS[task](rng, size)
    return Turn(arrange(rng, parts, text), answer, task)


Composed = tuple[tuple["Scene | Clip", ...], str, str]  # what is seen, what is asked, the answer


def motion(rng: Random, size: SizeOf) -> Composed:
    """Ask which way a shape moves."""
    way = rng.choice(tuple(MOVES))
    clip, mover = moving(rng, size(), choose_count(rng), way)
    if len(clip.frames[0].things) == 1 and rng.random() < 0.5:
        return (clip,), "Which way does it move?", way
    return (clip,), f"Which way does the {mover.shape} move?", way


def order(rng: Random, size: SizeOf) -> Composed:
    """Ask which of two shapes came first."""
    count = choose_count(rng)
    base = distinct_shapes(rng, size(), 2)
    early, late = sorted(rng.sample(range(count), 2))
    first, second = base.things
    clip = with_things(rng, base, [(first,) * (k >= early) + (second,) * (k >= late) for k in range(count)])
    asked = [first.shape, second.shape]
    rng.shuffle(asked)
    return (clip,), f"Which came first, the {asked[0]} or the {asked[1]}?", first.shape


def often(rng: Random, size: SizeOf) -> Composed:
    """Ask how often a shape appears: each time in one frame, with another between."""
    times = rng.randint(1, MOST_FLASHES)
    count = rng.randint(max(LEAST_FRAMES, 2 * times - 1), MOST_FRAMES)
    spread = sorted(rng.sample(range(count - times + 1), times))
    shown = {frame + earlier for earlier, frame in enumerate(spread)}  # no two of them in a row
    base = distinct_shapes(rng, size(), rng.choice((1, 1, 2)))
    flash, *others = base.things
    clip = with_things(rng, base, [(flash,) * (k in shown) + tuple(others) for k in range(count)])
    wording = rng.choice(("How often does the {} appear?", "How many times does the {} appear?"))
    return (clip,), wording.format(flash.shape), str(times)


def when(rng: Random, size: SizeOf) -> Composed:
    """Ask at which second a shape appears: it is there in one pair of frames, and the answer is that pair's stamp."""
    count = rng.randint(3, MOST_FRAMES)
    base = distinct_shapes(rng, size(), rng.choice((1, 1, 2)))
    flash, *others = base.things
    pair = rng.randrange((count + 1) // 2)
    clip = with_things(rng, base, [(flash,) * (k // 2 == pair) + tuple(others) for k in range(count)])
    answer = clip.stamps[pair].removeprefix("<").removesuffix(" seconds>")
    return (clip,), f"At which second does the {flash.shape} appear?", answer


def change(rng: Random, size: SizeOf) -> Composed:
    """Ask what changes from one frame to the next and stays, or what is added."""
    count = choose_count(rng)
    shape = size()
    base = distinct_shapes(rng, shape, rng.choice((2, 2, 3)))
    while base.things[0].colour == base.things[-1].colour:
        base = distinct_shapes(rng, shape, len(base.things))
    *kept, spare = base.things  # the spare one's colour and place are free
    from_frame = rng.randint(1, count - 1)
    before = tuple(kept)
    if rng.random() < 0.3:
        clip = with_things(rng, base, [before + (spare,) * (k >= from_frame) for k in range(count)])
        return (clip,), "What is added?", spare.shape
    kind = rng.choice(CHANGES)
    changing, *others = kept
    changed = changed_thing(rng, changing, spare, kind)
    clip = with_things(rng, base, [(changed if k >= from_frame else changing, *others) for k in range(count)])
    return (clip,), "What changes, the colour, the shape or the place?", kind


def beside(rng: Random, size: SizeOf) -> Composed:
    """Ask about a clip beside an image: which of the two has a shape, or its colour in one of them."""
    while True:
        shape = small_size(rng, size)
        clip, mover = moving(rng, shape, rng.randint(LEAST_FRAMES, 5), rng.choice(tuple(MOVES)))
        fits_image = clip_grid(LEAST_FRAMES, *shape).cells >= training_grids(SMALL)[0].cells
        still = few_shapes(
            rng, shape if fits_image and rng.random() < 0.4 else exact_size(rng.choice(training_grids(16)))
        )
        seen: list[Scene | Clip] = [clip, still]
        rng.shuffle(seen)
        if rng.random() < 0.35:
            twin = replace(still.things[0], shape=mover.shape)
            still_too = replace(still, things=(twin,))
            if twin.colour == mover.colour:
                continue
            kind = rng.choice(KINDS)
            seen[seen.index(still)] = still_too
            colour = mover.colour if kind == "clip" else twin.colour
            return tuple(seen), f"What colour is the {mover.shape} in the {kind}?", colour
        in_clip, in_image = ({thing.shape for thing in scene.things} for scene in (clip.frames[0], still))
        kind = rng.choice(KINDS)
        only = sorted(in_clip - in_image if kind == "clip" else in_image - in_clip)
        if only:
            return tuple(seen), f"Is the {rng.choice(only)} in the clip or in the image?", kind


def clips(rng: Random, size: SizeOf) -> Composed:
    """Ask which of two clips of one size has a shape, or moves in a direction."""
    shape = small_size(rng, size)
    ways = rng.sample(tuple(MOVES), 2)
    both = [moving(rng, shape, rng.randint(LEAST_FRAMES, 5), way) for way in ways]
    number = rng.randrange(2)
    shapes = [{thing.shape for thing in clip.frames[0].things} for clip, _ in both]
    only = sorted(shapes[number] - shapes[1 - number])
    seen = tuple(clip for clip, _ in both)
    if only and rng.random() < 0.5:
        return seen, f"Which clip has a {rng.choice(only)}?", ORDINALS[number]
    return seen, f"In which clip does something move {ways[number]}?", ORDINALS[number]


COMPOSERS: dict[str, Callable[[Random, SizeOf], Composed]] = {
    "motion": motion,
    "order": order,
    "often": often,
    "when": when,
    "change": change,
    "beside": beside,
    "clips": clips,
}


def clip_lines() -> list[str]:
    """Return every wording about clips, with a time stamp, to teach the tokenizer its words."""
    return [
        "<0.5 seconds>",
        *("Which way does it move?", "Which way does the star move?", *MOVES),
        "Which came first, the star or the ring?",
        *("How often does the star appear?", "How many times does the star appear?"),
        "At which second does the star appear?",
        *("What changes, the colour, the shape or the place?", "What is added?", *CHANGES),
        *("What colour is the star in the clip?", "Is the star in the clip or in the image?", *KINDS),
        *("Which clip has a star?", "In which clip does something move left?"),
        *(f"In which clip does something move {way}?" for way in MOVES),
    ]


def choose_count(rng: Random) -> int:
    """Choose a number of frames, even and odd ones."""
    return rng.randint(LEAST_FRAMES, MOST_FRAMES)


def small_size(rng: Random, size: SizeOf) -> Size:
    """Return a size of few tokens: of those that are offered if one comes soon, else another one."""
    for _ in range(4):
        height, width = size()
        if clip_grid(LEAST_FRAMES, height, width).cells <= SMALL:
            return height, width
    return exact_size(rng.choice([grid for grid in CLIP_GRIDS if grid.cells <= SMALL]))


def moving(rng: Random, size: Size, count: int, way: str) -> tuple[Clip, Thing]:
    """Return a clip of a shape that moves one way at an even pace, perhaps beside one that rests; and the shape."""
    height, width = size
    radius = rng.uniform(LEAST_RADIUS_PX, max(LEAST_RADIUS_PX + 1, min(size) * 0.2))
    across, down = MOVES[way]
    room = (width if across else height) - 2 * radius - 2
    far = rng.uniform(max(20.0, room * 0.6), room)
    start = radius + 1 + rng.uniform(0, room - far)
    steps = [start + far * frame / (count - 1) for frame in range(count)]
    if across + down < 0:
        steps.reverse()
    side = rng.uniform(radius + 1, (height if across else width) - radius - 1)
    path = [Placement(step, side, radius) if across else Placement(side, step, radius) for step in steps]
    kinds = choose_kinds(rng, 2)
    while kinds[0][0] == kinds[1][0]:
        kinds = choose_kinds(rng, 2)
    rest = find_room(rng, size, LEAST_RADIUS_PX, path) if rng.random() < 0.5 else None
    layout = [path[0], *([rest] if rest else [])]
    base = shapes_scene(rng, size, kinds[: len(layout)], layout)
    mover, *others = base.things
    return with_things(rng, base, [(replace(mover, x=at.x, y=at.y), *others) for at in path]), mover


def distinct_shapes(rng: Random, size: Size, count: int) -> Scene:
    """Return a scene of things whose shapes all differ."""
    kinds = choose_kinds(rng, count)
    while len({shape for shape, _ in kinds}) < count:
        kinds = choose_kinds(rng, count)
    return shapes_scene(rng, size, kinds, place(rng, size, count))


def changed_thing(rng: Random, thing: Thing, spare: Thing, kind: str) -> Thing:
    """Return a thing with another colour, shape or place; the place is that of a spare thing, which is not shown."""
    if kind == "place":
        return replace(thing, x=spare.x, y=spare.y, radius=min(thing.radius, spare.radius))
    if kind == "shape":
        return replace(
            thing, shape=rng.choice([shape for shape in SHAPES if shape not in {thing.shape, spare.shape}])
        )
    return replace(thing, colour=spare.colour, rgb=spare.rgb)


def with_things(rng: Random, base: Scene, shown: Sequence[tuple[Thing, ...]]) -> Clip:
    """Return a clip that shows some things in each frame, on one background, sampled at a rate of its own."""
    fps, indices = timing(rng, len(shown))
    return Clip(tuple(replace(base, things=things) for things in shown), fps, indices)


def timing(rng: Random, count: int) -> tuple[float, tuple[int, ...]]:
    """Return a rate and frames' numbers: evenly spaced, or with stamps at half seconds; all stamps differ."""
    while True:
        fps, indices = (_even_pace if rng.random() < 0.5 else _half_seconds)(rng, count)
        found = stamps_of(indices, fps)
        if len(set(found)) == len(found):
            return fps, indices


def _even_pace(rng: Random, count: int) -> tuple[float, tuple[int, ...]]:
    fps = rng.choice(RATES)
    start = rng.choice((0, 0, rng.randint(0, int(4 * fps))))
    step = rng.uniform(0.15, 1.2) * fps
    return fps, tuple(start + round(frame * step) for frame in range(count))


def _half_seconds(rng: Random, count: int) -> tuple[float, tuple[int, ...]]:
    fps = rng.choice(EVEN_RATES)
    half, apart = int(fps / 2), rng.randint(0, int(fps / 5))
    middle = rng.randint(1, 8) * half
    indices: list[int] = []
    for _ in range((count + 1) // 2):
        indices += [middle - apart, middle + apart]
        middle += rng.randint(1, 5) * half
    if count % 2:
        indices[-2:] = [(indices[-2] + indices[-1]) // 2]
    return fps, tuple(indices)


def same_twice(rng: Random) -> Turn:
    """Return two equal images, which are no clip, and a question about what they show."""
    scene = few_shapes(rng, exact_size(rng.choice(training_grids(SMALL))))
    asked = [one for one in scene_questions(rng, scene) if one.task in {"shape", "colour"}]
    if not asked:
        return same_twice(rng)
    question = rng.choice(asked)
    return Turn(arrange(rng, (scene, scene), question.text), question.answer, question.task)


def _still_true(rng: Random, turn: Turn) -> list[Turn]:
    """Return a second turn about what stays the same while a shape moves, where there is something to ask."""
    (clip,) = (part for part in turn.parts if isinstance(part, Clip))
    asked = [
        question
        for question in scene_questions(rng, clip.frames[0])
        if question.task in {"shape", "colour", "count"}
    ]
    if not asked:
        return []
    question = rng.choice(asked)
    return [Turn((question.text,), question.answer, question.task)]
