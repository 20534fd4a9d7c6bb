"""The drawing of docs/explanation/positions.md: the report's drawings of M-RoPE, as a file of their own.

Equal code gives equal bytes.
"""

from __future__ import annotations

from recipes.conformance.report.charts import draw_channels
from recipes.conformance.report.drawing import LINE, MARGIN, WIDTH, drawing, text
from recipes.conformance.report.markup import element, to_xml
from recipes.conformance.report.positions_chart import draw_positions

TITLES = ("Where a token is: its three positions", "Which position turns which frequency of a head")
PUBLISHED = (24, 20, 20)  # mrope_section of Qwen3-VL-30B-A3B
# The rules of recipes/conformance/report/page.css that these drawings need, with its colours.
STYLE = """
svg { color-scheme: light dark; font: 14.5px system-ui, "Segoe UI", Roboto, "Noto Sans", "DejaVu Sans", sans-serif; }
.paper { fill: #ffffff; } .band { fill: #f0f3f6; } text { fill: #1d232b; } .faint { fill: #4f5a66; font-size: 13.5px; }
.title { font-size: 19px; font-weight: 600; }
.strong { font-weight: 600; } .on-axis { fill: #14202e; font-size: 13px; font-weight: 600; }
.axis-t { fill: #8fb8ec; } .axis-h { fill: #f3b673; } .axis-w { fill: #9fd3a8; }
.frame { fill: none; stroke: #1d232b; stroke-width: 2; } .cut { fill: #ffffff; stroke: #5b6672; }
@media (prefers-color-scheme: dark) {
.paper { fill: #14181d; } .band { fill: #242b33; } text { fill: #e3e8ed; } .faint { fill: #9aa6b2; }
.on-axis { fill: #0c1219; } .axis-t { fill: #5f8fce; } .axis-h { fill: #cf8b45; } .axis-w { fill: #63a972; }
.frame { stroke: #e3e8ed; } .cut { fill: #14181d; stroke: #9aa6b2; }
}
"""


def positions_drawing() -> str:
    """Return the drawing: the positions of an image and a clip, and which of them turns each frequency."""
    parts, top, words = [], 0.0, []
    for title, made in zip(TITLES, (draw_positions(), draw_channels(PUBLISHED)), strict=True):
        parts.append(text(MARGIN, top + 1.5 * LINE, title, class_="title"))
        top += 2.25 * LINE
        parts.append(element("g", *made, transform=f"translate(0 {top:g})"))
        words.append(made.get("aria-label", ""))
        top += float(made.get("viewBox", "").split()[3])
    root = drawing(" ".join(words), top + LINE, parts)
    root.insert(0, element("rect", width=WIDTH, height=top + LINE, rx=8, class_="paper"))
    root.insert(0, element("style", STYLE))
    return to_xml(root)
