"""Refuses a model that llama.cpp would not load, or a projector that does not belong to it. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

from recipes.core.errors import VerifyError
from recipes.models.gguf.findings import Severity

if TYPE_CHECKING:
    from recipes.models.inspect import Inspection


def demand_sound(found: Inspection, title: str) -> None:
    """Demand that nothing is wrong with a model.

    Parameters
    ----------
    found
        What was seen.
    title
        What it is called.

    Raises
    ------
    VerifyError
        Naming the first error, and how many there are.
    """
    wrong = [(where, one) for where, one in found.findings if one.severity is Severity.ERROR]
    if wrong:
        where, one = wrong[0]
        raise VerifyError(
            where=f"{title}, {where}: {one.where}",
            expected="a model that llama.cpp loads, and a projector that belongs to it",
            found=f"{one.where} {one.what}" + (f"; {len(wrong) - 1} more are above" if wrong[1:] else ""),
            fix="do not load it: take a file that its publisher vouches for",
        )
