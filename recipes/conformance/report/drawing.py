"""What every drawing of the page is made of: its width, a line of text, and the frame around all. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

from recipes.conformance.report.markup import element

if TYPE_CHECKING:
    from collections.abc import Sequence
    from xml.etree.ElementTree import Element

WIDTH = 1000
MARGIN = 10
LINE = 20  # height of a line of text


def text(x: float, y: float, words: str, **attributes: str) -> Element:
    """Write words with their baseline at a place."""
    return element("text", words, x=x, y=y, **attributes)


def drawing(words: str, height: float, parts: Sequence[Element]) -> Element:
    """Put parts into a drawing of `WIDTH`; `words` say what is seen."""
    return element(
        "svg",
        *parts,
        viewBox=f"0 0 {WIDTH} {height:g}",
        role="img",
        aria_label=words,
        xmlns="http://www.w3.org/2000/svg",
    )
