from __future__ import annotations

import struct
import tempfile
import tracemalloc
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from recipes.core.errors import VerifyError
from recipes.models.gguf.findings import Finding
from recipes.models.gguf.lint import lint_mmproj, lint_model, lint_pair
from recipes.models.gguf.reader import TENSOR_TYPES, GgufFile, Value, ValueType, read_gguf
from tests.support.gguf_drafts import (
    MMPROJ_KEYS,
    MMPROJ_TENSORS,
    Draft,
    model_keys,
    model_tensors,
    sized,
    whole_draft,
)

MOST_BYTES = 64 << 20

NAMES = st.text(st.characters(codec="utf-8", exclude_characters="\0"), min_size=1, max_size=15)
ITEMS = {
    ValueType.UINT8: st.integers(0, (1 << 8) - 1),
    ValueType.INT8: st.integers(-(1 << 7), (1 << 7) - 1),
    ValueType.UINT16: st.integers(0, (1 << 16) - 1),
    ValueType.INT16: st.integers(-(1 << 15), (1 << 15) - 1),
    ValueType.UINT32: st.integers(0, (1 << 32) - 1),
    ValueType.INT32: st.integers(-(1 << 31), (1 << 31) - 1),
    ValueType.FLOAT32: st.floats(width=32, allow_nan=False),
    ValueType.BOOL: st.booleans(),
    ValueType.STRING: st.text(st.characters(codec="utf-8"), max_size=20),
    ValueType.UINT64: st.integers(0, (1 << 64) - 1),
    ValueType.INT64: st.integers(-(1 << 63), (1 << 63) - 1),
    ValueType.FLOAT64: st.floats(allow_nan=False),
}
VALUES = st.sampled_from(sorted(ITEMS)).flatmap(
    lambda kind: st.builds(Value, st.just(kind), ITEMS[kind] | st.lists(ITEMS[kind], max_size=5).map(tuple))
)
KEYS = st.dictionaries(NAMES, VALUES, max_size=6)
ROWS = (
    st.sampled_from(sorted(TENSOR_TYPES))
    .flatmap(
        lambda number: st.tuples(
            st.just(number),
            st.lists(st.integers(1, 3), max_size=4).map(
                lambda sizes: tuple(
                    size * (1 if at else TENSOR_TYPES[number].block_values) for at, size in enumerate(sizes)
                )
            ),
        )
    )
    .filter(lambda row: bool(row[1]) or TENSOR_TYPES[row[0]].block_values == 1)
)
TENSORS = st.dictionaries(NAMES, ROWS, max_size=5)


def read(data: bytes) -> GgufFile | None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "x.gguf"
        path.write_bytes(data)
        try:
            return read_gguf(path)
        except VerifyError as error:
            assert error.where == str(path)  # noqa: PT017 - either outcome is right; no other exception is
            return None


def measured(data: bytes) -> GgufFile | None:
    tracemalloc.start()
    try:
        file = read(data)
        assert tracemalloc.get_traced_memory()[1] < MOST_BYTES
        return file
    finally:
        tracemalloc.stop()


def check(file: GgufFile) -> None:
    for finding in (*lint_model(file), *lint_mmproj(file), *lint_pair(file, file)):
        assert isinstance(finding, Finding)
        assert finding.where.isprintable()
        assert finding.what.isprintable()


@pytest.mark.slow
@settings(max_examples=100)
@given(KEYS, TENSORS, st.sampled_from([8, 32, 4096]))
def test_what_was_written_into_a_file_is_read_from_it(
    keys: dict[str, Value], tensors: dict[str, tuple[int, tuple[int, ...]]], alignment: int
) -> None:
    keys = keys | {"general.alignment": Value(ValueType.UINT32, alignment)}
    data = whole_draft(keys, tensors, alignment).encode()
    file = read(data)
    assert file is not None
    assert (dict(file.metadata), file.alignment, file.file_size) == (keys, alignment, len(data))
    assert list(file.metadata) == list(keys)
    shown = {tensor.name: (tensor.type.number, tensor.shape) for tensor in file.tensors}
    assert shown == tensors
    assert [tensor.size_bytes for tensor in file.tensors] == [
        sized(row[1], row[0]) for row in tensors.values()
    ]
    assert all(file.data_offset + tensor.offset + tensor.size_bytes <= len(data) for tensor in file.tensors)
    check(file)


@given(st.binary(max_size=300))
@example(b"")
def test_any_bytes_after_the_magic_are_read_or_refused(data: bytes) -> None:
    for version in (2, 3):
        measured(b"GGUF" + struct.pack("<I", version) + data)
    measured(data)


@given(st.integers(0, (1 << 64) - 1), st.integers(0, (1 << 64) - 1))
def test_any_counts_are_read_or_refused(tensor_count: int, key_count: int) -> None:
    draft = Draft(data=bytes(900), tensor_count=tensor_count, key_count=key_count)
    assert (measured(draft.encode()) is None) == bool(tensor_count or key_count)


@pytest.mark.slow
@settings(max_examples=300)
@given(
    st.sampled_from(["qwen3vlmoe", "qwen3vl", "clip"]),
    st.dictionaries(st.integers(0, 60), st.none() | VALUES, max_size=3),
)
def test_whatever_the_keys_hold_is_checked(kind: str, changes: dict[int, Value | None]) -> None:
    keys = dict(MMPROJ_KEYS if kind == "clip" else model_keys(kind))
    tensors = MMPROJ_TENSORS if kind == "clip" else model_tensors(kind)
    for place, value in changes.items():
        name = list(keys)[place % len(keys)]
        if value is None:
            del keys[name]
        else:
            keys[name] = value
    file = read(whole_draft(keys, tensors).encode())
    assert file is not None
    check(file)
