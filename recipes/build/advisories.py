"""What is known against a recipe: said before it is used; what is grave and within reach is permitted by name alone."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from recipes.core.errors import KnownVulnerabilityError, PolicyError, UsageError
from recipes.core.invocation import corrected
from recipes.core.settings import PERMIT_VARIABLE, REFUSE_KNOWN_ISSUES
from recipes.manifest.advisory_checks import NOT_PRESENT
from recipes.manifest.affected import component_version, covers, package_urls, range_text
from recipes.manifest.decode import unknown

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from recipes.build.context import Job
    from recipes.manifest.schema import Advisory, Recipe, Standing

GRAVE = ("high", "critical")
WITHIN_REACH = ("request", "file")


@dataclass(frozen=True)
class Finding:
    """One finding, and how a recipe stands to it; where the recipe does not say, by the published range alone."""

    advisory: Advisory
    status: str
    evidence: str
    standing: Standing | None = None
    reason: str | None = None

    @property
    def justification(self) -> str | None:
        """Why it does not affect the recipe, in OpenVEX's words; None where it does, or nobody knows."""
        return self.reason if self.standing is None else self.standing.justification

    @property
    def is_grave(self) -> bool:
        """Whether it affects the recipe, is of high severity, and needs no more than a request or a file."""
        advisory = self.advisory
        return self.status == "affected" and advisory.severity in GRAVE and advisory.reach in WITHIN_REACH


def findings(recipe: Recipe, advisories: Mapping[str, Advisory]) -> tuple[Finding, ...]:
    """Return how a recipe stands to each finding that is about something it carries, in the order of the names.

    What the recipe does not name is under investigation where the published range has its version, or the version is
    not known; where the range has it not, it is not affected.
    """
    return tuple(_finding(recipe, advisory) for _, advisory in sorted(advisories.items()))


def _finding(recipe: Recipe, advisory: Advisory) -> Finding:
    standing = recipe.advisories.get(advisory.id)
    if standing is not None:
        return Finding(advisory, standing.status, standing.evidence, standing)
    version = component_version(recipe, advisory.component)
    where = f"{advisory.component} {version or 'of an unknown version'}; affected: {range_text(advisory.affected)}"
    if covers(advisory, recipe) is not False:
        return Finding(advisory, "under_investigation", where)
    is_there = advisory.component in package_urls(recipe)
    reason = "vulnerable_code_not_present" if is_there else NOT_PRESENT
    return Finding(advisory, "not_affected", where, reason=reason)


def affecting(found: Iterable[Finding]) -> tuple[Finding, ...]:
    """Return the findings that affect a recipe."""
    return tuple(one for one in found if one.status == "affected")


def grave(job: Job) -> tuple[str, ...]:
    """Return the names of what is grave of what is known against a job's recipe."""
    return tuple(one.advisory.id for one in findings(job.recipe, job.manifests.advisories()) if one.is_grave)


def permitted_ids(asked: Iterable[str], advisories: Mapping[str, Advisory]) -> frozenset[str]:
    """Return the findings that are permitted by name, each by its own identifier, where an alias was given too.

    Raises UsageError for a name that no finding has: a permission that is misspelled permits nothing.
    """
    names = {alias: one.id for one in advisories.values() for alias in (one.id, *one.aliases)}
    for name in asked:
        if name not in names:
            raise UsageError(
                where=f"--permit {name}",
                expected="a finding of manifests/advisories",
                found=unknown(name, names),
                fix=f"correct the name, there or in {PERMIT_VARIABLE}: `advisories` lists them",
            )
    return frozenset(names[name] for name in asked)


def summary(found: Iterable[Finding], permitted: Iterable[str]) -> list[str]:
    """Return a line for each finding that affects a recipe, with what was permitted when its bundle was built."""
    allowed = frozenset(permitted)
    lines = []
    for one in affecting(found):
        name, words = one.advisory.id, f"{one.advisory.severity}, {one.advisory.reach}"
        if one.is_grave:
            words += ", permitted by name" if name in allowed else ", not permitted when it was built"
        lines.append(f"{name} ({words}): {one.advisory.summary}")
    return lines


def warn_known_issues(job: Job) -> tuple[Finding, ...]:
    """Say what a recipe is known to get wrong, and return it."""
    found = findings(job.recipe, job.manifests.advisories())
    for one in found:
        advisory = one.advisory
        if one.status == "affected":
            job.console.warn(
                f"{job.recipe.name}: {advisory.id} ({advisory.severity}, {advisory.reach}): {advisory.summary}\n"
                f"  affects {advisory.affects}\n  {advisory.links[0]}"
            )
        elif one.status == "under_investigation":
            job.console.say(f"{job.recipe.name}: {advisory.id} is under investigation: {advisory.summary}")
    return found


def demand_no_known_issues(
    job: Job, *, permit: Iterable[str] = (), refuse_all: bool = False
) -> tuple[str, ...]:
    """Say what a recipe is known to get wrong, and return the grave findings that were permitted by name, sorted.

    Raises KnownVulnerabilityError where a grave finding was not permitted, and PolicyError where the user's policy
    refuses a recipe with any finding.
    """
    allowed = permitted_ids((*permit, *sorted(job.settings.permit)), job.manifests.advisories())
    affects = affecting(warn_known_issues(job))
    if affects and (refuse_all or REFUSE_KNOWN_ISSUES in job.settings.policy):
        raise PolicyError(
            where=f"{job.where}: advisories",
            expected=f"no finding, as the policy {REFUSE_KNOWN_ISSUES} demands",
            found=", ".join(one.advisory.id for one in affects),
            fix="choose another recipe with --recipe, or leave that policy out",
        )
    grave = [one.advisory for one in affects if one.is_grave]
    if missing := [one for one in grave if one.id not in allowed]:
        raise KnownVulnerabilityError(
            where=f"{job.where}: advisories",
            expected="nothing of high severity within reach of a request or a file, or each permitted by name",
            found="\n".join(f"{one.id}, {one.severity}: {one.summary}" for one in missing),
            fix=(
                "use the default recipe; or, where you need this one and know who can reach it,\n"
                f"{corrected('--permit', '', ','.join(one.id for one in missing), default='build')}\n"
                f"(the variable {PERMIT_VARIABLE} permits them everywhere)"
            ),
        )
    permitted = tuple(sorted(one.id for one in grave))
    if permitted:
        job.console.say(f"permitted by name: {', '.join(permitted)}")
    return permitted
