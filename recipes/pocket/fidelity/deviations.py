"""The known deviations of each recipe's llama.cpp from the reference, in each setting. Pure.

They are what conformance finds (docs/explanation/conformance.md); what they leave is measured here again.
"""

from __future__ import annotations

from recipes.core.errors import UsageError
from recipes.evalset.golden import JOIN
from recipes.pocket.fidelity.image_batching import LEFT_OUT
from recipes.pocket.fidelity.rotary import FOURTH
from recipes.pocket.reference import known_deviations as known

UPSTREAM = {known.JOINED.name, known.RESIZE.name, known.INTERPOLATION.name, LEFT_OUT, FOURTH}
OLD = frozenset(UPSTREAM | {known.ATTENTION.name, known.HALF.name, known.GELU.name})
NATIVE = frozenset(UPSTREAM | {known.HALF.name, known.GELU.name})
TEXT = frozenset({known.HALF_TEXT.name})
NAMES = (*(deviation.name for deviation in known.ALL), LEFT_OUT, FOURTH)
KNOWN: dict[str, dict[str, frozenset[str]]] = {
    "b7710": {"strict": OLD, "default": OLD | TEXT},
    "b7827": {"strict": NATIVE, "default": NATIVE | TEXT},
    "b6751": {"strict": frozenset(), "default": TEXT},
    "b11312": {"strict": frozenset(), "default": frozenset()},
}


def known_of(recipe: str) -> dict[str, frozenset[str]] | None:
    """Return the deviations of a recipe's llama.cpp by setting; None where nothing is known of it."""
    return KNOWN.get(recipe)


def parse_known(text: str) -> dict[str, frozenset[str]]:
    """Read the deviations of another llama.cpp, as `resize+gelu`; in the default setting the language model's.

    A UsageError names one that does not exist.
    """
    names = frozenset(filter(None, text.split(JOIN)))
    for name in sorted(names):
        if name not in NAMES:
            raise UsageError(
                where=f"--bundle ...={text}",
                expected=f"names out of: {', '.join(NAMES)}",
                found=repr(name),
                fix=f"write them as {JOIN.join(NAMES[:2])}, or leave them out",
            )
    return {"strict": names - TEXT, "default": names | TEXT}
