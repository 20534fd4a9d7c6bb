"""Tables in Markdown. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence


def markdown_table(heads: Sequence[str], rows: Iterable[Sequence[str]], texts: int | None = None) -> str:
    r"""Write a table: the first `texts` columns are left-aligned texts (default: all), the others numbers.

    >>> print(markdown_table(("a", "b"), [("x | y", "1")], texts=1))
    | a | b |
    | --- | ---: |
    | x \| y | 1 |
    """
    kinds = ["---" if texts is None or place < texts else "---:" for place in range(len(heads))]
    lines = (heads, kinds, *rows)
    return "\n".join("| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in lines)
