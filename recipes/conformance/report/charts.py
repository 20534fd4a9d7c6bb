"""The two drawings of the page, as SVG: which frequencies t, h and w turn, and how far logarithms differ. Pure.

Colours are classes of page.css, so that a drawing follows the page from light to dark and to paper.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from recipes.conformance.report.drawing import LINE, MARGIN, WIDTH, drawing, text
from recipes.conformance.report.markup import element
from recipes.conformance.report.summary import figure_text
from recipes.evalset.mrope_sections import AXES, blocked, interleaved

if TYPE_CHECKING:
    from collections.abc import Sequence
    from xml.etree.ElementTree import Element

    from recipes.conformance.results.result import Distance

CELL_MOST, CELL_HEIGHT = 30.0, 30
AXIS_NAMES = {"t": "time", "h": "height", "w": "width"}

LABELS = 130  # width of the column that names the weights and the setting
GROUP_LEAST, STEP_LEAST, STEP_MOST, STEPS_ROOM = 44.0, 5.0, 12.0, 120.0
FLOOR = 1e-6  # smaller differences, zero among them, are drawn here: f32 cannot tell them
RADIUS = 3.6


def draw_channels(sections: Sequence[int]) -> Element:
    """Draw which axis turns each frequency, in blocks and interleaved; a frame marks those that differ.

    The sections are how many frequencies t, h and w get; at least one.
    """
    layouts = (("blocked", blocked(sections)), ("interleaved", interleaved(sections)))
    total = sum(sections)
    size = min(CELL_MOST, (WIDTH - 2 * MARGIN) / total)
    parts, top = [_channel_legend(sections)], 2 * LINE
    for name, axes in layouts:
        parts.append(text(MARGIN, top + 12, name, class_="strong"))
        for index, axis in enumerate(axes):
            is_other = axis != layouts[0][1][index]
            parts.extend(_cell(index, axis, size, top + LINE, is_other=is_other))
        top += LINE + CELL_HEIGHT + LINE
    ticks = [*range(0, total - 1, 8), total - 1]
    parts.extend(
        text(MARGIN + (index + 0.5) * size, top - 4, str(index), class_="faint", text_anchor="middle")
        for index in ticks
        if index == total - 1 or (total - 1 - index) * size > LINE
    )
    words = "; ".join(f"{name}: {' '.join(axes)}" for name, axes in layouts)
    return drawing(f"The axis of each frequency, from the fastest. {words}.", top + 4, parts)


def draw_distances(distances: Sequence[Distance]) -> Element:
    """Draw each prompt as two dots on a logarithmic scale: its difference, and what known deviations leave of it.

    There is at least one; they are grouped by weights and setting, in the order in which those come, and sorted.
    """
    groups: dict[tuple[str, str], list[Distance]] = {}
    for distance in distances:
        groups.setdefault((distance.weights, distance.setting), []).append(distance)
    values = [_bounded(value) for d in distances for value in (d.size, d.explained)]
    low, high = math.floor(math.log10(min(values))), math.ceil(math.log10(max(values)))
    scale = _Scale(low, max(high, low + 1))
    top = 2.5 * LINE
    rows: list[Element] = []
    for number, ((weights, setting), members) in enumerate(groups.items()):
        step = min(STEP_MOST, max(STEP_LEAST, STEPS_ROOM / len(members)))
        height = max(GROUP_LEAST, step * (len(members) + 1))
        shade = "band" if number % 2 == 0 else "band odd"
        rows.append(element("rect", x=0, y=top, width=WIDTH, height=height, class_=shade))
        rows.append(text(MARGIN, top + LINE, weights, class_="strong"))
        rows.append(text(MARGIN, top + 1.9 * LINE, setting, class_="faint"))
        start = top + (height - step * (len(members) - 1)) / 2
        ranked = sorted(members, key=lambda d: (-_bounded(d.size), d.case))
        rows.extend(_pair(d, scale, start + index * step) for index, d in enumerate(ranked))
        top += height
    bands = [row for row in rows if row.tag == "rect"]
    others = [row for row in rows if row.tag != "rect"]
    parts = [*_distance_legend(), *bands, *scale.grid(2.5 * LINE, top), *others]
    parts.append(
        text(
            (scale.left + scale.right) / 2,
            top + 2 * LINE,
            "largest difference of a first token's natural logarithm of probability",
            class_="faint",
            text_anchor="middle",
        )
    )
    words = "Differences from the reference by weights and setting; every number is in the table below."
    return drawing(words, top + 2.5 * LINE, parts)


class _Scale:
    """A logarithmic scale over whole powers of ten."""

    def __init__(self, low: int, high: int) -> None:
        self.low, self.high = low, high
        self.left, self.right = LABELS, WIDTH - 2 * MARGIN

    def x(self, value: float) -> float:
        """Where a difference is drawn."""
        place = (math.log10(_bounded(value)) - self.low) / (self.high - self.low)
        return self.left + place * (self.right - self.left)

    def grid(self, top: float, bottom: float) -> list[Element]:
        """Draw a line and a number at each power of ten."""
        parts = []
        for power in range(self.low, self.high + 1):
            x = self.x(10.0**power)
            parts.append(element("line", x1=x, x2=x, y1=top, y2=bottom, class_="grid"))
            label = f"{10.0**power:.{max(0, -power)}f}"
            if 10.0**power <= FLOOR:
                label += " or less"
            parts.append(text(x, bottom + LINE - 4, label, class_="faint", text_anchor="middle"))
        return parts


def _pair(distance: Distance, scale: _Scale, y: float) -> Element:
    raw, left = scale.x(distance.size), scale.x(distance.explained)
    resized = ", with a resized image" if distance.resized else ""
    words = (
        f"{distance.case}, {distance.weights}, {distance.setting}{resized}: "
        f"{figure_text(distance.size)}, of which {figure_text(distance.explained)} is not explained"
    )
    return element(
        "g",
        element("title", words),
        element("line", x1=raw, x2=left, y1=y, y2=y, class_="link"),
        _mark(raw, y, "raw", is_resized=distance.resized),
        _mark(left, y, "left", is_resized=distance.resized),
    )


def _mark(x: float, y: float, class_: str, *, is_resized: bool) -> Element:
    """Draw a dot, or a diamond where an image was resized."""
    if not is_resized:
        return element("circle", cx=x, cy=y, r=RADIUS, class_=class_)
    r = RADIUS * 1.35  # looks as large as the dot
    points = ((x, y - r), (x + r, y), (x, y + r), (x - r, y))
    return element("polygon", points=" ".join(f"{a:.2f},{b:.2f}" for a, b in points), class_=class_)


def _distance_legend() -> list[Element]:
    y = 0.75 * LINE
    places = (
        (LABELS, "raw", False, "as measured"),
        (LABELS + 120, "left", False, "left once the known deviations are accounted for"),
        (LABELS + 520, "plain", True, "diamond: an image in it is resized"),
    )
    parts = []
    for x, class_, is_resized, words in places:
        parts.append(_mark(x + RADIUS, y, class_, is_resized=is_resized))
        parts.append(text(x + 14, y + 5, words))
    return parts


def _channel_legend(sections: Sequence[int]) -> Element:
    parts: list[Element] = []
    x = float(MARGIN)
    for axis, number in zip(AXES, sections, strict=True):
        parts.append(element("rect", x=x, y=2, width=16, height=16, rx=3, class_=f"axis-{axis}"))
        parts.append(text(x + 22, 15, f"{axis}: {AXIS_NAMES[axis]}, {number}"))
        x += 130
    parts.append(element("rect", x=x + 1, y=3, width=14, height=14, rx=3, class_="frame"))
    parts.append(text(x + 22, 15, "not the axis that the blocked layout has there"))
    return element("g", *parts)


def _cell(index: int, axis: str, size: float, y: float, *, is_other: bool) -> list[Element]:
    x = MARGIN + index * size
    gap = 1.0 if size < CELL_HEIGHT / 2 else 1.5
    box = {"x": x + gap, "y": y + gap, "width": size - 2 * gap, "height": CELL_HEIGHT - 2 * gap, "rx": 3.0}
    parts = [
        element("rect", class_=f"axis-{axis}", **box),
        text(x + size / 2, y + 20, axis, class_="on-axis", text_anchor="middle"),
    ]
    if is_other:
        parts.insert(1, element("rect", class_="frame", **box))
    return parts


def _bounded(value: float) -> float:
    """Return a number that a logarithmic scale can show."""
    return max(value, FLOOR)
