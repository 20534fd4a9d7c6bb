"""A model named on the command line: whether a word names a file, and which one."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

from recipes.core.errors import UsageError, VerifyError
from recipes.models.gguf.other_kinds import MERGE, part_names

if TYPE_CHECKING:
    from collections.abc import Collection

OLLAMA_BLOB = re.compile(r"sha256[-:][0-9a-f]{64}")  # Ollama names each file of a model so, without an ending
ADDRESS = re.compile(r"(?i)[a-z][a-z0-9+.-]+://")
ENDING = ".gguf"


def is_file_name(word: str, models: Collection[str]) -> bool:
    """Return whether a word names a file rather than a model of the manifests."""
    if word in models:
        return False
    if "/" in word or word.lower().endswith(ENDING) or OLLAMA_BLOB.fullmatch(word):
        return True
    return Path(word).exists()


def model_path(word: str) -> Path:
    """Return the path of a model's file.

    A UsageError is raised for an address, a VerifyError for a part of a model whose other parts are not beside it.
    """
    if ADDRESS.match(word):
        raise UsageError(
            where=f"models -- inspect: {word}",
            expected="a file on this machine, or a model of manifests/models/",
            found="an address",
            fix="download the file first (curl -L -O ADDRESS), or pin it: docs/how-to/get-a-model.md",
        )
    path = Path(word)
    names = part_names(path.name)
    absent = [name for name in names if not path.with_name(name).exists()]
    if names[1:] and absent and path.exists():
        raise VerifyError(
            where=str(path),
            expected=f"all {len(names)} parts of the model in one folder",
            found=f"not there: {', '.join(absent[:4])}"
            + (f" and {len(absent) - 4} more" if absent[4:] else ""),
            fix=f"download them beside it, then {MERGE}",
        )
    return path
