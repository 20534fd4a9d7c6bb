"""What a recipe is known to get wrong: said before it is used, or reason enough not to."""

from __future__ import annotations

from typing import TYPE_CHECKING

from recipes.core.errors import PolicyError

if TYPE_CHECKING:
    from recipes.build.context import Job


def warn_known_issues(job: Job, *, refuse: bool) -> None:
    """Say what a recipe is known to get wrong; raises PolicyError where the user's policy refuses such a recipe."""
    issues = job.recipe.known_issues
    for issue in issues:
        job.console.warn(
            f"{job.recipe.name}: {issue.id}: {issue.summary}\n  affects {issue.affects}\n  {issue.link}"
        )
    if issues and refuse:
        raise PolicyError(
            where=f"{job.where}: known_issues",
            expected="no advisory, as the policy refuse-known-issues demands",
            found=", ".join(issue.id for issue in issues),
            fix="choose another recipe with --recipe, or leave that policy out",
        )
