"""The model that is served: which one, whether it is here and whole, and whether its two files belong together."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from recipes.core.errors import PinMissingError, UsageError
from recipes.models.files import PinnedFile, missing, pinned_files
from recipes.models.gguf.reader import read_gguf
from recipes.models.inspect import Inspection, inspect
from recipes.models.require_sound import demand_sound
from recipes.models.verify import verify_files

if TYPE_CHECKING:
    from pathlib import Path

    from recipes.core.console import Console
    from recipes.manifest.load import Manifests
    from recipes.manifest.schema import Model
    from recipes.store.store import Store

CONTEXT_TOKENS = 8192  # where nothing is said, and the model was made for as many


@dataclass(frozen=True)
class ChosenModel:
    """A model, and why it is that one.

    Parameters
    ----------
    model
        Its manifest.
    reason
        What a person should know; "" where they named it.
    """

    model: Model
    reason: str = ""


@dataclass(frozen=True)
class ReadyModel:
    """A model that was verified.

    Parameters
    ----------
    name
        Its name.
    path, mmproj
        Its files; no projector for text alone.
    context
        Tokens to serve it with.
    inspection
        What it is, with the projector, and the memory for that context.
    is_local
        Whether it is part of this repository, and knows only what is drawn here.
    """

    name: str
    path: Path
    mmproj: Path | None
    context: int
    inspection: Inspection
    is_local: bool = False


def choose_model(manifests: Manifests, store: Store, name: str | None) -> ChosenModel:
    """Choose a model: the named one; else the default one where it is fetched; else one that needs no download.

    Raises
    ------
    UsageError
        Where there is none of that name.
    PinMissingError
        Where none is named and there is no default.
    """
    if name is not None:
        return ChosenModel(manifests.model(name))
    defaults = manifests.defaults()
    if defaults.served is not None:
        served = manifests.model(defaults.served)
        if is_here(served, manifests, store):
            return ChosenModel(served, f"no model was named: this is {served.name}, which is fetched")
    if defaults.model is None:
        raise PinMissingError(
            where="manifests/defaults.yaml: model",
            expected="a model that needs no download",
            found="none",
            fix="name one with --model",
        )
    small = manifests.model(defaults.model)
    larger = defaults.served or "NAME"
    return ChosenModel(
        small,
        f"no model was named, and {defaults.served or 'no other'} is not fetched:"
        f" this is {small.name}, {small.summary}\n"
        f"  for your own pictures: python3 noxfile.py -s models -- fetch {larger}, then the same command",
    )


def is_here(model: Model, manifests: Manifests, store: Store) -> bool:
    """Whether all files of a model are on this machine, as far as their names tell."""
    try:
        return all(file.path.exists() for file in pinned_files(model, manifests, store))
    except PinMissingError:
        return False


def ready_model(  # noqa: PLR0913 - where, and how
    model: Model,
    manifests: Manifests,
    store: Store,
    console: Console,
    *,
    text_only: bool = False,
    context: int | None = None,
) -> ReadyModel:
    """Verify, lint and pair a model's files. What did not change since its digest was taken is not read again.

    Parameters
    ----------
    model
        Which.
    manifests, store, console
        Where, and who is told.
    text_only
        Do without the projector; its file is looked at where it is here, for what it would need.
    context
        Tokens (default: as many as are usual).

    Raises
    ------
    ModelMissingError
        Where a file is not here.
    PinMissingError, StoreError, VerifyError
        Where a file is not pinned, or not the pinned one, or is nothing to load.
    UsageError
        Where the context is longer than the model's.
    """
    pinned = {file.file.role: file for file in pinned_files(model, manifests, store)}
    files = [file for role, file in pinned.items() if role == "model" or not text_only]
    verify_present(files, store, console)
    mmproj = pinned.get("mmproj")
    seen = mmproj if mmproj is not None and mmproj.path.exists() else None
    heads = read_gguf(pinned["model"].path), read_gguf(seen.path) if seen else None
    found = inspect(*heads, context or CONTEXT_TOKENS)
    demand_sound(found, model.name)
    if context is None and 0 < found.context < CONTEXT_TOKENS:
        found = inspect(*heads, found.context)
    chosen = context or min(CONTEXT_TOKENS, found.context or CONTEXT_TOKENS)
    if found.context and chosen > found.context:
        raise UsageError(
            where="--context",
            expected=f"at most {found.context} tokens, which {model.name} was made for",
            found=str(chosen),
            fix=f"--context {found.context}",
        )
    path = mmproj.path if mmproj is not None and not text_only else None
    return ReadyModel(model.name, pinned["model"].path, path, chosen, found, pinned["model"].is_local)


def verify_present(files: list[PinnedFile], store: Store, console: Console) -> None:
    """Demand that files are here, and are the pinned ones.

    Raises
    ------
    ModelMissingError, StoreError, VerifyError
        As `ready_model`.
    """
    rows = verify_files(files, store, console)
    for row in rows:
        if row.state == "absent":
            raise missing(row.file)
    error = next((row.error for row in rows if row.error), None)
    if error is not None:
        raise error


def needs_of_others(manifests: Manifests, store: Store, but: str) -> dict[str, int]:
    """Give what the other models on this machine need with the usual context, by name, in bytes."""
    needs = {}
    for name in manifests.model_names():
        model = manifests.model(name)
        if name == but or not is_here(model, manifests, store):
            continue
        paths = {file.file.role: file.path for file in pinned_files(model, manifests, store)}
        mmproj = paths.get("mmproj")
        found = inspect(read_gguf(paths["model"]), read_gguf(mmproj) if mmproj else None, CONTEXT_TOKENS)
        if found.memory is not None:
            needs[name] = found.memory.total
    return needs
