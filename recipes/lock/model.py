"""The session `lock -- --model NAME`: what the hub has of a model now, proposed as pins.

The difference goes to standard output, and everything said about it to standard error.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from recipes.core.errors import UsageError, VerifyError
from recipes.fetch.http.hub_token import Credential
from recipes.lock.model_hub import read_repository
from recipes.lock.model_proposal import changed_files, propose_model
from recipes.lock.proposal import Change
from recipes.lock.request import ABOUT_SOURCE, command_again
from recipes.lock.write import layout_errors, offer_proposal, read_manifest

if TYPE_CHECKING:
    import argparse

    from recipes.build.context import Job
    from recipes.lock.model_hub import HubRepository
    from recipes.manifest.load import Manifests
    from recipes.manifest.schema import Model

NOT_WITH = ("source", *ABOUT_SOURCE, "output")


def propose_model_pins(job: Job, options: argparse.Namespace) -> int:
    """Propose the pins of a model, and write them where the options say so.

    Raises RecipeError where the hub does not say what is needed; then nothing is written.
    """
    _refuse_recipe_options(options)
    again = command_again(options)
    model = job.manifests.model(options.model)
    if model.repository is None or model.hub is None:
        raise UsageError(
            where=manifest_of(job.manifests, model),
            expected="a model of a hub",
            found="files of this repository, whose digests git shows when they change",
            fix="change its pins by hand, with the files",
        )
    change, differing = model_change(job, model, model.hub, model.repository, again)
    for line in differing:
        job.console.warn(f"the bytes differ from the pinned ones: {line}")
    unwritten = (
        "these digests are trusted on first use: compare them with a second source\n"
        f"nothing is written; to write this: {again} --write"
    )
    offer_proposal((change,), job, write=options.write, unwritten=unwritten)
    return 0


def model_change(
    job: Job, model: Model, hub_url: str, repository: str, again: str
) -> tuple[Change, tuple[str, ...]]:
    """Return the manifest of a hub's model as the hub has it now, and a line for each pinned file that differs.

    Raises as `propose_model_pins` does.
    """
    credential = Credential(job.settings.hub_url or hub_url, job.settings.hub_token)
    with job.console.task(f"ask {credential.hub} for {repository}", None):
        hub = read_repository(repository, credential, job.settings, again)
    return _change(job.manifests, model, hub, manifest_of(job.manifests, model), again), changed_files(
        model, hub
    )


def manifest_of(manifests: Manifests, model: Model) -> str:
    """Return the path of a model's manifest, from the project."""
    return manifests.show(manifests.root / "models" / f"{model.name}.yaml")


def _refuse_recipe_options(options: argparse.Namespace) -> None:
    for name in NOT_WITH:
        if getattr(options, name):
            option = f"--{name.replace('_', '-')}"
            fix = f"python3 noxfile.py -s lock -- --model {options.model}"
            expected = "--model alone: it is about a model, and the others are about a recipe's source"
            raise UsageError(where=option, expected=expected, found=f"--model and {option}", fix=fix)


def _change(manifests: Manifests, model: Model, hub: HubRepository, where: str, again: str) -> Change:
    text = read_manifest(manifests, where)
    try:
        with layout_errors(where):
            return Change(where, text, propose_model(text, model, hub))
    except LookupError as error:
        raise VerifyError(
            where=f"{where}, in {model.repository} at {hub.revision.hex}",
            expected=f"{' and '.join(str(file.file) for file in model.files)}, each with its sha256",
            found=str(error.args[0]),
            fix=f"correct `file:` in the manifest, then {again}",
        ) from error
