"""The manifest of a model that a user adds: its name, its text, and where it lies. Outside the repository."""

from __future__ import annotations

import json
import os
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from recipes.core.errors import UsageError
from recipes.core.filesystem import elsewhere_by, make_folders, storage_errors, write_durably

if TYPE_CHECKING:
    from pathlib import Path

    from recipes.core.digest import Sha1, Sha256
    from recipes.manifest.load import Manifests

UNKNOWN = "unknown"
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+-]*")
QUANTISATION = re.compile(
    r"(?i)(?:^|[-._])((?:UD-)?(?:IQ|Q)\d_[A-Z0-9_]+|Q\d|BF16|F16|F32|MXFP4(?:_MOE)?)(?=[-.]|$)"
)
HEAD = "# Made by `models -- add`. {trusts}"


@dataclass(frozen=True)
class OwnFile:
    """One file of a model that is added."""

    role: str
    name: str
    size_bytes: int
    sha256: Sha256
    quantisation: str = UNKNOWN


@dataclass(frozen=True)
class OwnModel:
    """A model that is added: of a repository of a hub at a commit, or from files of this machine."""

    name: str
    summary: str
    files: tuple[OwnFile, ...]
    trusts: str  # whose word the digests are, in a sentence
    hub: str | None = None
    repository: str | None = None
    revision: Sha1 | None = None
    taken_from: str | None = None
    architecture: str = UNKNOWN
    projector: str = UNKNOWN

    def text(self) -> str:
        """Return its manifest."""
        rows: list[tuple[str, str | None]] = [
            ("schema", "model/1"),
            ("name", self.name),
            ("summary", self.summary),
            ("architecture", self.architecture),
            ("projector", self.projector),
            ("licence", "as its publisher says"),
            ("hub", self.hub),
            ("repository", self.repository),
            ("revision", self.revision.hex if self.revision else None),
            ("taken_from", self.taken_from),
        ]
        lines = [HEAD.format(trusts=self.trusts)]
        lines += [f"{key}: {_quoted(value)}" for key, value in rows if value is not None]
        lines.append("files:")
        for file in self.files:
            lines += [
                f"  - role: {file.role}",
                f"    file: {_quoted(file.name)}",
                f"    size_bytes: {file.size_bytes}",
                f"    sha256: {file.sha256.hex}",
                f"    quantisation: {_quoted(file.quantisation)}",
            ]
        return "\n".join(lines) + "\n"


def name_of_file(file: str) -> str:
    """Return a model's name for its file. Pure.

    >>> name_of_file("sub/Qwen3-VL-8B Instruct.Q4_K_M.gguf")
    'qwen3-vl-8b-instruct.q4_k_m'
    """
    stem = re.sub(r"(?i)\.gguf$", "", file.rpartition("/")[2])
    return re.sub(r"[^a-z0-9._+-]+", "-", stem.lower()).strip("-._+") or "model"


def quantisation_of(file: str) -> str:
    """Return the quantisation that a file's name says. Pure.

    >>> [quantisation_of(name) for name in ("Qwen3-VL-8B-Instruct-Q4_K_M.gguf", "mmproj-F16.gguf", "x.gguf")]
    ['Q4_K_M', 'F16', 'unknown']
    """
    match = QUANTISATION.search(file.rpartition("/")[2])
    return match[1].upper() if match else UNKNOWN


def free_name(manifests: Manifests, name: str) -> str:
    """Return a name that a new model can have; raise a UsageError where another has it, or it cannot be one."""
    if NAME.fullmatch(name) and name not in manifests.model_names():
        return name
    raise UsageError(
        where=f"models -- add: {name}",
        expected="a name that no model has, of letters, digits, dot, underscore, plus and dash",
        found="a model of that name" if NAME.fullmatch(name) else repr(name),
        fix=f"--name {name_of_file(name)}-2, or first: python3 noxfile.py -s models -- remove {name}"
        if NAME.fullmatch(name)
        else f"--name {name_of_file(name)}",
    )


def write_own(manifests: Manifests, model: OwnModel) -> Path:
    """Write a new model's manifest, and return its path; raise a StoreError where it cannot be written."""
    folder = manifests.own_models
    assert folder is not None  # noqa: S101 - every session has one
    path = folder / f"{model.name}.yaml"
    with elsewhere_by("set XDG_CONFIG_HOME to"), storage_errors(path):
        make_folders(folder)
        fresh = folder / f".{model.name}.{os.getpid()}"
        write_durably(fresh, model.text().encode())
        fresh.replace(path)
    return path


def _quoted(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)
