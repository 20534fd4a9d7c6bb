"""What a recipe says of findings, once its source and its patches are others. Pure.

| status                    | stays as it is                              | to be looked at again                     |
|---------------------------|---------------------------------------------|-------------------------------------------|
| affected                  | while the published range has the new build | always                                    |
| under_investigation       | always                                      | always                                    |
| fixed, by a patch         | while the patch is there                    | where the patch is another, or upstream's |
| fixed, by upstream before | while the published range lacks the build   | where it has it                           |
| not_affected              | always                                      | where the range has the new build         |

What does not stay becomes `under_investigation`: nothing else can be said of a source that nobody looked at.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from recipes.lock.rebase import Outcome, Rebased
from recipes.manifest.affected import covers
from recipes.manifest.edit_lists import remove_key
from recipes.manifest.edit_values import replace_pins

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from recipes.manifest.schema import Advisory, Recipe, Standing

OPEN = "under_investigation"
NOT_PRESENT = "component_not_present"


class Look(NamedTuple):
    """One finding, what is said of it from now on, and why it must be looked at again; "" where it need not be."""

    advisory: str
    status: str
    patch: int | None
    why: str


def look_again(
    after: Recipe, advisories: Mapping[str, Advisory], series: Sequence[Rebased]
) -> tuple[Look, ...]:
    """Decide of each finding of a recipe; `after` is the recipe with its new source and its old patches.

    `series` is what became of all its patches.
    """
    return tuple(
        _look(name, standing, series, is_covered=covers(advisories[name], after))
        for name, standing in after.advisories.items()
        if name in advisories
    )


def write_looks(text: str, recipe: Recipe, looks: Sequence[Look]) -> str:
    """Return the manifest that says so; raises ValueError where its layout does not allow it."""
    for look in looks:
        standing, path = recipe.advisories[look.advisory], ("advisories", look.advisory)
        if look.status != standing.status:
            text = replace_pins(text, {(*path, "status"): look.status})
            if standing.action is not None:
                text = remove_key(text, (*path, "action"))
        if look.patch is None and standing.patch is not None:
            text = remove_key(text, (*path, "patch"))
        elif look.patch != standing.patch:
            text = replace_pins(text, {(*path, "patch"): str(look.patch)})
    return text


def _look(name: str, standing: Standing, series: Sequence[Rebased], *, is_covered: bool | None) -> Look:
    status = standing.status
    if status == "affected":
        why = "is it still?" if is_covered is not False else "its range ends before the new build"
        return Look(name, status if is_covered is not False else OPEN, None, why)
    if status == "not_affected":
        is_open = is_covered and standing.justification != NOT_PRESENT
        return Look(name, status, None, "its range has the new build" if is_open else "")
    if status == "fixed" and standing.patch is not None:
        return _look_at_fix(name, standing.patch, series, is_covered=is_covered)
    if status == "fixed" and is_covered:
        return Look(name, OPEN, None, "fixed in the old source, and its range has the new build")
    return Look(name, status, None, "it was under investigation" if status == OPEN else "")


def _look_at_fix(name: str, patch: int, series: Sequence[Rebased], *, is_covered: bool | None) -> Look:
    one = series[patch - 1]
    if one.outcome.is_gone:
        why = f"patch {patch}, which fixed it, is {one.outcome.value}"
        is_fixed = one.outcome is Outcome.UPSTREAM and not is_covered
        return Look(name, "fixed" if is_fixed else OPEN, None, why)
    number = patch - sum(each.outcome.is_gone for each in series[:patch])
    why = {
        Outcome.KEPT: "",
        Outcome.REBASED: f"patch {patch}, which fixes it, is rebased",
        Outcome.CONFLICT: f"patch {patch}, which fixes it, is in conflict",
    }[one.outcome]
    return Look(name, "fixed", number, why)
