"""Elements of a page, a drawing or an XML file: text goes in as text, so that no answer can become markup. Pure."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING
from xml.etree.ElementTree import Element, tostring

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

Child = Element | str | None

# What XML 1.0 (production 2, Char) lets no document carry, not even escaped; half a surrogate pair is among it.
_UNPRINTABLE = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def printable(text: str) -> str:
    """Put U+FFFD where a character cannot stand in XML or UTF-8.

    >>> printable("a" + chr(0) + "b")
    'a\ufffdb'
    """
    return _UNPRINTABLE.sub("\ufffd", text)


def element(tag: str, *children: Child, **attributes: str | float) -> Element:
    """Make an element of texts and other elements, in order; None stands for nothing.

    `class_` is written class, `stroke_width` stroke-width; numbers with two decimals at most.

    >>> to_html(element("p", "1 < 2 ", element("b", "&"), " so", class_="x"))
    '<p class="x">1 &lt; 2 <b>&amp;</b> so</p>'
    """
    made = Element(tag, {_attribute(name): _value(value) for name, value in attributes.items()})
    for child in children:
        if isinstance(child, Element):
            made.append(child)
        elif child is not None:
            _append_text(made, printable(child))
    return made


def table(
    heads: Sequence[str], rows: Iterable[Sequence[Child]], texts: int | None = None, class_: str = ""
) -> Element:
    """Make a table whose first column names the rows: `texts` columns of texts (default: all), then numbers."""
    classes = [{} if texts is None or place < texts else {"class_": "number"} for place in range(len(heads))]
    head = (element("th", words, scope="col", **more) for words, more in zip(heads, classes, strict=True))
    body = (
        element(
            "tr",
            element("th", row[0], scope="row", **classes[0]),
            *(element("td", cell, **more) for cell, more in zip(row[1:], classes[1:], strict=True)),
        )
        for row in rows
    )
    parts = element("thead", element("tr", *head)), element("tbody", *body)
    return element("div", element("table", *parts, **({"class": class_} if class_ else {})), class_="wide")


def section(heading: str, *children: Child) -> Element:
    """Make a section of the page."""
    return element("section", element("h2", heading), *children)


def to_html(root: Element) -> str:
    """Write an element as HTML."""
    return tostring(root, encoding="unicode", method="html")


def to_xml(root: Element) -> str:
    """Write an element as an XML file."""
    return '<?xml version="1.0" encoding="UTF-8"?>\n' + tostring(root, encoding="unicode") + "\n"


def _append_text(parent: Element, text: str) -> None:
    if len(parent):
        parent[-1].tail = (parent[-1].tail or "") + text
    else:
        parent.text = (parent.text or "") + text


def _attribute(name: str) -> str:
    return name.removesuffix("_").replace("_", "-")


def _value(value: str | float) -> str:
    return printable(value) if isinstance(value, str) else f"{value:.2f}".rstrip("0").rstrip(".")
