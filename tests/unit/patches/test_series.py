"""The fate of a patch is the worst of its hunks'."""

from __future__ import annotations

import pytest

from recipes.patches.fit import Fit, HunkReport
from recipes.patches.series import Fate, fate_of


@pytest.mark.parametrize(
    ("fits", "fate"),
    [
        ("EXACT EXACT", Fate.EXACT),
        ("EXACT MOVED", Fate.MOVED),
        ("MOVED FUZZY EXACT", Fate.FUZZY),
        ("FUZZY CONFLICT APPLIED", Fate.CONFLICT),
        ("APPLIED MOVED", Fate.MOVED),
        ("APPLIED APPLIED", Fate.APPLIED),
        ("EXACT APPLIED", Fate.PARTLY),
    ],
)
def test_the_worst_hunk_decides(fits: str, fate: Fate) -> None:
    assert fate_of([HunkReport("a.c", 1, 5, 1, Fit[name]) for name in fits.split()]) is fate
