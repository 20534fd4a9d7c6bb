"""The model that is served: which one, and its verified files, which must belong together."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from recipes.core.errors import FetchError, UsageError
from recipes.core.filesystem import size_text
from recipes.models.chat_template import judge_templates
from recipes.models.files import default_model, missing, paths_by_role, pinned_files
from recipes.models.gguf.reader import read_gguf
from recipes.models.inspect import IMAGE_PIXELS, Inspection, demand_known, demand_sound, inspect
from recipes.models.loader.table import read_table, table_path
from recipes.models.own_manifest import UNKNOWN
from recipes.models.verify import verify_files
from recipes.serve.consent import YES, Consent
from recipes.serve.obtain import is_here, obtain_model, size_of

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence
    from pathlib import Path

    from recipes.build.context import Job
    from recipes.manifest.schema import Model
    from recipes.serve.free_memory import FreeMemory

CONTEXT_TOKENS = 8192  # the default, for a model that was made for as many


@dataclass(frozen=True)
class ChosenModel:
    """A model, and why it was chosen; no reason if the user named it."""

    model: Model
    reason: str = ""


@dataclass(frozen=True)
class ReadyModel:
    """A verified model."""

    name: str
    path: Path
    mmproj: Path | None  # None for text only
    context: int  # tokens to serve it with
    inspection: Inspection  # of both files, with the memory for that context
    is_local: bool = False  # in this repository: the pocket model, which knows only this project's drawings

    @property
    def size_bytes(self) -> int:
        """The bytes of its files that are loaded."""
        return sum(path.stat().st_size for path in (self.path, self.mmproj) if path is not None)


def served_kind(*, images: bool) -> str:
    """Return what a model is served for, in words."""
    return "with images" if images else "text only"


def choose_model(job: Job, name: str | None, free: FreeMemory | None, consent: Consent) -> ChosenModel:
    """Choose the named model; else the best of the defaults that fits into memory: one that is here, else fetched.

    The one that needs no download is chosen where none fits, or none may be fetched. A UsageError is raised if there is
    no model of that name, a PinMissingError if none is named and there is no default.
    """
    if name is not None:
        return ChosenModel(job.manifests.model(name))
    listed = [job.manifests.model(served) for served in job.manifests.defaults().served]
    pinned = [model for model in listed if all(file.sha256 for file in model.files)]
    fitting = [model for model in pinned if fits(model, free)]
    here = next((model for model in fitting if is_here(job, model)), None)
    if here is not None:
        return ChosenModel(
            here, f"no model was named: using {here.name}, which is here{room_text(here, free)}"
        )
    small = default_model(job.manifests)
    why = _why_none(pinned, fitting, free)
    if fitting:
        best = fitting[0]
        question = f"No model for your own images is here. Download {best.name} now? {best.summary}; {size_of(best)}."
        if consent.to(question):
            try:
                obtain_model(job, best, Consent(is_given=True))
            except FetchError as error:
                job.console.warn(f"{error}\ngoing on without it")
                why = f"{best.name} could not be fetched"
            else:
                return ChosenModel(best, f"using {best.name}{room_text(best, free)}")
    lines = [f"no model was named, and {why}: using {small.name}, {small.summary}"]
    if fitting:
        fetch = f"python3 noxfile.py -s models -- fetch {fitting[0].name}"
        more = "" if consent.is_given else f"; or add {YES}"
        lines.append(f"  for your own images: {fetch}, then the same command{more}")
    return ChosenModel(small, "\n".join(lines))


def fits(model: Model, free: FreeMemory | None) -> bool:
    """Whether there is memory for a model, as its manifest estimates; what is not known does not exclude it. Pure."""
    return model.memory is None or free is None or model.memory.size_bytes <= free.size_bytes


def room_text(model: Model, free: FreeMemory | None) -> str:
    """Return how much memory a model needs and how much there is, as an end of a sentence. Pure."""
    if model.memory is None or free is None:
        return ""
    return f" ({size_text(model.memory.size_bytes)}; {size_text(free.size_bytes)} is available)"


def _why_none(pinned: Sequence[Model], fitting: Sequence[Model], free: FreeMemory | None) -> str:
    if fitting:
        larger = [model for model in pinned if not fits(model, free)]
        more = f", and {larger[0].name} needs more memory{room_text(larger[0], free)}" if larger else ""
        return f"{fitting[0].name} is not fetched{more}"
    if not pinned:
        return "no other is pinned"
    least = min(pinned, key=lambda model: model.memory.size_bytes if model.memory else 0)
    return f"none fits into memory, not even {least.name}{room_text(least, free)}"


def demand_loadable(job: Job, model: Model, allowed: Collection[str]) -> None:
    """Demand that the recipe's llama.cpp knows a model's architecture, or that it is in `allowed`.

    It needs no file of the model. The UsageError names the recipes that know it. A model that a user added may not say
    its architecture; then its file does.
    """
    wanted = model.architecture
    if wanted in {UNKNOWN, *allowed, *read_table(job.manifests, job.recipe.name).architectures}:
        return
    knowing = [
        name
        for name in job.manifests.recipe_names()
        if (job.manifests.project / table_path(name)).exists()
        and wanted in read_table(job.manifests, name).architectures
    ]
    raise UsageError(
        where=f"{model.name}: architecture",
        expected=f"one that the llama.cpp of {job.recipe.name} loads",
        found=wanted,
        fix=" or ".join(f"--recipe {name}" for name in knowing)
        or f"another --model; or --allow-architecture {wanted}, if it is --bundle's llama.cpp that loads it",
    )


def ready_model(  # noqa: PLR0913 - as the sessions' options
    job: Job,
    model: Model,
    *,
    text_only: bool = False,
    context: int | None = None,
    architectures: Collection[str] = (),
    image_pixels: int = IMAGE_PIXELS,
) -> ReadyModel:
    """Verify, lint and pair a model's files. A file that did not change since it was hashed is not read again.

    `architectures` are those that are served though they are not checked whole; `image_pixels` are those of the largest
    image, for the memory estimate.

    For text only it does without the projector; if its file is here, its memory is estimated all the same. The
    context is in tokens (default: `CONTEXT_TOKENS`, or fewer if the model was made for fewer).

    If a file is not on this machine, a ModelMissingError is raised; if it is not pinned, differs from its pin, or has
    errors, a PinMissingError, StoreError or VerifyError; if the context is longer than the model's, a UsageError.
    """
    pinned = {file.file.role: file for file in pinned_files(model, job.manifests, job.store)}
    needed = [file for role, file in pinned.items() if role == "model" or not text_only]
    for row in verify_files(needed, job):
        if row.state == "absent":
            raise missing(row.file)
        if row.error is not None:
            raise row.error
    path, mmproj = pinned["model"].path, pinned["mmproj"].path if "mmproj" in pinned else None
    heads = read_gguf(path), read_gguf(mmproj) if mmproj is not None and mmproj.exists() else None
    table = read_table(job.manifests, job.recipe.name)
    templates = judge_templates(heads[0])
    found = inspect(*heads, context or CONTEXT_TOKENS, table, templates, image_pixels=image_pixels)
    demand_sound(found, model.name)
    demand_known(found, model.name, architectures)
    if context is None and 0 < found.context < CONTEXT_TOKENS:
        context = found.context
        found = inspect(*heads, context, table, templates, image_pixels=image_pixels)
    chosen = context or CONTEXT_TOKENS
    if found.context and chosen > found.context:
        raise UsageError(
            where="--context",
            expected=f"at most {found.context} tokens, which {model.name} was made for",
            found=str(chosen),
            fix=f"--context {found.context}",
        )
    return ReadyModel(
        model.name, path, None if text_only else mmproj, chosen, found, pinned["model"].is_local
    )


def needs_of_others(job: Job, but: str) -> dict[str, int]:
    """Return the memory, in bytes, that the other models on this machine need with the default context, by name."""
    needs = {}
    for name in job.manifests.model_names():
        model = job.manifests.model(name)
        if name == but or not is_here(job, model):
            continue
        paths = paths_by_role(model, job.manifests, job.store)
        mmproj = paths.get("mmproj")
        found = inspect(read_gguf(paths["model"]), read_gguf(mmproj) if mmproj else None, CONTEXT_TOKENS)
        if found.memory is not None:
            needs[name] = found.memory.total
    return needs
