"""Files of the pocket model with other keys: changes drawn by hypothesis, and whole files as bytes."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hypothesis import strategies as st

from recipes.models.gguf.findings import Severity
from recipes.models.gguf.lint import lint_mmproj, lint_model, lint_pair
from recipes.models.gguf.reader import GgufFile, Value, ValueType, read_gguf
from recipes.models.loader.table import ANY_ARCHITECTURE, LoaderTable
from tests.support.gguf_drafts import Draft, Keys, row, value_key
from tests.support.paths import PROJECT

if TYPE_CHECKING:
    from pathlib import Path

    from recipes.models.gguf.reader import Scalar

POCKET = PROJECT / "tests/data/pocket"
FILES = {
    "model": POCKET / "pocket-qwen3-vl-moe-f16.gguf",
    "mmproj": POCKET / "mmproj-pocket-qwen3-vl-moe-f16.gguf",
}
HEADS = {role: read_gguf(path) for role, path in FILES.items()}
KINDS = {"model": ("qwen3vlmoe", "qwen3vlmoe"), "mmproj": ("vision", "qwen3vl_merger")}
NUMBERS = (
    *(0, 1, 2, 3, 4, 5, 7, 8, 11, 31, 32, 64, 127, 128, 255, 256, 383, 384, 385, 511, 512, 513, 1024, 1025),
    *(65535, 65536, 1 << 20, (1 << 31) - 1, 1 << 31, (1 << 32) - 1, (1 << 63) - 1, (1 << 64) - 1),
)
REALS = (0.0, -0.0, 1.0, -1.0, 1e-10, 1e30, float("inf"), float("-inf"), float("nan"), 0.5, 1e6)
TEXTS = (
    *("", "gpt2", "llama", "qwen2", "bert", "t5", "plamo2", "none", "no_vocab", "yarn", "linear", "longrope"),
    *("default", "x" * 300, "a\0b", "é", "llama-bpe", "deepseek-llm", "kimi-k2", "gemma4", "<0x-1>"),
)
LEAST_PIXELS = "clip.vision.image_min_pixels"
BITS = {"8": 8, "6": 16, "2": 32, "4": 64}  # by the last digit of a type's name


def rewritten(role: str, keys: Keys) -> bytes:
    """The pocket model's file of a role, with these keys."""
    head = HEADS[role]
    rows = tuple(row(each.name, each.shape, each.type.number, each.offset) for each in head.tensors)
    data = FILES[role].read_bytes()[head.data_offset :]
    written = tuple(value_key(name, value) for name, value in keys.items())
    return Draft(keys=written, rows=rows, data=data, alignment=head.alignment).encode()


def errors(files: dict[str, GgufFile], table: LoaderTable) -> list[str]:
    """What the gate says is wrong with a model and its projector, templates aside."""
    found = (
        *lint_model(files["model"], table),
        *lint_mmproj(files["mmproj"], table),
        *lint_pair(files["model"], files["mmproj"]),
    )
    return [f"{one.where} {one.what}" for one in found if one.severity is Severity.ERROR]


def with_file(role: str, path: Path) -> dict[str, GgufFile]:
    """The pocket model's two heads, one of them that of a file."""
    return HEADS | {role: read_gguf(path)}


def scalars(kind: ValueType) -> st.SearchStrategy[Scalar]:
    if kind is ValueType.BOOL:
        return st.booleans()
    if kind is ValueType.STRING:
        return st.sampled_from(TEXTS)
    if kind.name.startswith("FLOAT"):
        return st.sampled_from(REALS)
    bits = BITS[kind.name[-1]]
    least, most = (0, (1 << bits) - 1) if kind.name[0] == "U" else (-(1 << bits - 1), (1 << bits - 1) - 1)
    signed = [each for number in NUMBERS for each in (number, -number)]
    return st.sampled_from(sorted({each for each in signed if least <= each <= most}))


def values(kind: ValueType, lengths: tuple[int, ...] | None) -> st.SearchStrategy[Value]:
    """Values of a type; with lengths, arrays of so many equal items."""
    if lengths is None:
        return scalars(kind).map(lambda one: Value(kind, one))
    return st.builds(lambda one, count: Value(kind, (one,) * count), scalars(kind), st.sampled_from(lengths))


def changes(role: str, table: LoaderTable) -> st.SearchStrategy[tuple[str, Value | None]]:
    """A key and its new value, None to leave it out: mostly what the loader reads, in the types that it reads."""
    name, kind = KINDS[role]
    reads = [
        (read.key.replace(ANY_ARCHITECTURE, name), read)
        for read in (table.model if role == "model" else table.projector)
        if not read.of or kind in read.of
    ]
    present = HEADS[role].metadata
    count = len(present["tokenizer.ggml.tokens"].content) if role == "model" else 4  # type: ignore[arg-type]
    lengths = (0, 1, 2, 3, 4, 5, count)
    ways = [
        _keyed(key, values(ValueType[one], None if single else lengths))
        for key, read in reads
        for single, types in ((True, read.one), (False, read.many))
        for one in types[:3]
    ]
    own = [
        _keyed(key, values(value.type, lengths if isinstance(value.content, tuple) else None))
        for key, value in present.items()
    ]
    gone = st.sampled_from([key for key in present if key != "general.architecture"]).map(
        lambda key: (key, None)
    )
    items = [_items(key, value) for key, value in present.items() if isinstance(value.content, tuple)]
    return st.one_of(st.one_of(ways), st.one_of(own), st.one_of(items), gone).filter(_is_quick)


def _keyed(key: str, found: st.SearchStrategy[Value]) -> st.SearchStrategy[tuple[str, Value | None]]:
    return found.map(lambda value: (key, value))


def _is_quick(edit: tuple[str, Value | None]) -> bool:
    """Whether an image is not made larger than 256 by 256, which takes minutes on a busy machine."""
    key, value = edit
    return key != LEAST_PIXELS or value is None or value.content in range(1 << 16)


def _items(key: str, value: Value) -> st.SearchStrategy[tuple[str, Value | None]]:
    """An array with one item changed, or one less, or one more."""
    items = tuple(value.content)  # type: ignore[arg-type]

    def change(place: int, new: Scalar, how: int) -> tuple[str, Value | None]:
        at = place % max(1, len(items))
        changed = (
            (*items[:at], new, *items[at + 1 :]) if how == 0 else (*items, new) if how == 1 else items[:-1]
        )
        return key, Value(value.type, changed)

    return st.builds(change, st.integers(0, 1 << 20), scalars(value.type), st.integers(0, 2))


def changed(role: str, edits: list[tuple[str, Value | None]]) -> Keys:
    keys = dict(HEADS[role].metadata)
    for key, value in edits:
        if value is None:
            keys.pop(key, None)
        else:
            keys[key] = value
    return keys
