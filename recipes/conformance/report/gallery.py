"""The grid of questions with their images, and what was answered. Pure."""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING

from recipes.conformance.report.markup import element, section
from recipes.conformance.report.summary import count

if TYPE_CHECKING:
    from collections.abc import Sequence
    from xml.etree.ElementTree import Element

    from recipes.conformance.results.result import Exhibit


def exhibits_section(exhibits: Sequence[Exhibit]) -> Element | None:
    """Show every question; those that were answered wrongly come first."""
    if not exhibits:
        return None
    wrong = [exhibit for exhibit in exhibits if not exhibit.is_right]
    right = [exhibit for exhibit in exhibits if exhibit.is_right]
    parts = []
    for found, adverb in ((wrong, "wrongly"), (right, "rightly")):
        if found:
            parts.append(element("h3", f"{count(len(found), 'question')} answered {adverb}"))
            parts.append(element("div", *(_card(exhibit) for exhibit in found), class_="exhibits"))
    return section("Questions and answers", *parts)


def image(data: bytes, alt: str, class_: str = "") -> Element:
    """Show a PNG file that the page itself carries."""
    width, height = png_size(data)
    source = f"data:image/png;base64,{base64.b64encode(data).decode('ascii')}"
    return element(
        "img", src=source, alt=alt, width=width, height=height, **({"class_": class_} if class_ else {})
    )


def png_size(data: bytes) -> tuple[int, int]:
    """Return width and height of a PNG file in pixels.

    They stand in the IHDR chunk, the first of every PNG file (PNG specification, 11.2.2).
    """
    return int.from_bytes(data[16:20], "big"), int.from_bytes(data[20:24], "big")


def _card(exhibit: Exhibit) -> Element:
    symbol, word = ("✓", "right") if exhibit.is_right else ("✗", "wrong")
    verdict = "passed" if exhibit.is_right else "failed"
    images = [image(data, _alt(exhibit, place, data)) for place, data in enumerate(exhibit.images, start=1)]
    sizes = [f"{width} x {height}" for width, height in map(png_size, exhibit.images)]
    badge = element("span", element("b", symbol, aria_hidden="true"), f" {word}", class_=f"badge {verdict}")
    said = (("asked", exhibit.question), ("expected", exhibit.expected), ("given", exhibit.given))
    rows = [
        part for name, text in said for part in (element("dt", name), element("dd", _said(text), class_=name))
    ]
    return element(
        "figure",
        element(
            "div",
            *(images or (element("span", "no image"),)),
            class_="images several" if images[1:] else "images",
        ),
        element(
            "figcaption",
            element("div", element("span", exhibit.name), badge, class_="title"),
            element("div", f"{', '.join(sizes)} pixels", class_="faint") if sizes else None,
            element("dl", *rows),
        ),
        class_=f"exhibit {word}",
    )


def _said(text: str) -> Element:
    if not text.strip():
        return element("span", "(nothing)", class_="faint")
    return element("span", text, class_="said")


def _alt(exhibit: Exhibit, place: int, data: bytes) -> str:
    width, height = png_size(data)
    return f"Image {place} of {len(exhibit.images)} of {exhibit.name}, {width} by {height} pixels"
