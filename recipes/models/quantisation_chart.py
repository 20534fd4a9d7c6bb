"""A chart of a model's quantisations, as SVG: one bar for each part of the model, as long as its bytes. Pure."""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from recipes.models.inspect import Share

WIDTH, LEFT, RIGHT, ROW, BAR, TOP = 860, 170, 100, 30, 18, 78
FONT = 'font-family="sans-serif" font-size="13" fill="#222"'
SMALLEST = 1.5  # pixels, so that every type is visible
INSIDE = 54  # pixels that a type's name needs within a bar
# Okabe and Ito's palette, for colour-blind readers too; types take them in the order of their bytes.
COLOURS = ("#0072B2", "#E69F00", "#009E73", "#CC79A7", "#56B4E9", "#D55E00", "#F0E442", "#999999")
DARK = frozenset(("#0072B2", "#009E73", "#D55E00"))


def draw_mix(title: str, shares: Sequence[Share]) -> str:
    """Draw the bytes of each part of a model by type; the rows are in the order of `shares`."""
    groups = list(dict.fromkeys(share.group for share in shares))
    sums = {group: sum(share.size_bytes for share in shares if share.group == group) for group in groups}
    types = sorted(
        {share.type for share in shares},
        key=lambda kind: -sum(share.size_bytes for share in shares if share.type == kind),
    )
    colours = {kind: COLOURS[min(number, len(COLOURS) - 1)] for number, kind in enumerate(types)}
    scale = (WIDTH - LEFT - RIGHT) / max(sums.values(), default=1)
    height = TOP + ROW * len(groups) + 16
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" role="img" {FONT}>',
        f"<title>{escape(title)}</title>",
        f'<rect width="{WIDTH}" height="{height}" fill="#fff"/>',
        f'<text x="16" y="26" font-size="16" font-weight="bold">{escape(title)}</text>',
        *_legend(colours),
    ]
    for number, group in enumerate(groups):
        y = TOP + ROW * number
        lines.append(f'<text x="{LEFT - 10}" y="{y + 14}" text-anchor="end">{escape(group)}</text>')
        x = float(LEFT)
        for share in (share for share in shares if share.group == group):
            width = max(SMALLEST, share.size_bytes * scale)
            lines += _segment(share, x, y, width, colours[share.type])
            x += width
        lines.append(f'<text x="{x + 8:.1f}" y="{y + 14}">{_size(sums[group])}</text>')
    return "\n".join((*lines, "</svg>")) + "\n"


def _legend(colours: dict[str, str]) -> list[str]:
    lines, x = [], 16
    for kind, colour in colours.items():
        lines.append(f'<rect x="{x}" y="44" width="12" height="12" fill="{colour}"/>')
        lines.append(f'<text x="{x + 17}" y="55">{escape(kind)}</text>')
        x += 34 + 9 * len(kind)
    return lines


def _segment(share: Share, x: float, y: int, width: float, colour: str) -> list[str]:
    what = f"{share.group}, {share.type}: {share.tensors} tensors, {_size(share.size_bytes)}, {share.bits:.2f} bits"
    place = f'x="{x:.1f}" y="{y}" width="{width:.1f}" height="{BAR}"'
    lines = [f'<rect {place} fill="{colour}"><title>{escape(what)}</title></rect>']
    if width >= INSIDE:
        ink = "#fff" if colour in DARK else "#222"
        place = f'x="{x + width / 2:.1f}" y="{y + 13.5}" text-anchor="middle"'
        lines.append(f'<text {place} font-size="11" fill="{ink}">{escape(share.type)}</text>')
    return lines


def _size(size_bytes: int) -> str:
    for unit, factor in (("GB", 10**9), ("MB", 10**6), ("kB", 10**3)):
        if size_bytes >= factor:
            return f"{size_bytes / factor:.3g} {unit}"
    return f"{size_bytes} B"
