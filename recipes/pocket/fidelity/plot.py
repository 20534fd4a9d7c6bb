"""The drawing of a ledger: each llama.cpp's differences as hills on a logarithmic scale, in both settings. Pure."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from recipes.conformance.report.markup import element
from recipes.pocket.fidelity.results import GROUPS
from recipes.pocket.fidelity.summary import Selection, figure, values

if TYPE_CHECKING:
    from collections.abc import Sequence
    from xml.etree.ElementTree import Element

    from recipes.pocket.fidelity.results import Ledger

WIDTH, LEFT, RIGHT = 1000, 215, 965
HILL, GAP, HEAD = 30, 14, 64  # heights: of a hill, between subjects, above a setting
LOW, HIGH = -7, 2  # powers of ten; smaller differences are drawn at the left edge: f32 cannot tell them
BINS = 6  # of a power of ten
PLAIN = -3  # the least power of ten that is written with zeros
RAISED = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")
STYLE = """
svg { color-scheme: light dark; font: 15px system-ui, "Segoe UI", Roboto, "Noto Sans", "DejaVu Sans", sans-serif; }
.paper { fill: #ffffff; } .band { fill: #f6f8fa; } text { fill: #1d232b; } .faint { fill: #5b6672; font-size: 13px; }
.title { font-size: 19px; font-weight: 600; } .name { font-weight: 600; } .grid { stroke: #d7dde3; }
.limit { stroke: #b3261e; stroke-dasharray: 5 4; } .limit-words { fill: #b3261e; font-size: 13px; }
.text { fill: #5b6672; } .no-resize { fill: #1f66c1; } .resize { fill: #c2620a; } .clips { fill: #2c7a4b; }
.hill { fill-opacity: .55; }
.most { font-size: 12px; }
@media (prefers-color-scheme: dark) {
.paper { fill: #14181d; } .band { fill: #1c2229; } text { fill: #e3e8ed; } .faint { fill: #9aa6b2; }
.grid { stroke: #333c46; } .limit { stroke: #ff8f85; } .limit-words { fill: #ff8f85; }
.text { fill: #9aa6b2; } .no-resize { fill: #6aa8f5; } .resize { fill: #f09a4a; } .clips { fill: #62c08a; }
}
"""


def draw(ledger: Ledger) -> Element:
    """Draw a ledger."""
    parts: list[Element] = []
    top = float(HEAD)
    for setting, limit in ledger.limits.items():
        parts.append(_text(20, top - 22, f"{setting} setting", class_="title"))
        bottom = top
        rows: list[Element] = []
        for number, subject in enumerate(ledger.subjects):
            height = float(HILL * len(GROUPS) + GAP)
            if number % 2 == 0:
                parts.append(element("rect", x=0, y=bottom, width=WIDTH, height=height, class_="band"))
            rows.append(_text(20, bottom + height / 2 + 5, subject.title, class_="name"))
            for place, group in enumerate(GROUPS):
                found = values(ledger, Selection(subject.title, setting, group=group))
                rows.extend(_hill(found, group, bottom + (place + 1) * HILL + GAP / 2))
            bottom += height
        parts += [*_scale(top, bottom), *_limit(limit, top, bottom), *rows]
        top = bottom + HEAD + 2 * GAP
    height = top - HEAD + 3 * GAP
    words = (
        "largest difference of the first token's natural logarithm of probability from transformers in fp32"
    )
    return element(
        "svg",
        element("style", STYLE),
        element("rect", width=WIDTH, height=height, class_="paper"),
        *_legend(),
        *parts,
        _text((LEFT + RIGHT) / 2, height - 2 * GAP, words, class_="faint", text_anchor="middle"),
        viewBox=f"0 0 {WIDTH} {height:g}",
        role="img",
        aria_label=f"Hills of differences from the reference: {words}; the numbers are in the tables.",
        xmlns="http://www.w3.org/2000/svg",
    )


def place_of(value: float) -> float:
    """Where a difference is drawn."""
    power = math.log10(min(max(value, 10.0**LOW), 10.0**HIGH))
    return LEFT + (power - LOW) / (HIGH - LOW) * (RIGHT - LEFT)


def heights(found: Sequence[float]) -> list[float]:
    """Return the share of the cases in each bin of the scale, the fullest bin as 1."""
    counts = [0] * ((HIGH - LOW) * BINS)
    for value in found:
        power = math.log10(min(max(value, 10.0**LOW), 10.0**HIGH))
        counts[min(int((power - LOW) * BINS), len(counts) - 1)] += 1
    most = max(counts, default=0)
    return [count / most if most else 0.0 for count in counts]


def _hill(found: Sequence[float], group: str, base: float) -> list[Element]:
    """Draw a hill of one group, with its largest difference as a dot and a number."""
    class_ = group.replace(" ", "-")
    if not found:
        return [_text(LEFT + 6, base - 4, f"{group}: no answer", class_="faint")]
    step = (RIGHT - LEFT) / ((HIGH - LOW) * BINS)
    points = [f"M{LEFT:.1f} {base:.1f}"]
    for number, share in enumerate(heights(found)):
        x, y = LEFT + number * step, base - share * (HILL - 5)
        points.append(f"L{x:.1f} {y:.1f}L{x + step:.1f} {y:.1f}")
    points.append(f"L{RIGHT:.1f} {base:.1f}Z")
    x = place_of(max(found))
    words = f"{group}: {len(found)} cases, the largest difference {figure(max(found))}"
    is_far = x > RIGHT - 50
    anchor = "end" if is_far else "start"
    return [
        element("g", element("title", words), element("path", d="".join(points), class_=f"hill {class_}")),
        element("circle", cx=x, cy=base - 5, r=4.5, class_=class_),
        _text(x - 9 if is_far else x + 9, base - 1, figure(max(found)), class_="most", text_anchor=anchor),
    ]


def _scale(top: float, bottom: float) -> list[Element]:
    parts = []
    for power in range(LOW, HIGH + 1):
        x = place_of(10.0**power)
        parts.append(element("line", x1=x, x2=x, y1=top, y2=bottom, class_="grid"))
        label = f"{10.0**power:g}" if power >= PLAIN else f"10{str(power).translate(RAISED)}"
        label += " or less" if power == LOW else ""
        parts.append(_text(x, bottom + 18, label, class_="faint", text_anchor="middle"))
    return parts


def _limit(limit: float, top: float, bottom: float) -> list[Element]:
    x = place_of(limit)
    return [
        element("line", x1=x, x2=x, y1=top - 6, y2=bottom, class_="limit"),
        _text(x, top - 11, f"limit {limit:g}", class_="limit-words", text_anchor="middle"),
    ]


def _legend() -> list[Element]:
    parts: list[Element] = []
    x = 430.0
    for group, words in zip(
        GROUPS, ("text alone", "images, no resize", "images, resized", "clips"), strict=True
    ):
        class_ = group.replace(" ", "-")
        parts.append(element("rect", x=x, y=10, width=14, height=14, rx=3, class_=class_))
        parts.append(_text(x + 21, 22, words))
        x += 45 + 7.6 * len(words)
    return parts


def _text(x: float, y: float, words: str, **attributes: str) -> Element:
    return element("text", words, x=x, y=y, **attributes)
