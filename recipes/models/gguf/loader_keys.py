"""Compares a file's keys with what llama.cpp's loader reads: types, lengths, and its limits. Pure."""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING

from recipes.models.gguf.other_formats import shown
from recipes.models.loader.table import ANY_ARCHITECTURE, BLOCKS, ITEMS

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from recipes.models.gguf.findings import Look
    from recipes.models.gguf.reader import Value
    from recipes.models.loader.table import KeyRead, LoaderTable

SPLITTER = "tokenizer.ggml.pre"
EXTRA = ("general.tensor_extra.name", "general.tensor_extra.prec_a4")
CLIP_PARTS = ("vision", "audio", "gen.audio")


def reads_of(reads: Iterable[KeyRead], names: Sequence[str], kind: str) -> Mapping[str, Sequence[KeyRead]]:
    """Return the ways in which each key is read; `names` fill in the key's name, `kind` is the file's own."""
    found: dict[str, list[KeyRead]] = defaultdict(list)
    for read in reads:
        if not read.of or kind in read.of:
            for key in dict.fromkeys(read.key.replace(ANY_ARCHITECTURE, name) for name in names):
                found[key].append(read)
    return found


def judge_keys(look: Look, reads: Mapping[str, Sequence[KeyRead]], blocks: int | None) -> None:
    """Add an error for each key that the loader reads and that has another type or length.

    `blocks` is the number of blocks of the file, None if it does not state one.
    """
    for key, ways in reads.items():
        value = look.file.metadata.get(key)
        if (
            value is not None
            and not look.has_error(key)
            and not any(_fits(value, way, blocks) for way in ways)
        ):
            known = " or ".join(dict.fromkeys(_words(way, blocks) for way in ways))
            look.error(key, f"is {_found(value)}, and llama.cpp reads {known}")


def judge_limits(look: Look, table: LoaderTable, architecture: str) -> None:
    """Add an error for each count that llama.cpp has no room for, and each tensor of a type that it does not have."""
    for name, most in (("block_count", table.max_layers), ("expert_count", table.max_experts)):
        key = f"{architecture}.{name}"
        count = look.size(key)
        if count is not None and count > most and not look.has_error(key):
            look.error(key, f"is {count}, and this llama.cpp has room for {most}")
    splitter = look.text(SPLITTER)
    if splitter and splitter not in table.splitters and look.text("tokenizer.ggml.model") == "gpt2":
        look.error(SPLITTER, f"is {shown(splitter)}, which this llama.cpp does not know")
    named, marked = (look.items(key) for key in EXTRA)
    if EXTRA[0] in look.file.metadata and len(named) != len(marked):
        look.error(EXTRA[1], f"has {len(marked)} values, not {len(named)} as {EXTRA[0]}")
    unknown = [tensor for tensor in look.file.tensors if tensor.type.number not in table.types]
    look.errors(
        [(tensor.name, f"is {tensor.type.name}, which this llama.cpp does not have") for tensor in unknown]
    )


def _fits(value: Value, way: KeyRead, blocks: int | None) -> bool:
    if not isinstance(value.content, tuple):
        return value.type.name in way.one
    count = len(value.content)
    if value.type.name not in way.many or (way.most and count > way.most):
        return False
    wanted = blocks if way.length == BLOCKS else int(way.length) if way.length != ITEMS else None
    return wanted is None or count == wanted


def _found(value: Value) -> str:
    if isinstance(value.content, tuple):
        return f"an array of {len(value.content)} {value.type.name}"
    return value.type.name


def _words(way: KeyRead, blocks: int | None) -> str:
    words = list(way.one)
    if way.many:
        count = f"{blocks} " if way.length == BLOCKS and blocks is not None else ""
        count = f"{way.length} " if way.length not in {BLOCKS, ITEMS} else count
        count = f"at most {way.most} " if way.most and not count else count
        words.append(f"an array of {count}{' or '.join(way.many)}")
    return " or ".join(words)
