"""Chooses scenes at random: what to draw, where, how large, on which background.

Everything is decided by the random generator that is passed in.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from recipes.evalset.render import SHAPES, Colour, Number, Scene, Stroke, Thing, number_box

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from random import Random

COLOURS: dict[str, Colour] = {
    "red": (215, 40, 40),
    "green": (40, 160, 60),
    "blue": (45, 80, 220),
    "yellow": (245, 215, 40),
    "orange": (245, 135, 25),
    "purple": (140, 50, 170),
    "black": (20, 20, 20),
    "white": (245, 245, 245),
}
JITTER = 14  # a named colour's channels vary by this much
CONTRAST = 110  # least sum of channel differences between what is asked about and its background
LEAST_RADIUS_PX = 8.0
LEAST_FONT_PX = 18
MOST_FONT_PX = 60
ATTEMPTS = 60  # placements tried before the radius shrinks
DIGITS = 3

BACKGROUNDS: tuple[Colour, ...] = (
    *((236, 236, 236), (205, 210, 215), (128, 128, 128), (70, 70, 74), (34, 34, 40)),
    *((222, 232, 245), (226, 242, 226), (246, 234, 214), (92, 104, 120), (120, 108, 96)),
)


class Placement(NamedTuple):
    """The centre and radius of one shape, in pixels."""

    x: float
    y: float
    radius: float


def jitter(rng: Random, colour: Colour, reach: int = JITTER) -> Colour:
    """Return a colour near another one."""
    red, green, blue = (min(255, max(0, channel + rng.randint(-reach, reach))) for channel in colour)
    return red, green, blue


def contrast(one: Colour, other: Colour) -> int:
    """Return the sum of the differences of the channels."""
    return sum(abs(a - b) for a, b in zip(one, other, strict=True))


def choose_background(rng: Random, colours: Iterable[Colour]) -> tuple[Colour, Colour | None]:
    """Choose a background that every colour stands out from, and sometimes a second colour that it fades to."""
    wanted = tuple(colours)
    fitting = [b for b in BACKGROUNDS if all(contrast(b, colour) >= CONTRAST for colour in wanted)]
    background = jitter(rng, rng.choice(fitting or BACKGROUNDS[2:3]), 8)
    shade = jitter(rng, background, 24) if rng.random() < 0.3 else None
    return background, shade


def choose_strokes(rng: Random, size: tuple[int, int], background: Colour) -> tuple[Stroke, ...]:
    """Choose thin, faint lines and dots."""
    height, width = size
    count = rng.choice((0, 0, 0, 2, 4, 7))

    def point() -> tuple[float, float]:
        return rng.uniform(0, width), rng.uniform(0, height)

    strokes = []
    for _ in range(count):
        start = point()
        end = start if rng.random() < 0.5 else point()
        strokes.append(Stroke(start, end, jitter(rng, background, 45), rng.choice((1, 1, 2))))
    return tuple(strokes)


def place(
    rng: Random,
    size: tuple[int, int],
    count: int,
    accept: Callable[[list[Placement]], bool] = lambda _layout: True,
) -> list[Placement]:
    """Choose places for `count` shapes that do not touch each other or the edge; the size is height and width in px.

    `accept` returns whether all places together are acceptable.
    """
    height, width = size
    room = (height * width / max(count, 1)) ** 0.5
    largest = max(LEAST_RADIUS_PX + 1, min(min(height, width) * 0.42, room * 0.38))
    while True:
        for _ in range(ATTEMPTS):
            layout: list[Placement] = []
            for _ in range(count):
                radius = rng.uniform(LEAST_RADIUS_PX, largest)
                spot = find_room(rng, size, radius, layout)
                if spot is None:
                    break
                layout.append(spot)
            if len(layout) == count and accept(layout):
                return layout
        largest = max(LEAST_RADIUS_PX, largest * 0.85)


def find_room(rng: Random, size: tuple[int, int], radius: float, taken: list[Placement]) -> Placement | None:
    """Return a place for one more shape; None if a few attempts found none."""
    height, width = size
    edge = radius + 1
    for _ in range(12):
        x, y = rng.uniform(edge, width - edge), rng.uniform(edge, height - edge)
        if all(max(abs(x - t.x), abs(y - t.y)) > radius + t.radius + 2 for t in taken):
            return Placement(x, y, radius)
    return None


def shapes_scene(
    rng: Random, size: tuple[int, int], kinds: list[tuple[str, str]], layout: list[Placement]
) -> Scene:
    """Return a scene of (shape, colour) pairs at their places, with a suitable background and clutter."""
    height, width = size
    things = tuple(
        Thing(shape, colour, jitter(rng, COLOURS[colour]), spot.x, spot.y, spot.radius)
        for (shape, colour), spot in zip(kinds, layout, strict=True)
    )
    background, shade = choose_background(rng, (COLOURS[colour] for _, colour in kinds))
    return Scene(
        width,
        height,
        background,
        shade,
        choose_noise(rng),
        things,
        choose_strokes(rng, size, background),
    )


def choose_noise(rng: Random) -> int | None:
    """Return a seed for speckle, for one image in four."""
    return rng.getrandbits(32) if rng.random() < 0.25 else None


def choose_kinds(rng: Random, count: int) -> list[tuple[str, str]]:
    """Choose (shape, colour) pairs whose colours all stand out from one background."""
    palette = compatible_colours(rng)
    return [(rng.choice(SHAPES), rng.choice(palette)) for _ in range(count)]


def compatible_colours(rng: Random) -> list[str]:
    """Return the names of the colours that stand out from a randomly chosen background."""
    background = rng.choice(BACKGROUNDS)
    return [name for name, rgb in COLOURS.items() if contrast(rgb, background) >= CONTRAST]


def number_scene(rng: Random, size: tuple[int, int]) -> Scene:
    """Return a scene of three digits, in a size that fits."""
    height, width = size
    digits = "".join(rng.choice("0123456789") for _ in range(DIGITS))
    rgb = jitter(rng, COLOURS[rng.choice(compatible_colours(rng))])
    background, shade = choose_background(rng, (rgb,))
    font_px = rng.randint(LEAST_FONT_PX, min(MOST_FONT_PX, height - 4))
    left, top, right, bottom = number_box(digits, font_px)
    while right - left > width - 6 or bottom - top > height - 6:
        font_px -= 1
        left, top, right, bottom = number_box(digits, font_px)
    x = rng.uniform(2 - left, width - 2 - right)
    y = rng.uniform(2 - top, height - 2 - bottom)
    return Scene(
        width,
        height,
        background,
        shade,
        choose_noise(rng),
        (),
        choose_strokes(rng, size, background),
        Number(digits, rgb, x, y, font_px),
    )
