"""`build --share`: bundles built by several workers that share a registry, and nothing else."""

from __future__ import annotations

import sys
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from recipes.build.shared import bundle_tag, wanted_bundle
from recipes.cli.publish import of_store
from recipes.core.errors import DisagreementError, FetchError, RecipeError, RegistryError
from recipes.core.invocation import this_command
from recipes.core.settings import OFFLINE_VARIABLE
from recipes.registry.division import divide
from recipes.registry.publish import publish
from recipes.registry.workers import Worker

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from recipes.build.context import Job
    from recipes.build.pipeline import Bundle
    from recipes.build.plan.plan import Plan
    from recipes.registry.reference import Repository


def build_together(
    jobs: Sequence[Job], build: Callable[[Job, Plan], Bundle], repository: Repository, lease_s: float
) -> int:
    """Build what nobody else has built or is building until all is there; publish and print each.

    What fails is left to the end, so that it keeps nothing else from being built: then its error is raised.
    """
    first = jobs[0]
    if first.settings.offline:
        raise FetchError(
            where=f"build --share {repository}",
            expected="a network",
            found=f"{OFFLINE_VARIABLE}=1 forbids it",
            fix=f"{OFFLINE_VARIABLE}=0 {this_command('build')}",
        )
    with Worker(first, repository, lease_s) as worker:
        first.console.say(f"worker {worker.name}, with a lease of {lease_s:g} s, in {repository}")
        team = _Together(worker, build)
        stages = {bundle_tag(job.plan()): _joined(job, worker) for job in jobs}
        divide(worker, stages, team.is_there, team.make, team.say)
    if team.failures:
        raise team.failures[0]
    print(f"together: {len(stages)} bundles are in {repository}; {team.built} of them built here")
    return 0


def _joined(job: Job, worker: Worker) -> Job:
    """Return a job whose stages are shared with the other workers: their registry is asked before all caches."""
    caches = (str(worker.repository), *(job.settings.caches or ()))
    return replace(job, worker=worker, settings=replace(job.settings, caches=caches))


@dataclass
class _Together:
    """What one worker does with each bundle, and what came of it."""

    worker: Worker
    build: Callable[[Job, Plan], Bundle]
    built: int = 0
    failures: list[RecipeError] = field(default_factory=list)

    def make(self, job: Job) -> None:
        """Build, publish and print a bundle; an error of the registry ends it all, any other one waits."""
        try:
            bundle = self.build(job, job.plan())
            (published,) = publish(job, self.worker.repository, [of_store(job)[1]])
        except RecipeError as error:
            if isinstance(error, RegistryError) and not isinstance(error, DisagreementError):
                raise
            job.console.warn(f"{job.plan().name} is left, and the others go on: {error.title}")
            self.failures.append(error)
            return
        self.built += bundle.built
        print(f"shared:   {published.reference}")
        sys.stdout.flush()  # the next one may take minutes

    def is_there(self, job: Job) -> bool:
        """Print a bundle that the registry has; False where it has none, or one that is not the pinned one."""
        plan = job.plan()
        found = self.worker.find(wanted_bundle(job, plan))
        if found is None:
            return False
        state = "the pinned one" if job.platform.output else f"not pinned: {job.platform.output_unpinned}"
        print(f"shared:   {found.reference}")
        print(f"          {plan.name}, version {plan.version}, there already")
        print(f"digest:   sha256:{found.facts.tree} ({state})")
        print(f"plan:     {plan.digest}")
        sys.stdout.flush()
        return True

    def say(self, jobs: Sequence[Job]) -> None:
        """Say what this worker waits for."""
        names = ", ".join(job.plan().name for job in jobs)
        jobs[0].console.say(f"waiting for other workers, which build {names}")
