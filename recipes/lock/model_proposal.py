"""New pins of a model as text, pure: what the hub has -> the manifest that would say so."""

from __future__ import annotations

from typing import TYPE_CHECKING

from recipes.manifest.decode import unknown
from recipes.manifest.edit_lists import rename_key
from recipes.manifest.edit_values import replace_pins

if TYPE_CHECKING:
    from recipes.lock.model_hub import SeenFile, SeenRepository
    from recipes.manifest.schema import Model, ModelFile
    from recipes.manifest.strict_yaml import Steps


def propose_model(text: str, model: Model, seen: SeenRepository) -> str:
    """Give the manifest that pins what the hub has: revision, and size and digest of each file.

    Parameters
    ----------
    text
        The manifest.
    model
        What it says; of a hub.
    seen
        What the hub has.

    Raises
    ------
    LookupError
        Where the repository lacks a file, or does not say its digest; the message says which.
    ValueError
        Where the manifest's layout does not allow it.
    """
    result = _pin(text, (), "revision", "revision_unlocked", seen.revision.hex)
    for index, file in enumerate(model.files):
        found, digits = find_file(file, seen)
        path: Steps = ("files", index)
        result = _pin(result, path, "size_bytes", "max_bytes", str(found.size_bytes))
        result = _pin(result, path, "sha256", "unlocked", digits)
    return result


def find_file(file: ModelFile, seen: SeenRepository) -> tuple[SeenFile, str]:
    """Give what the hub says of a file, and its digest.

    Raises
    ------
    LookupError
        As `propose_model`.
    """
    name = str(file.file)
    found = seen.files.get(name)
    if found is None:
        raise LookupError(f"no file {unknown(name, seen.files)}")
    if found.sha256 is None:
        raise LookupError(f"`{name}` without a sha256: the hub keeps it in git, as it does with small texts")
    return found, found.sha256.hex


def changed_files(model: Model, seen: SeenRepository) -> tuple[str, ...]:
    """Say which pinned files the hub has other bytes of now: upstream changed them, or the pin is wrong."""
    lines = []
    for file in model.files:
        found = seen.files.get(str(file.file))
        if file.sha256 and found and found.sha256 and file.sha256 != found.sha256:
            lines.append(f"{file.file}: pinned {file.sha256.hex}, the hub has {found.sha256.hex}")
    return tuple(lines)


def _pin(text: str, path: Steps, key: str, placeholder: str, value: str) -> str:
    """Give a key a value, in the place of what stood for it while it was not known."""
    try:
        return rename_key(text, (*path, placeholder), key, value)
    except ValueError:
        return replace_pins(text, {(*path, key): value})
