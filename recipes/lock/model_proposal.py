"""New pins of a model as text, pure: what the hub has -> the manifest that would say so."""

from __future__ import annotations

from typing import TYPE_CHECKING

from recipes.manifest.decode import unknown
from recipes.manifest.edit_lists import rename_key
from recipes.manifest.edit_values import replace_pins

if TYPE_CHECKING:
    from recipes.lock.model_hub import HubFile, HubRepository
    from recipes.manifest.schema import Model, ModelFile
    from recipes.manifest.strict_yaml import Steps


def propose_model(text: str, model: Model, hub: HubRepository) -> str:
    """Return the manifest that pins what the hub has: revision, and size and digest of each file.

    Raises LookupError that names a file which the repository lacks or gives no digest of, and ValueError where the
    manifest's layout does not allow it.
    """
    result = _pin(text, (), "revision", "revision_unlocked", hub.revision.hex)
    for index, file in enumerate(model.files):
        found, digits = find_file(file, hub)
        path: Steps = ("files", index)
        result = _pin(result, path, "size_bytes", "max_bytes", str(found.size_bytes))
        result = _pin(result, path, "sha256", "unlocked", digits)
    return result


def find_file(file: ModelFile, hub: HubRepository) -> tuple[HubFile, str]:
    """Return what the hub says of a file, and its digest; raises LookupError as `propose_model` does."""
    name = str(file.file)
    found = hub.files.get(name)
    if found is None:
        raise LookupError(f"no file {unknown(name, hub.files)}")
    if found.sha256 is None:
        raise LookupError(f"`{name}` without a sha256: the hub keeps it in git, as it does with small texts")
    return found, found.sha256.hex


def changed_files(model: Model, hub: HubRepository) -> tuple[str, ...]:
    """Return a line for each pinned file whose bytes on the hub differ: upstream changed it, or the pin is wrong."""
    lines = []
    for file in model.files:
        found = hub.files.get(str(file.file))
        if file.sha256 and found and found.sha256 and file.sha256 != found.sha256:
            lines.append(f"{file.file}: pinned {file.sha256.hex}, the hub has {found.sha256.hex}")
    return tuple(lines)


def _pin(text: str, path: Steps, key: str, placeholder: str, value: str) -> str:
    """Set a key, or replace the placeholder that stands for a value not known yet."""
    try:
        return rename_key(text, (*path, placeholder), key, value)
    except ValueError:
        return replace_pins(text, {(*path, key): value})
