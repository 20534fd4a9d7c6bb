from __future__ import annotations

import math
import os
import stat
import struct
import tracemalloc
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from recipes.core.errors import VerifyError
from recipes.models.gguf.reader import (
    AGAIN,
    ITSELF,
    REMAKE,
    TENSOR_TYPES,
    GgufFile,
    Tensor,
    Value,
    ValueType,
    read_gguf,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

FORMATS = "BbHhIif?"
F32, F16, Q8_0 = 0, 1, 8
HUGE = (1 << 64) - 1


def text(content: str | bytes) -> bytes:
    data = content if isinstance(content, bytes) else content.encode()
    return struct.pack("<Q", len(data)) + data


def packed(kind: ValueType, content: object) -> bytes:
    if isinstance(content, str):
        return text(content)
    return struct.pack("<" + {**dict(enumerate(FORMATS)), 10: "Q", 11: "q", 12: "d"}[int(kind)], content)


def key(name: str | bytes, kind: int, raw: bytes) -> bytes:
    return text(name) + struct.pack("<I", kind) + raw


def array(kind: int, count: int, raw: bytes) -> bytes:
    return struct.pack("<IQ", kind, count) + raw


def value_key(name: str, value: Value) -> bytes:
    if isinstance(value.content, tuple):
        items = b"".join(packed(value.type, item) for item in value.content)
        return key(name, 9, array(value.type, len(value.content), items))
    return key(name, value.type, packed(value.type, value.content))


def row(name: str | bytes, shape: Iterable[int], number: int = F32, offset: int = 0) -> bytes:
    sizes = tuple(shape)
    return text(name) + struct.pack(f"<I{len(sizes)}QIQ", len(sizes), *sizes, number, offset)


@dataclass(frozen=True)
class Draft:
    """A GGUF file as it will be written, good or bad."""

    keys: tuple[bytes, ...] = ()
    rows: tuple[bytes, ...] = ()
    data: bytes = b""
    version: int = 3
    key_count: int | None = None
    tensor_count: int | None = None
    alignment: int = 32

    def encode(self) -> bytes:
        counts = (
            len(self.rows) if self.tensor_count is None else self.tensor_count,
            len(self.keys) if self.key_count is None else self.key_count,
        )
        head = b"GGUF" + struct.pack("<IQQ", self.version, *counts) + b"".join((*self.keys, *self.rows))
        return head + bytes(-len(head) % self.alignment) + self.data


def sized(shape: Iterable[int], number: int) -> int:
    kind = TENSOR_TYPES[number]
    return math.prod(shape) // kind.block_values * kind.block_bytes


def whole_draft(
    keys: Mapping[str, Value], tensors: Mapping[str, tuple[int, tuple[int, ...]]], alignment: int = 32
) -> Draft:
    """A good file: tensors by name as (type, shape), one after the other."""
    rows, data = [], b""
    for name, (number, shape) in tensors.items():
        rows.append(row(name, shape, number, len(data)))
        data += bytes(sized(shape, number))
        data += bytes(-len(data) % alignment)
    written = tuple(value_key(name, value) for name, value in keys.items())
    return Draft(keys=written, rows=tuple(rows), data=data, alignment=alignment)


ARCHITECTURE = key("general.architecture", 8, text("x"))
GOOD = Draft(keys=(ARCHITECTURE,), rows=(row("a", (8,)),), data=bytes(32))
EVERY_TYPE = {
    "uint8": Value(ValueType.UINT8, 255),
    "int8": Value(ValueType.INT8, -128),
    "uint16": Value(ValueType.UINT16, 65535),
    "int16": Value(ValueType.INT16, -32768),
    "uint32": Value(ValueType.UINT32, 4294967295),
    "int32": Value(ValueType.INT32, -2147483648),
    "float32": Value(ValueType.FLOAT32, 0.5),
    "bool": Value(ValueType.BOOL, content=True),
    "string": Value(ValueType.STRING, "é\0\n"),
    "uint64": Value(ValueType.UINT64, HUGE),
    "int64": Value(ValueType.INT64, -(1 << 63)),
    "float64": Value(ValueType.FLOAT64, 1e300),
    "bools": Value(ValueType.BOOL, (True, False)),
    "strings": Value(ValueType.STRING, ("", "b")),
    "none": Value(ValueType.INT16, ()),
}


def read(folder: Path, data: bytes) -> GgufFile:
    path = folder / "x.gguf"
    path.write_bytes(data)
    return read_gguf(path)


def refusal(folder: Path, data: bytes) -> VerifyError:
    with pytest.raises(VerifyError) as caught:
        read(folder, data)
    assert caught.value.where == str(folder / "x.gguf")
    return caught.value


def test_each_type_of_value_is_read_as_it_was_written(tmp_path: Path) -> None:
    file = read(tmp_path, whole_draft(EVERY_TYPE, {}).encode())
    assert dict(file.metadata) == EVERY_TYPE
    assert list(file.metadata) == list(EVERY_TYPE)


def test_the_whole_of_a_file(tmp_path: Path) -> None:
    keys = {"general.alignment": Value(ValueType.UINT32, 64)}
    data = whole_draft(keys, {"a": (F16, (3, 2)), "b": (Q8_0, (32, 1, 2))}, alignment=64).encode()
    assert read(tmp_path, data) == GgufFile(
        version=3,
        alignment=64,
        metadata=keys,
        tensors=(
            Tensor("a", (3, 2), TENSOR_TYPES[1], 0, 12),
            Tensor("b", (32, 1, 2), TENSOR_TYPES[8], 64, 68),
        ),
        data_offset=192,
        file_size=384,
    )


def test_version_2_has_the_same_form(tmp_path: Path) -> None:
    assert read(tmp_path, replace(GOOD, version=2).encode()).version == 2


def test_the_last_padding_may_be_left_out(tmp_path: Path) -> None:
    assert read(tmp_path, replace(GOOD, rows=(row("a", (7,)),), data=bytes(28)).encode()).file_size == 156
    assert read(tmp_path, Draft(keys=(ARCHITECTURE,), alignment=1).encode()).data_offset == 96


def test_a_scalar_has_no_dimension(tmp_path: Path) -> None:
    (tensor,) = read(tmp_path, replace(GOOD, rows=(row("a", ()),), data=bytes(4)).encode()).tensors
    assert (tensor.shape, tensor.size_bytes) == ((), 4)


def test_a_link_is_followed_as_in_a_cache_of_a_hub(tmp_path: Path) -> None:
    (tmp_path / "blob").write_bytes(GOOD.encode())
    (tmp_path / "x.gguf").symlink_to("blob")
    assert read_gguf(tmp_path / "x.gguf").file_size == len(GOOD.encode())


# Bits a weight, as llama.cpp's quantize and its pull requests state them.
BITS = (
    (64, "F64 I64"),
    (32, "F32 I32"),
    (16, "F16 BF16 I16"),
    (10, "Q8_1"),
    (9.125, "Q8_K"),
    (8.5, "Q8_0"),
    (8, "I8"),
    (6.5625, "Q6_K"),
    (6, "Q5_1"),
    (5.5, "Q5_0 Q5_K"),
    (5, "Q4_1"),
    (4.5, "Q4_0 Q4_K IQ4_NL"),
    (4.25, "IQ4_XS MXFP4"),
    (3.4375, "Q3_K IQ3_S"),
    (3.0625, "IQ3_XXS"),
    (2.625, "Q2_K"),
    (2.5625, "IQ2_S"),
    (2.3125, "IQ2_XS"),
    (2.0625, "IQ2_XXS TQ2_0"),
    (1.75, "IQ1_M"),
    (1.6875, "TQ1_0"),
    (1.5625, "IQ1_S"),
)


def test_the_types_take_the_published_bits() -> None:
    taken = {kind.name: kind.block_bytes * 8 / kind.block_values for kind in TENSOR_TYPES.values()}
    assert taken == {name: bits for bits, names in BITS for name in names.split()}


def test_the_whole_message_of_a_refusal(tmp_path: Path) -> None:
    assert str(refusal(tmp_path, GOOD.encode()[:-20])) == (
        "error: the bytes differ from their pin\n"
        f"  where:    {tmp_path}/x.gguf\n"
        "  expected: 160 bytes, as the table of tensors says\n"
        "  found:    140 bytes: 20 are missing, from tensor 'a' on\n"
        "  fix:      download it again, and compare its sha256 with the one that its publisher shows"
    )


LFS = b"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a2146\nsize 18556686912\n"


@pytest.mark.parametrize(
    ("data", "found", "fix"),
    [
        (b"", "an empty file", AGAIN),
        (LFS, "a Git LFS pointer to a file of 18556686912 bytes", "git lfs pull, or " + ITSELF),
        (b"\n<!doctype html><html>", "a web page: b'<!doctype html><html>'", ITSELF),
        (b'{"error":"Entry not found"}', 'JSON: b\'{"error":"Entry not found"}\'', ITSELF),
        (
            struct.pack("<Q", 90) + b'{"__metadata__":{}}',
            "a safetensors file",
            "convert the model with the pinned llama.cpp's convert_hf_to_gguf.py",
        ),
        (b"tjgg\x03\0\0\0", "b'tjgg\\x03\\x00\\x00\\x00'", AGAIN),
        (b"GGU", "b'GGU'", AGAIN),
        (b"<" + b"x" * 99, "a web page: b'<" + "x" * 59 + "'...", ITSELF),
    ],
)
def test_what_is_not_gguf_is_named(tmp_path: Path, data: bytes, found: str, fix: str) -> None:
    error = refusal(tmp_path, data)
    assert (error.expected, error.found, error.fix) == ("the bytes b'GGUF' at the start", found, fix)


@pytest.mark.parametrize(
    ("version", "found", "fix"),
    [
        (0x03000000, "a big-endian file of version 3", "convert it with gguf-convert-endian"),
        (1, "version 1", "convert the model again with the pinned llama.cpp's converter"),
        (4, "version 4", "convert the model again with the pinned llama.cpp's converter"),
    ],
)
def test_a_version_that_llama_cpp_does_not_read(tmp_path: Path, version: int, found: str, fix: str) -> None:
    error = refusal(tmp_path, replace(GOOD, version=version).encode())
    assert (error.expected, error.found, error.fix) == ("version 2 or 3, little-endian", found, fix)


def keyed(kind: int, raw: bytes, name: str | bytes = "k") -> Draft:
    return Draft(keys=(key(name, kind, raw),))


def aligned(raw: int) -> Draft:
    return keyed(4, struct.pack("<I", raw), "general.alignment")


def rowed(*rows: bytes, data: bytes = bytes(128)) -> Draft:
    return Draft(rows=rows, data=data)


TRUNCATED = [
    (
        replace(GOOD, key_count=7, alignment=1, rows=(), data=b""),
        "98 bytes for 7 keys, at byte 24",
        "41 bytes, then the end of the file: 57 are missing",
    ),
    (
        replace(GOOD, tensor_count=100),
        "2500 bytes for 100 tensors, at byte 16",
        "144 bytes, then the end of the file: 2356 are missing",
    ),
    (
        keyed(8, struct.pack("<Q", HUGE) + b"abc"),
        "18446744073709551615 bytes for key 'k', at byte 45",
        "19 bytes, then the end of the file: 18446744073709551596 are missing",
    ),
    (
        keyed(9, array(8, 1 << 60, b"")),
        "9223372036854775808 bytes for key 'k', at byte 49",
        "15 bytes, then the end of the file: 9223372036854775793 are missing",
    ),
    (
        keyed(9, array(12, 9, b"")),
        "72 bytes for key 'k', at byte 49",
        "15 bytes, then the end of the file: 57 are missing",
    ),
    (
        replace(keyed(4, b"\1\0"), alignment=1),
        "4 bytes for key 'k', at byte 37",
        "2 bytes, then the end of the file: 2 are missing",
    ),
    (
        Draft(rows=(text("a") + struct.pack("<I", 4) + bytes(16),), alignment=1),
        "32 bytes for tensor 'a', at byte 37",
        "16 bytes, then the end of the file: 16 are missing",
    ),
    (
        rowed(row("a", (32,)), data=bytes(100)),
        "192 bytes, as the table of tensors says",
        "164 bytes: 28 are missing, from tensor 'a' on",
    ),
    (
        rowed(row("a", (8,)), row("b", (8,), offset=1 << 62)),
        "4611686018427388032 bytes, as the table of tensors says",
        "224 bytes: 4611686018427387808 are missing, from tensor 'b' on",
    ),
]
MALFORMED = [
    (replace(GOOD, key_count=HUGE), "at most 65536 keys", "18446744073709551615"),
    (replace(GOOD, tensor_count=1 << 20), "at most 65536 tensors", "1048576"),
    (keyed(13, b""), "a type of key 'k' that the format has", "type 13"),
    (keyed(9, array(99, 1, b"")), "a type of key 'k' that the format has", "type 99"),
    (keyed(9, array(9, 1, array(4, 0, b""))), "no array of arrays in key 'k'", "one"),
    (keyed(7, b"\2"), "0 or 1 in key 'k'", "2"),
    (keyed(9, array(7, 3, b"\0\1\xff")), "0 or 1 in key 'k'", "255"),
    (keyed(8, text(b"ab\xff\xfe")), "UTF-8 in key 'k'", "b'\\xff\\xfe'"),
    (keyed(8, text(b"\xed\xa0\x80")), "UTF-8 in key 'k'", "b'\\xed\\xa0\\x80'"),
    (keyed(4, b"", b"\xc3"), "UTF-8 in the name of key 0", "b'\\xc3'"),
    (keyed(4, b"", ""), "1 to 65535 bytes in the name of key 0", "0: ''"),
    (keyed(4, b"", "k" * 65536), "1 to 65535 bytes in the name of key 0", "65536: '" + "k" * 60 + "'..."),
    (keyed(4, b"", "a\0b"), "no zero byte in the name of key 0", "'a\\x00b'"),
    (Draft(keys=(ARCHITECTURE, ARCHITECTURE)), "each key once", "'general.architecture' twice"),
    (aligned(48), "general.alignment to be a power of two from 8 to 1048576", "48"),
    (aligned(0), "general.alignment to be a power of two from 8 to 1048576", "0"),
    (aligned(4), "general.alignment to be a power of two from 8 to 1048576", "4"),
    (aligned(1 << 21), "general.alignment to be a power of two from 8 to 1048576", "2097152"),
    (keyed(10, struct.pack("<Q", 32), "general.alignment"), "general.alignment to be a UINT32", "UINT64"),
    (
        keyed(9, array(4, 0, b""), "general.alignment"),
        "general.alignment to be a UINT32",
        "an array of UINT32",
    ),
    (rowed(row("a", (8,)), row("a", (8,), offset=32)), "each tensor's name once", "'a' twice"),
    (rowed(row("n" * 64, (8,))), "1 to 63 bytes in the name of tensor 0", "64: '" + "n" * 60 + "'..."),
    (rowed(row("é" * 32, (8,))), "1 to 63 bytes in the name of tensor 0", "64: '" + "é" * 32 + "'"),
    (rowed(row("", (8,))), "1 to 63 bytes in the name of tensor 0", "0: ''"),
    (rowed(row(b"\x80", (8,))), "UTF-8 in the name of tensor 0", "b'\\x80'"),
    (rowed(row("a", (1, 1, 1, 1, 1))), "at most 4 dimensions of tensor 'a'", "5"),
    (rowed(row("a", (8, 0))), "dimensions of tensor 'a' from 1 on", "[8, 0]"),
    (rowed(row("a", (HUGE, 8))), "dimensions of tensor 'a' from 1 on", "[-1, 8]"),
    (rowed(row("a", (8,), 4)), "a type of tensor 'a' that ggml has", "type 4"),
    (rowed(row("a", (8,), 40)), "a type of tensor 'a' that ggml has", "type 40"),
    (
        rowed(row("a", (16, 2), 8)),
        "rows of tensor 'a' made of blocks of 32, as Q8_0 has them",
        "rows of 16",
    ),
    (
        rowed(row("a", (1 << 32, 1 << 31), 24)),
        "at most 9223372036854775807 values and bytes in tensor 'a'",
        "[4294967296, 2147483648]",
    ),
    (
        rowed(row("a", (1 << 31, 1 << 31))),
        "at most 9223372036854775807 values and bytes in tensor 'a'",
        "[2147483648, 2147483648]",
    ),
    (rowed(row("a", (8,), offset=4)), "an offset of tensor 'a' that is a multiple of 32", "4"),
    (
        rowed(row("b", (8,), offset=32), row("a", (9,))),
        "tensors that share no byte",
        "'a' at 0, 36 bytes, and 'b' at 32",
    ),
    (
        rowed(row("a", (8,)), row("b", (8,))),
        "tensors that share no byte",
        "'a' at 0, 32 bytes, and 'b' at 0",
    ),
]


@pytest.mark.parametrize(("draft", "expected", "found"), TRUNCATED)
def test_a_truncated_file_is_refused_with_what_is_missing(
    tmp_path: Path, draft: Draft, expected: str, found: str
) -> None:
    error = refusal(tmp_path, draft.encode())
    assert (error.expected, error.found, error.fix) == (expected, found, AGAIN)


@pytest.mark.parametrize(("draft", "expected", "found"), MALFORMED)
def test_a_malformed_file_is_refused_by_name(tmp_path: Path, draft: Draft, expected: str, found: str) -> None:
    error = refusal(tmp_path, draft.encode())
    assert (error.expected, error.found, error.fix) == (expected, found, REMAKE)


@pytest.mark.parametrize("length", range(len(GOOD.encode())))
def test_a_file_cut_anywhere_is_refused(tmp_path: Path, length: int) -> None:
    refusal(tmp_path, GOOD.encode()[:length])


TWO_ARRAYS = Draft(keys=tuple(key(name, 9, array(0, 2, b"\0\0")) for name in "jk"))
TWO_TEXTS = keyed(9, array(8, 2, text("abcd") * 2))


@pytest.mark.parametrize(
    ("limit", "draft", "said"),
    [
        ("MOST_ITEMS", TWO_ARRAYS, ("at most 3 values in all keys", "more of them, with key 'k'")),
        ("MOST_TEXT_BYTES", TWO_TEXTS, ("at most 3 bytes of text", "more of it, with key 'k'")),
        ("MOST_KEYS", Draft(keys=TWO_ARRAYS.keys * 2), ("at most 3 keys", "4")),
        ("MOST_TENSORS", Draft(tensor_count=4), ("at most 3 tensors", "4")),
    ],
)
def test_what_a_file_may_take_in_memory_is_limited(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, limit: str, draft: Draft, said: tuple[str, str]
) -> None:
    monkeypatch.setattr(f"recipes.models.gguf.reader.{limit}", 3)
    error = refusal(tmp_path, draft.encode())
    assert (error.expected, error.found) == said


@pytest.mark.parametrize("draft", [keyed(8, struct.pack("<Q", 1 << 34)), keyed(9, array(0, 1 << 34, b""))])
def test_a_large_file_does_not_make_a_large_count_true(tmp_path: Path, draft: Draft) -> None:
    path = tmp_path / "x.gguf"
    path.write_bytes(draft.encode())
    os.truncate(path, 1 << 35)  # sparse: no byte of it is on the disk
    tracemalloc.start()
    try:
        with pytest.raises(VerifyError, match="at most"):
            read_gguf(path)
        assert tracemalloc.get_traced_memory()[1] < 1 << 20
    finally:
        tracemalloc.stop()


def test_a_file_that_gets_shorter_meanwhile_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    draft = keyed(8, struct.pack("<Q", 900))
    size = len(draft.encode()) + 4096
    status = os.stat_result((stat.S_IFREG | 0o644, 0, 0, 0, 0, 0, size, 0, 0, 0))
    monkeypatch.setattr(Path, "stat", lambda _: status)
    error = refusal(tmp_path, draft.encode())
    assert (error.expected, error.found) == (f"{size} bytes, as before", "a file that got shorter meanwhile")


def test_what_cannot_be_read_is_refused_and_never_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    for name, expected, found in (
        ("pipe", "a GGUF file", "a folder or a device"),
        (".", "a GGUF file", "a folder or a device"),
        ("none", "a readable file", "No such file or directory"),
    ):
        with pytest.raises(VerifyError) as caught:
            read_gguf(tmp_path / name)
        assert (caught.value.expected, caught.value.found) == (expected, found)
