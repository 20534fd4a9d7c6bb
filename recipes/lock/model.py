"""The session `lock -- --model NAME`: what the hub has of a model now, proposed as pins.

The difference goes to standard output, and everything said about it to standard error.
"""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING

from recipes.core.errors import ManifestError, UsageError, VerifyError
from recipes.fetch.http.hub_token import Credential
from recipes.lock.model_hub import look_at_repository
from recipes.lock.model_proposal import changed_files, propose_model
from recipes.lock.proposal import Change
from recipes.lock.write import check_proposal, offer_proposal

if TYPE_CHECKING:
    import argparse

    from recipes.build.context import Job
    from recipes.lock.model_hub import SeenRepository
    from recipes.manifest.load import Manifests
    from recipes.manifest.schema import Model

NOT_WITH = ("source", "subdirectory", "commit", "build_number", "output")


def propose_model_pins(job: Job, options: argparse.Namespace) -> int:
    """Propose the pins of a model, and write them where the options say so.

    Parameters
    ----------
    job
        The manifests, settings and console.
    options
        As the command line gives them: model, project, write.

    Raises
    ------
    RecipeError
        Where the hub does not say what is needed; nothing is written.
    """
    again = _again(options)
    model = job.manifests.model(options.model)
    where = job.manifests.show(job.manifests.root / "models" / f"{model.name}.yaml")
    if model.repository is None or model.hub is None:
        raise UsageError(
            where=where,
            expected="a model of a hub",
            found="files of this repository, whose digests git shows when they change",
            fix="change its pins by hand, with the files",
        )
    credential = Credential(job.settings.hub_url or model.hub, job.settings.hub_token)
    with job.console.task(f"ask {credential.hub} for {model.repository}", None):
        seen = look_at_repository(model.repository, credential, job.settings, again)
    changes = _changes(job.manifests, model, seen, where, again)
    for line in changed_files(model, seen):
        job.console.warn(f"the bytes are others than the pinned ones: {line}")
    with job.store.scratch(f"lock-{model.name}") as work:
        check_proposal(changes, job.manifests, work)
    unwritten = (
        "these digests are taken on trust this once: compare them with a second source\n"
        f"nothing is written; to write this: {again} --write"
    )
    offer_proposal(changes, job.manifests, job.console, write=options.write, unwritten=unwritten)
    return 0


def _again(options: argparse.Namespace) -> str:
    for name in NOT_WITH:
        if getattr(options, name):
            option = f"--{name.replace('_', '-')}"
            fix = f"python3 noxfile.py -s lock -- --model {options.model}"
            expected = "--model alone: it is about a model, and the others are about a recipe's source"
            raise UsageError(where=option, expected=expected, found=f"--model and {option}", fix=fix)
    words = ["python3", "noxfile.py", "-s", "lock", "--"]
    if options.project is not None:
        words += ["--project", str(options.project)]
    return shlex.join((*words, "--model", options.model))


def _changes(
    manifests: Manifests, model: Model, seen: SeenRepository, where: str, again: str
) -> tuple[Change, ...]:
    try:
        text = (manifests.project / where).read_text(encoding="utf-8")
        result = propose_model(text, model, seen)
    except LookupError as error:
        raise VerifyError(
            where=f"{where}, in {model.repository} at {seen.revision.hex}",
            expected=f"{' and '.join(str(file.file) for file in model.files)}, each with its sha256",
            found=str(error.args[0]),
            fix=f"correct `file:` in the manifest, then {again}",
        ) from error
    except ValueError as error:
        raise ManifestError(
            where=where,
            expected="a manifest laid out so that its pins can be changed in place: one key or item a line",
            found=str(error),
            fix="write these keys in the layout of the other models, then run the same command again",
        ) from error
    return (Change(where, text, result),) if result != text else ()
