"""How a check of what was built says what is wrong: violations, and one error for all of them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from recipes.core.errors import AuditError

if TYPE_CHECKING:
    from collections.abc import Sequence

SHOWN = 20  # violations in one error; the rest is counted


@dataclass(frozen=True)
class Violation:
    """One way in which what was resolved or built is not what the plan says."""

    expected: str
    found: str
    fix: str


def refuse(where: str, violations: Sequence[Violation]) -> None:
    """Raise one AuditError for all violations, with a line for each of the first; with none, do nothing."""
    if not violations:
        return
    shown, hidden = violations[:SHOWN], len(violations) - SHOWN
    more = [f"and {hidden} more"] if hidden > 0 else []
    raise AuditError(
        where=where,
        expected="\n".join(dict.fromkeys(each.expected for each in shown)),
        found="\n".join([*dict.fromkeys(each.found for each in shown), *more]),
        fix="\n".join(dict.fromkeys(each.fix for each in shown)),
    )
