"""The table of one llama.cpp's loader: which keys it reads, with their types and lengths, and its limits."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from recipes.core.errors import ManifestError, PinMissingError

if TYPE_CHECKING:
    from recipes.manifest.load import Manifests

ANY_ARCHITECTURE = "%s"  # in a key's name: the architecture, and in clip's keys the part (vision, audio)
BLOCKS, ITEMS = "block_count", ""  # an array's length: as many as the file has blocks, or any


class KeyRead(msgspec.Struct, frozen=True, omit_defaults=True, forbid_unknown_fields=True):
    """One way in which the loader reads one key."""

    key: str  # with `ANY_ARCHITECTURE` where the loader fills in a name
    one: tuple[str, ...] = ()  # the types that a single value may have
    many: tuple[str, ...] = ()  # the types that the items of an array may have
    length: str = ITEMS  # what an array's length must be: a number, `BLOCKS` or `ITEMS`
    most: int = 0  # the longest array that the loader has room for; 0 if it has room for any
    of: tuple[str, ...] = ()  # the architectures, or projectors, that read it so; none named: all


class LoaderTable(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What one llama.cpp reads, and what it has room for."""

    tree: str  # the git tree of the patched source that it was derived from
    max_layers: int
    max_experts: int
    types: tuple[int, ...]  # the numbers of the tensor types that its ggml has
    architectures: tuple[str, ...]
    projectors: tuple[str, ...]
    splitters: tuple[str, ...]  # the values of tokenizer.ggml.pre that it knows
    # the ids of special tokens where a key is missing, by tokenizer.ggml.model and key
    default_ids: dict[str, dict[str, int]]
    model: tuple[KeyRead, ...]
    projector: tuple[KeyRead, ...]


def table_path(recipe: str) -> str:
    """Return where a recipe's table lies, from the project's folder."""
    return f"manifests/loaders/{recipe}.json"


def derive_command(recipe: str) -> str:
    """Return the command that makes a recipe's table from its source."""
    return f"python3 noxfile.py -s lock -- --recipe {recipe} --loader --write"


def read_table(manifests: Manifests, recipe: str) -> LoaderTable:
    """Return a recipe's table.

    A PinMissingError is raised where there is none, a ManifestError where it is not a table.
    """
    where = table_path(recipe)
    try:
        return msgspec.json.decode((manifests.project / where).read_bytes(), type=LoaderTable)
    except FileNotFoundError as error:
        raise PinMissingError(
            where=where,
            expected="what this recipe's llama.cpp reads of a model",
            found="no such file",
            fix=derive_command(recipe),
        ) from error
    except (OSError, msgspec.MsgspecError) as error:
        raise ManifestError(
            where=where,
            expected="a table that `lock --loader` wrote",
            found=str(error),
            fix=derive_command(recipe),
        ) from error


def table_text(table: LoaderTable) -> str:
    """Return a table as it is committed: JSON with a line for each row."""
    plain = msgspec.to_builtins(table)
    lines = []
    for name, value in plain.items():
        if name in {"model", "projector"}:
            rows = ",\n".join(f"    {msgspec.json.encode(row).decode()}" for row in value)
            lines.append(f'  "{name}": [\n{rows}\n  ]')
        else:
            lines.append(f'  "{name}": {msgspec.json.encode(value).decode()}')
    return "{\n" + ",\n".join(lines) + "\n}\n"
