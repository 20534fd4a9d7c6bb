"""The files of a model on this machine: where each is, what pins it, and the errors for a missing file or pin."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from recipes.core.errors import ModelMissingError, PinMissingError
from recipes.fetch.http.response_rules import BlobPin

if TYPE_CHECKING:
    from pathlib import Path

    from recipes.core.digest import Sha256
    from recipes.manifest.load import Manifests
    from recipes.manifest.schema import Model, ModelFile
    from recipes.store.store import Store


@dataclass(frozen=True)
class PinnedFile:
    """A file of a model that is pinned; `where` is the place of its pin in the manifest, for errors.

    The path is where it is on this machine, or will be once it is fetched.
    """

    model: Model
    file: ModelFile
    where: str
    sha256: Sha256
    path: Path

    @property
    def name(self) -> str:
        """The file's name in messages."""
        return self.file.path or str(self.file.file)

    @property
    def pin(self) -> BlobPin:
        """The digest and sizes that a download must have."""
        return BlobPin(self.sha256, self.file.size_bytes, self.file.max_bytes)

    @property
    def is_local(self) -> bool:
        """Whether the file is part of this repository."""
        return self.file.path is not None


def missing(file: PinnedFile) -> ModelMissingError:
    """Return the error for a file that is not on this machine."""
    fetch = f"python3 noxfile.py -s models -- fetch {file.model.name}"
    if file.model.taken_from is not None:
        name, again = file.model.name, f"models -- add {file.model.taken_from}/..."
        fetch = f"python3 noxfile.py -s models -- remove {name}, then {again}"
    return ModelMissingError(
        where=file.where,
        expected=f"{file.name} of {file.model.name}, at {file.path}",
        found="no such file",
        fix=f"git checkout -- {file.name}" if file.is_local else fetch,
    )


def default_model(manifests: Manifests) -> Model:
    """Return the model that needs no download; a PinMissingError is raised where the manifests name none."""
    name = manifests.defaults().model
    if name is None:
        raise PinMissingError(
            where="manifests/defaults.yaml: model",
            expected="a model that needs no download",
            found="none",
            fix="name one with --model",
        )
    return manifests.model(name)


def pinned_files(model: Model, manifests: Manifests, store: Store) -> tuple[PinnedFile, ...]:
    """Return the files of a model, each with its pin; a PinMissingError is raised where one has no digest."""
    manifest = manifests.show(manifests.model_path(model.name))
    found = []
    for index, file in enumerate(model.files):
        where = f"{manifest}: files[{index}]"
        if file.sha256 is None:
            raise PinMissingError(
                where=where,
                expected=f"the sha256 of {file.file}",
                found=f"unlocked: {file.unlocked}",
                fix=f"python3 noxfile.py -s lock -- --model {model.name}  # shows what the hub has; --write pins it",
            )
        path = manifests.project / file.path if file.path is not None else store.blob_path(file.sha256)
        found.append(PinnedFile(model, file, where, file.sha256, path))
    return tuple(found)


def paths_by_role(model: Model, manifests: Manifests, store: Store) -> dict[str, Path]:
    """Return the path of each file of a model, "model" and "mmproj".

    A ModelMissingError is raised where a file is not on this machine, a PinMissingError where it has no digest.
    """
    files = pinned_files(model, manifests, store)
    for file in files:
        if not file.path.exists():
            raise missing(file)
    return {file.file.role: file.path for file in files}


def known_pins(manifests: Manifests, but: Sha256) -> dict[Sha256, str]:
    """Return the names of all models' pinned files by digest, without the one whose digest is `but`."""
    return {
        file.sha256: f"{file.path or file.file} of {name}"
        for name in manifests.model_names()
        for file in manifests.model(name).files
        if file.sha256 is not None and file.sha256 != but
    }
