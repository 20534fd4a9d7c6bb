"""Draws a scene: shapes, clutter and a number on a background, with Pillow.

A scene holds every random choice, so drawing is a pure function of it. Equal scenes give equal pixels with one
version of Pillow; its built-in scalable font is part of that version.
"""

from __future__ import annotations

import functools
import math
import random
from dataclasses import dataclass
from typing import TYPE_CHECKING

from PIL import Image, ImageChops, ImageDraw, ImageFont

if TYPE_CHECKING:
    from collections.abc import Callable

Colour = tuple[int, int, int]
Point = tuple[float, float]

OVERSAMPLING = 2  # shapes are drawn this much larger, then averaged: smooth edges
NOISE_RANGE = 12  # a speckle adds at most this much to a channel


@dataclass(frozen=True)
class Thing:
    """One shape: its name, the name and value of its colour, its centre and half its height, in pixels."""

    shape: str
    colour: str
    rgb: Colour
    x: float
    y: float
    radius: float


@dataclass(frozen=True)
class Stroke:
    """Clutter: a thin line, or a dot (both ends equal)."""

    start: Point
    end: Point
    rgb: Colour
    thickness: int


@dataclass(frozen=True)
class Number:
    """Digits, their upper left corner, and their font size in pixels."""

    digits: str
    rgb: Colour
    x: float
    y: float
    font_px: int


@dataclass(frozen=True)
class Scene:
    """Everything in an image, sizes in pixels."""

    width: int
    height: int
    background: Colour
    shade: Colour | None = None  # the background fades to this, from top to bottom
    noise_seed: int | None = None
    things: tuple[Thing, ...] = ()
    strokes: tuple[Stroke, ...] = ()
    number: Number | None = None


def polygon(corners: int, radii: tuple[float, ...]) -> tuple[Point, ...]:
    """Return corners on circles of the given radii in turn, the first straight above the centre."""
    angles = [2 * math.pi * index / corners - math.pi / 2 for index in range(corners)]
    return tuple(
        (radii[index % len(radii)] * math.cos(angle), radii[index % len(radii)] * math.sin(angle))
        for index, angle in enumerate(angles)
    )


ARM = 0.32  # half the width of a cross's arms
POLYGONS: dict[str, tuple[Point, ...]] = {
    "square": ((-0.85, -0.85), (0.85, -0.85), (0.85, 0.85), (-0.85, 0.85)),
    "triangle": ((0.0, -1.0), (1.0, 0.85), (-1.0, 0.85)),
    "diamond": ((0.0, -1.0), (0.8, 0.0), (0.0, 1.0), (-0.8, 0.0)),
    "star": polygon(10, (1.0, 0.42)),
    "cross": (
        *((-ARM, -1.0), (ARM, -1.0), (ARM, -ARM), (1.0, -ARM), (1.0, ARM), (ARM, ARM)),
        *((ARM, 1.0), (-ARM, 1.0), (-ARM, ARM), (-1.0, ARM), (-1.0, -ARM), (-ARM, -ARM)),
    ),
}
ROUND: dict[str, Callable[[float], int]] = {
    "circle": lambda _radius: 0,
    "ring": lambda radius: max(2, round(radius * 0.36)),
}
SHAPES = ("circle", "ring", *POLYGONS)


@functools.lru_cache(maxsize=128)
def font(size_px: int) -> ImageFont.FreeTypeFont:
    """Return Pillow's built-in scalable font."""
    face = ImageFont.load_default(size=size_px)
    if not isinstance(face, ImageFont.FreeTypeFont):
        raise TypeError("this Pillow was built without FreeType: its built-in font does not scale")
    return face


def number_box(digits: str, font_px: int) -> tuple[float, float, float, float]:
    """Return left, top, right and bottom of the ink of digits drawn at the origin."""
    return font(font_px).getbbox(digits)


def draw(scene: Scene) -> Image.Image:
    """Draw a scene as an RGB image of its width and height."""
    image = draw_background(scene)
    large = image.resize((scene.width * OVERSAMPLING, scene.height * OVERSAMPLING), Image.Resampling.NEAREST)
    pen = ImageDraw.Draw(large)
    for stroke in scene.strokes:
        draw_stroke(pen, stroke)
    for thing in scene.things:
        draw_thing(pen, thing)
    image = large.reduce(OVERSAMPLING)
    if scene.number is not None:
        number = scene.number
        ImageDraw.Draw(image).text(
            (number.x, number.y), number.digits, fill=number.rgb, font=font(number.font_px)
        )
    if scene.noise_seed is not None:
        image = add_noise(image, scene.noise_seed)
    return image


def draw_background(scene: Scene) -> Image.Image:
    """Draw one colour, or a fade between two."""
    size = (scene.width, scene.height)
    plain = Image.new("RGB", size, scene.background)
    if scene.shade is None:
        return plain
    mask = Image.linear_gradient("L").resize(size, Image.Resampling.BILINEAR)
    return Image.composite(Image.new("RGB", size, scene.shade), plain, mask)


def draw_stroke(pen: ImageDraw.ImageDraw, stroke: Stroke) -> None:
    """Draw a line, or a dot if both ends are the same."""
    (x, y), scale = stroke.start, OVERSAMPLING
    if stroke.start == stroke.end:
        half = stroke.thickness * scale / 2
        pen.ellipse((x * scale - half, y * scale - half, x * scale + half, y * scale + half), fill=stroke.rgb)
        return
    ends = (x * scale, y * scale, stroke.end[0] * scale, stroke.end[1] * scale)
    pen.line(ends, fill=stroke.rgb, width=stroke.thickness * scale)


def draw_thing(pen: ImageDraw.ImageDraw, thing: Thing) -> None:
    """Draw one shape, `radius` from its centre to its farthest edge."""
    x, y, radius = (value * OVERSAMPLING for value in (thing.x, thing.y, thing.radius))
    if thing.shape in ROUND:
        box = (x - radius, y - radius, x + radius, y + radius)
        width = ROUND[thing.shape](radius)
        if width:
            pen.ellipse(box, outline=thing.rgb, width=width)
        else:
            pen.ellipse(box, fill=thing.rgb)
        return
    pen.polygon([(x + dx * radius, y + dy * radius) for dx, dy in POLYGONS[thing.shape]], fill=thing.rgb)


def add_noise(image: Image.Image, seed: int) -> Image.Image:
    """Brighten each pixel by 0 to NOISE_RANGE, the same in all channels."""
    grain = random.Random(seed).randbytes(image.width * image.height)
    speckle = Image.frombytes("L", image.size, grain).point([v * NOISE_RANGE // 255 for v in range(256)])
    return ImageChops.add(image, Image.merge("RGB", (speckle, speckle, speckle)))
