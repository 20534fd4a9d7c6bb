"""Puts what was measured beside what was measured before, where the reference is the same. Pure."""

from __future__ import annotations

import msgspec

from recipes.core.errors import VerifyError
from recipes.pocket.fidelity.results import LEDGER, Ledger

# What two ledgers must have in common for their figures to stand in one table.
SAME = ("format", "made_with", "prompts", "servers", "limits", "models", "cases")


def keep(before: Ledger, found: Ledger) -> Ledger:
    """Give all that was found, and what was measured before of llama.cpps that were not measured again.

    Parameters
    ----------
    before
        Of it the subjects are kept that `found` has not, and their comparisons with its first one.
    found
        Its first subject is compared with each other one.

    Raises
    ------
    VerifyError
        Where the two were measured with other references, or where the subject that comparisons are with is another
        llama.cpp than it was.
    """
    for name in SAME:
        if getattr(before, name) != getattr(found, name):
            raise _apart(f"the same {name}", f"others in {LEDGER.name}")
    measured = {subject.title for subject in found.subjects}
    kept = tuple(subject for subject in before.subjects if subject.title not in measured)
    first, then = found.subjects[0], before.subjects[0]
    if kept and (first.title, first.digest) != (then.title, then.digest):
        raise _apart(
            f"{then.title}, {then.digest}, which the others were compared with",
            f"{first.title}, {first.digest}",
        )
    titles = {subject.title for subject in kept}
    return msgspec.structs.replace(
        found,
        subjects=(*found.subjects, *kept),
        rows=(*found.rows, *(row for row in before.rows if row.subject in titles)),
        beyond=(*found.beyond, *(item for item in before.beyond if item.subject in titles)),
        comparisons=(*found.comparisons, *(item for item in before.comparisons if item.other in titles)),
    )


def _apart(expected: str, found: str) -> VerifyError:
    return VerifyError(
        where="fidelity --keep",
        expected=expected,
        found=found,
        fix="measure all of them in one run, without --keep",
    )
