"""Takes a model's files of this machine into the store, by their digests: one's own GGUF and its projector."""

from __future__ import annotations

from typing import TYPE_CHECKING

from recipes.core.digest import hash_file
from recipes.core.errors import ModelMissingError, UsageError
from recipes.core.filesystem import remove_tree, storage_errors
from recipes.fetch.download.piece_file import pieces_path
from recipes.models.chat_template import judge_templates
from recipes.models.gguf.reader import read_gguf
from recipes.models.inspect import demand_sound, inspect
from recipes.models.loader.table import read_table
from recipes.models.local_copies import take_over
from recipes.models.mismatch_cause import FILE_TYPES
from recipes.models.named_file import model_path
from recipes.models.own_manifest import UNKNOWN, OwnFile, OwnModel, free_name, name_of_file
from recipes.store.stat_cache import note_sight

if TYPE_CHECKING:
    from pathlib import Path

    from recipes.core.digest import Sha256
    from recipes.manifest.load import Manifests
    from recipes.models.gguf.reader import GgufFile
    from recipes.store.context import Context

CONTEXT = 8192
MMPROJ = "mmproj"


def own_model(
    manifests: Manifests, context: Context, word: str, mmproj: Path | None, name: str | None
) -> OwnModel:
    """Check files of this machine, take them into the store, and return the model that they are.

    A RecipeError is raised where one is missing, is no model, or does not belong to the other; then nothing is taken.
    """
    path = model_path(word)
    if not path.is_file():
        raise ModelMissingError(
            where=f"models -- add: {word}",
            expected="a GGUF file, or hf:OWNER/REPOSITORY:FILE",
            found="no such file",
            fix="name a file that exists",
        )
    projector = mmproj or projector_beside(path)
    title = free_name(manifests, name or name_of_file(path.name))
    heads = read_gguf(path), read_gguf(projector)
    table = read_table(manifests, manifests.defaults().recipe)
    found = inspect(*heads, CONTEXT, table, judge_templates(heads[0]))
    demand_sound(found, path.name)
    files = tuple(
        OwnFile(role, each.name, each.stat().st_size, _taken(each, context), _quantisation(head))
        for role, each, head in (("model", path, heads[0]), (MMPROJ, projector, heads[1]))
    )
    return OwnModel(
        name=title,
        summary=f"{found.name or path.name}, added from this machine",
        files=files,
        trusts="Nobody else's word: the digests are those that its files had when they were added.",
        taken_from=str(path.absolute().parent),
        architecture=found.architecture or UNKNOWN,
        projector=found.projector or UNKNOWN,
    )


def projector_beside(path: Path) -> Path:
    """Return the only projector in a model's folder; raise a UsageError where there is none, or several."""
    beside = sorted(each for each in path.absolute().parent.glob("*.gguf") if MMPROJ in each.name.lower())
    others = [each for each in beside if each.name != path.name]
    if len(others) == 1:
        return others[0]
    raise UsageError(
        where=f"models -- add: {path}",
        expected="its projector (mmproj), without which it sees no images",
        found="none beside it" if not others else f"several: {', '.join(each.name for each in others)}",
        fix=f"--mmproj {others[0] if others else 'FILE'}",
    )


def _taken(path: Path, context: Context) -> Sha256:
    """Put a file into the store, and return its digest."""
    store = context.store
    with context.console.task(f"hash {path.name}", None):
        stated = hash_file(path)
    if store.blob_path(stated).exists():
        return stated
    target = pieces_path(store, stated).with_suffix(".taken")
    with store.lock(stated.hex, context.console):
        with storage_errors(target):
            remove_tree(target)
        how = take_over(path, target)
        with context.console.task(f"hash {path.name} again, by {how}", None):
            found = hash_file(target)  # of what is kept: the file may have changed in between
        blob = store.adopt_blob(target, found, is_shared=how == "hard link")
        note_sight(blob, found, store)
    return found


def _quantisation(head: GgufFile) -> str:
    value = head.metadata.get("general.file_type")
    number = value.content if value and type(value.content) is int else -1
    return FILE_TYPES.get(number, UNKNOWN)
