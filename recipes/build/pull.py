"""Takes a plan's bundle from registries, and builds nothing: it is the pinned one, or refused with every reason."""

from __future__ import annotations

from typing import TYPE_CHECKING

from recipes.build.pipeline import Bundle, find_or_take_bundle
from recipes.build.shared import wanted_bundle
from recipes.core.errors import EvidenceError, FetchError, PinMissingError, UsageError, VerifyError
from recipes.core.invocation import command_line, this_command, typed_options
from recipes.core.settings import CACHES_VARIABLE, OFFLINE_VARIABLE, PIP_CERT_VARIABLE
from recipes.fetch.http.network_errors import UNTRUSTED, OriginError
from recipes.registry.caches import NOBODY, NotAcceptedError, parse_cache, take_from
from recipes.registry.reference import Reference, Repository

if TYPE_CHECKING:
    from pathlib import Path

    from recipes.build.context import Job
    from recipes.build.plan.plan import Plan
    from recipes.registry.caches import Taken


def pull_bundle(job: Job, plan: Plan, source: Reference | Repository | None = None) -> Bundle:
    """Return a plan's bundle, from the store, or else from a registry: `source`, or the caches of the settings.

    Raises PinMissingError where nothing pins the bundle and no policy is named, FetchError with a line for each
    registry where none delivered, EvidenceError where no policy accepts what one has, VerifyError where one delivered
    something else, and OutputError where the pin is of another plan.
    """
    name = source.name if isinstance(source, Reference) else None
    wanted = wanted_bundle(job, plan, name)

    def take(folder: Path) -> Taken:
        if wanted.tree is None and wanted.accept is None:
            raise _not_pinned(job, plan)
        reasons: list[OriginError] = []
        for repository in _repositories(job, source):
            try:
                if taken := take_from(job, repository, wanted, folder):
                    return taken
                missing = repository.at(wanted.name)
                reasons.append(OriginError(f"{missing}: there is no such manifest"))
            except OriginError as error:
                named = OriginError(f"{repository}: {error}", may_pass=error.may_pass, advice=error.advice)
                reasons.append(error if str(repository) in str(error) else named)
        raise _refusal(plan, reasons)

    bundle = find_or_take_bundle(job, plan, take)
    assert bundle is not None  # noqa: S101 - `take` returns something or raises
    return bundle


def _repositories(job: Job, source: Reference | Repository | None) -> list[Repository]:
    if job.settings.offline:
        raise FetchError(
            where="pull",
            expected="a network",
            found=f"the bundle is not in the store, and {OFFLINE_VARIABLE}=1 forbids the network",
            fix=f"{OFFLINE_VARIABLE}=0 {this_command('pull')}",
        )
    if source is not None:
        return [source.repository if isinstance(source, Reference) else source]
    if not job.settings.caches:
        raise UsageError(
            where="pull",
            expected="a registry to pull from",
            found="none: no cache is named",
            fix=f"{this_command('pull')} --from HOST/REPOSITORY, or set {CACHES_VARIABLE}",
        )
    return [parse_cache(address) for address in job.settings.caches]


def _not_pinned(job: Job, plan: Plan) -> PinMissingError:
    same = ("--recipe", plan.recipe, "--platform", plan.platform)
    return PinMissingError(
        where=f"{job.where}: platforms.{job.platform_name}",
        expected="a pinned output, which vouches for what comes, or a policy whose signatures do (--policy)",
        found=NOBODY,
        fix=command_line(("build", *same, *typed_options("--project"))),
    )


def _refusal(plan: Plan, reasons: list[OriginError]) -> EvidenceError | FetchError | VerifyError:
    again = this_command("pull")
    text = "\n".join(str(reason) for reason in reasons)
    advice = next((reason.advice for reason in reversed(reasons) if reason.advice), None)
    same = ("--recipe", plan.recipe, "--platform", plan.platform)
    if advice:
        fix = f"{advice}: {command_line(('build', *same, *typed_options('--project')))}"
    elif UNTRUSTED in text:
        fix = f"{PIP_CERT_VARIABLE}=/path/to/authority.pem {again}  # your network's own, if it has one"
    elif "asked with" in text or "gives no token" in text:
        fix = f"docker login HOST  # or podman's or skopeo's, into docker's config.json; then {again}"
    elif any(reason.may_pass for reason in reasons):
        fix = f"{again}  # once the network is back; it goes on from what has arrived"
    else:
        fix = command_line(("build", *same, *typed_options("--project")))
    is_evidence = all(isinstance(reason, NotAcceptedError) for reason in reasons if reason.advice)
    kind = FetchError if not advice else EvidenceError if is_evidence else VerifyError
    return kind(where=plan.name, expected="its bundle, from a registry", found=text, fix=fix)
