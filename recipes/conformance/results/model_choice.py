"""The model that conformance asks: what the reference says of it, and its files."""

from __future__ import annotations

from typing import TYPE_CHECKING

from recipes.core.digest import hash_file
from recipes.core.errors import PinMissingError, VerifyError
from recipes.core.filesystem import storage_errors

if TYPE_CHECKING:
    from pathlib import Path

    from recipes.manifest.load import Manifests
    from recipes.manifest.schema import Model


def reference_of(manifests: Manifests, model: Model) -> Path:
    """Return the file of what the reference answers; only a model whose files lie in the repository has one.

    Conformance compares with transformers on the same files. For a fetched model nobody has computed that: a check
    against less would be a guess, and the small model runs the same code. It gets a PinMissingError.
    """
    if model.golden is not None:
        return manifests.project / model.golden
    usual = manifests.defaults().model
    raise PinMissingError(
        where=f"manifests/models/{model.name}.yaml",
        expected="`golden:`, what transformers answers with the same files, to compare with",
        found="none: only models whose files lie in this repository have it",
        fix="\n".join(
            (
                f"python3 noxfile.py -s conformance -- --model {usual or 'NAME'}  # checks the same llama.cpp",
                f"python3 noxfile.py -s models -- verify {model.name}  # says whether its files are the pinned ones",
            )
        ),
    )


def verified_files(manifests: Manifests, model: Model) -> dict[str, Path]:
    """Return a model's files by role, each compared with its pin; a VerifyError names the first that differs."""
    paths = {file.role: manifests.project / str(file.path) for file in model.files}
    for index, file in enumerate(model.files):
        path = paths[file.role]
        with storage_errors(path):
            found = hash_file(path)
        if found != file.sha256:
            raise VerifyError(
                where=f"manifests/models/{model.name}.yaml: files[{index}]",
                expected=f"{file.path} with {file.sha256}",
                found=str(found),
                fix=f"git checkout -- {file.path}",
            )
    return paths
