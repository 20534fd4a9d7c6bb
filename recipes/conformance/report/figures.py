"""The drawings with the words and tables that go with them. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

from recipes.conformance.report.charts import draw_channels, draw_distances
from recipes.conformance.report.markup import element, section, table
from recipes.conformance.report.positions_chart import draw_positions
from recipes.conformance.report.summary import count, figure_text
from recipes.evalset.mrope_sections import blocked, interleaved

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from xml.etree.ElementTree import Element

    from recipes.conformance.results.result import Distance

NO_VALUE = "none"


def distances_section(distances: Sequence[Distance]) -> Element | None:
    """Draw the differences of logarithms of probability, with their worst and, folded, all of them."""
    if not distances:
        return None
    groups = dict.fromkeys((distance.weights, distance.setting) for distance in distances)
    worst = [
        _worst(weights, setting, [d for d in distances if (d.weights, d.setting) == (weights, setting)])
        for weights, setting in groups
    ]
    every = [
        (
            *(d.weights, d.setting, d.case, "yes" if d.resized else "no"),
            *map(figure_text, (d.size, d.explained)),
        )
        for d in distances
    ]
    heads = ("Weights", "Setting", "Prompts", "Raw", "Raw, resized", "Left", "Left, resized")
    return section(
        "Distance from the reference",
        element(
            "p",
            "How far the probabilities of the first token are from the reference's, each prompt a pair of marks. "
            "Prompts with an image that must be resized stand apart: how a program resizes is not part of the "
            "model.",
        ),
        element("div", draw_distances(distances), class_="wide drawing"),
        element("h3", "Largest difference"),
        table(heads, worst, texts=2),
        element(
            "details",
            element("summary", f"All {count(len(distances), 'difference')}"),
            table(("Weights", "Setting", "Prompt", "Resized", "Raw", "Left"), every, texts=4),
        ),
    )


def channels_section(sections: tuple[int, int, int]) -> Element:
    """Draw which frequencies t, h and w turn in both layouts, and what they are of an image and of a clip."""
    total = sum(sections)
    differing = sum(a != b for a, b in zip(blocked(sections), interleaved(sections), strict=True))
    return section(
        "Which frequency belongs to t, h and w",
        element(
            "p",
            "The rotary position embedding turns each frequency of a head by one of three positions: time, "
            "height or width. Qwen2-VL lays them out in blocks, Qwen3-VL interleaved. A program that takes one "
            f"for the other turns {differing} of {count(total, 'frequency').replace('ys', 'ies')} by the wrong "
            "position, and only images show it: a text's three positions are equal.",
        ),
        element("div", draw_channels(sections), class_="wide drawing"),
        element("p", "Numbered from the fastest frequency to the slowest.", class_="faint"),
        element("h3", "The three positions of a token"),
        element("div", draw_positions(), class_="wide drawing"),
    )


def _worst(weights: str, setting: str, members: Sequence[Distance]) -> tuple[str, ...]:
    values = [
        _largest(d.size if is_raw else d.explained for d in members if d.resized is resized)
        for is_raw in (True, False)
        for resized in (False, True)
    ]
    return (weights, setting, str(len(members)), *values)


def _largest(values: Iterable[float]) -> str:
    largest = max(values, default=None)
    return NO_VALUE if largest is None else figure_text(largest)
