from __future__ import annotations

import os
import stat
import struct
import tracemalloc
from dataclasses import replace
from pathlib import Path

import pytest

from recipes.core.errors import VerifyError
from recipes.models.gguf.other_formats import AGAIN, CONVERT, ITSELF, JOIN, LOGIN, NEWER, UNPACK
from recipes.models.gguf.reader import (
    REMAKE,
    TENSOR_TYPES,
    GgufFile,
    Tensor,
    Value,
    ValueType,
    read_gguf,
)
from tests.support.gguf_drafts import (
    EVERY_TYPE,
    F16,
    HUGE,
    Q8_0,
    Draft,
    array,
    key,
    row,
    text,
    whole_draft,
)

ARCHITECTURE = key("general.architecture", 8, text("x"))
GOOD = Draft(keys=(ARCHITECTURE,), rows=(row("a", (8,)),), data=bytes(32))


def read(folder: Path, data: bytes) -> GgufFile:
    path = folder / "x.gguf"
    path.write_bytes(data)
    return read_gguf(path)


def assert_refused(folder: Path, data: bytes, expected: str = "", found: str = "", fix: str = "") -> None:
    """Demand a refusal that names the file and has these words."""
    with pytest.raises(VerifyError) as caught:
        read(folder, data)
    error = caught.value
    assert error.where == str(folder / "x.gguf")
    assert (expected in error.expected, found in error.found) == (True, True), str(error)
    assert error.fix.endswith(fix)


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


def test_version_2_a_missing_last_padding_and_a_scalar_are_read(tmp_path: Path) -> None:
    assert read(tmp_path, replace(GOOD, version=2).encode()).version == 2
    assert read(tmp_path, replace(GOOD, rows=(row("a", (7,)),), data=bytes(28)).encode()).file_size == 156
    assert read(tmp_path, Draft(keys=(ARCHITECTURE,), alignment=1).encode()).data_offset == 96
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
    (4.5, "Q4_0 Q4_K IQ4_NL NVFP4"),
    (4.25, "IQ4_XS MXFP4"),
    (3.4375, "Q3_K IQ3_S"),
    (3.0625, "IQ3_XXS"),
    (2.625, "Q2_K"),
    (2.5625, "IQ2_S"),
    (2.3125, "IQ2_XS"),
    (2.25, "Q2_0"),
    (2.0625, "IQ2_XXS TQ2_0"),
    (1.75, "IQ1_M"),
    (1.6875, "TQ1_0"),
    (1.125, "Q1_0"),
    (1.5625, "IQ1_S"),
)


def test_the_types_take_the_published_bits() -> None:
    taken = {kind.name: kind.block_bytes * 8 / kind.block_values for kind in TENSOR_TYPES.values()}
    assert taken == {name: bits for bits, names in BITS for name in names.split()}


LFS = b"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a2146\nsize 18556686912\n"


@pytest.mark.parametrize(
    ("data", "found", "fix"),
    [
        (b"", "empty", AGAIN),
        (LFS, "LFS pointer to a file of 18556686912 bytes", ITSELF),
        (b"\n<!doctype html><html>", "web page: b'<!doctype html><html>'", ITSELF),
        (b'{"error":"Entry not found"}', "JSON", ITSELF),
        (struct.pack("<Q", 90) + b'{"__metadata__":{}}', "safetensors", CONVERT),
        (b"tjgg\x03\0\0\0", "old GGJT", NEWER),
        (b"lmgg\0\0\0\0", "old GGML", NEWER),
        (b"\x1f\x8b\x08\0", "gzip", UNPACK),
        (b"PK\3\4", "ZIP", CONVERT),
        (b"\x80\x02}q\0", "pickle", CONVERT),
        (bytes(257) + b"ustar\0", "tar", UNPACK),
        (b"Access to model a/b is restricted.", "text: 'Access to model", LOGIN),
        (b"Entry not found", "text: 'Entry not found'", ITSELF),
        (b"<html>401 Unauthorized</html>", "web page", LOGIN),
        (b"GGU", "b'GGU'", AGAIN),
        (b"<" + b"x" * 99, "b'<" + "x" * 59 + "'...", ITSELF),
        (replace(GOOD, version=0x03000000).encode(), "big-endian", "gguf-convert-endian"),
        (replace(GOOD, version=1).encode(), "version 1", "converter"),
        (replace(GOOD, version=4).encode(), "version 4", "converter"),
    ],
)
def test_another_format_or_version_is_named(tmp_path: Path, data: bytes, found: str, fix: str) -> None:
    assert_refused(tmp_path, data, found=found, fix=fix)


@pytest.mark.parametrize("name", ["m-split-b", "m.gguf.part2of3", "m.gguf.002"])
def test_a_piece_of_a_file_is_to_be_joined_with_the_others(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    path.write_bytes(GOOD.encode()[:-1])
    with pytest.raises(VerifyError) as caught:
        read_gguf(path)
    assert ("1 are missing" in caught.value.found, caught.value.fix) == (True, JOIN)


@pytest.mark.parametrize("between", [0, 4])
def test_two_files_in_one_are_refused(tmp_path: Path, between: int) -> None:
    first = replace(GOOD, data=bytes(28), rows=(row("a", (7,)),)).encode() + bytes(between)
    assert_refused(
        tmp_path, first + GOOD.encode(), "one GGUF file", f"another one starts at byte {len(first)}", "files"
    )


def keyed(kind: int, raw: bytes, name: str | bytes = "k") -> Draft:
    return Draft(keys=(key(name, kind, raw),))


def aligned(raw: int) -> Draft:
    return keyed(4, struct.pack("<I", raw), "general.alignment")


def rowed(*rows: bytes, data: bytes = bytes(128)) -> Draft:
    return Draft(rows=rows, data=data)


TRUNCATED = [
    (replace(GOOD, key_count=7, alignment=1, rows=(), data=b""), "98 bytes for 7 keys, at byte 24", 57),
    (replace(GOOD, tensor_count=100), "2500 bytes for 100 tensors, at byte 16", 2356),
    (keyed(8, struct.pack("<Q", HUGE) + b"abc"), "key 'k', at byte 45", HUGE - 19),
    (keyed(9, array(8, 1 << 60, b"")), "key 'k', at byte 49", (1 << 63) - 15),
    (keyed(9, array(12, 9, b"")), "72 bytes for key 'k', at byte 49", 57),
    (replace(keyed(4, b"\1\0"), alignment=1), "4 bytes for key 'k', at byte 37", 2),
    (Draft(rows=(text("a") + struct.pack("<I", 4) + bytes(16),), alignment=1), "tensor 'a', at byte 37", 16),
    (rowed(row("a", (32,)), data=bytes(100)), "192 bytes", 28),
    (rowed(row("a", (8,)), row("b", (8,), offset=1 << 62)), "4611686018427388032 bytes", (1 << 62) - 96),
]
ALIGNMENT, NAME_0 = "general.alignment", "bytes in the name of tensor 0"
MALFORMED = [
    (replace(GOOD, key_count=HUGE), "at most 65536 keys", "18446744073709551615"),
    (replace(GOOD, tensor_count=1 << 20), "at most 65536 tensors", "1048576"),
    (keyed(13, b""), "type of key 'k'", "type 13"),
    (keyed(9, array(99, 1, b"")), "type of key 'k'", "type 99"),
    (keyed(9, array(9, 1, array(4, 0, b""))), "array of arrays in key 'k'", "one"),
    (keyed(7, b"\2"), "0 or 1 in key 'k'", "2"),
    (keyed(9, array(7, 3, b"\0\1\xff")), "0 or 1 in key 'k'", "255"),
    (keyed(8, text(b"ab\xff\xfe")), "UTF-8 in key 'k'", "b'\\xff\\xfe'"),
    (keyed(8, text(b"\xed\xa0\x80")), "UTF-8 in key 'k'", "b'\\xed\\xa0\\x80'"),
    (keyed(4, b"", b"\xc3"), "UTF-8 in the name of key 0", "b'\\xc3'"),
    (keyed(4, b"", ""), "1 to 65535 bytes in the name of key 0", "0: ''"),
    (keyed(4, b"", "k" * 65536), "1 to 65535 bytes in the name of key 0", "65536: '" + "k" * 60 + "'..."),
    (keyed(4, b"", "a\0b"), "zero byte in the name of key 0", "'a\\x00b'"),
    (Draft(keys=(ARCHITECTURE, ARCHITECTURE)), "each key once", "'general.architecture'"),
    *((aligned(size), ALIGNMENT, str(size)) for size in (48, 0, 4, 1 << 21)),
    (keyed(10, struct.pack("<Q", 32), ALIGNMENT), f"{ALIGNMENT} to be a UINT32", "UINT64"),
    (keyed(9, array(4, 0, b""), ALIGNMENT), f"{ALIGNMENT} to be a UINT32", "an array of UINT32"),
    (rowed(row("a", (8,)), row("a", (8,), offset=32)), "name once", "'a'"),
    (rowed(row("n" * 64, (8,))), f"1 to 63 {NAME_0}", "64: '" + "n" * 60 + "'..."),
    (rowed(row("é" * 32, (8,))), f"1 to 63 {NAME_0}", "64: '" + "é" * 32 + "'"),
    (rowed(row("", (8,))), f"1 to 63 {NAME_0}", "0: ''"),
    (rowed(row(b"\x80", (8,))), "UTF-8 in the name of tensor 0", "b'\\x80'"),
    (rowed(row("a", (1, 1, 1, 1, 1))), "at most 4 dimensions of tensor 'a'", "5"),
    (rowed(row("a", (8, 0))), "dimensions of tensor 'a'", "[8, 0]"),
    (rowed(row("a", (HUGE, 8))), "dimensions of tensor 'a'", "[-1, 8]"),
    (rowed(row("a", (8,), 4)), "type of tensor 'a'", "type 4"),
    (rowed(row("a", (8,), 43)), "type of tensor 'a'", "type 43"),
    (rowed(row("a", (16, 2), 8)), "tensor 'a' made of blocks of 32", "rows of 16"),
    (rowed(row("a", (1 << 32, 1 << 31), 24)), "at most 9223372036854775807", "[4294967296, 2147483648]"),
    (rowed(row("a", (1 << 31, 1 << 31))), "at most 9223372036854775807", "[2147483648, 2147483648]"),
    (rowed(row("a", (8,), offset=4)), "offset of tensor 'a' that is a multiple of 32", "4"),
    (rowed(row("b", (8,), offset=32), row("a", (9,))), "share no byte", "'a' at 0, 36 bytes, and 'b' at 32"),
    (rowed(row("a", (8,)), row("b", (8,))), "share no byte", "'a' at 0, 32 bytes, and 'b' at 0"),
]


@pytest.mark.parametrize(("draft", "expected", "missing"), TRUNCATED)
def test_a_truncated_file_is_refused_with_what_is_missing(
    tmp_path: Path, draft: Draft, expected: str, missing: int
) -> None:
    assert_refused(tmp_path, draft.encode(), expected, f": {missing} are missing", AGAIN)


@pytest.mark.parametrize(("draft", "expected", "found"), MALFORMED)
def test_a_malformed_file_is_refused_by_name(tmp_path: Path, draft: Draft, expected: str, found: str) -> None:
    assert_refused(tmp_path, draft.encode(), expected, found, REMAKE)


@pytest.mark.parametrize("length", range(len(GOOD.encode())))
def test_a_file_cut_anywhere_is_refused(tmp_path: Path, length: int) -> None:
    assert_refused(tmp_path, GOOD.encode()[:length])


TWO_ARRAYS = Draft(keys=tuple(key(name, 9, array(0, 2, b"\0\0")) for name in "jk"))
TWO_TEXTS = keyed(9, array(8, 2, text("abcd") * 2))


@pytest.mark.parametrize(
    ("limit", "draft", "found"),
    [
        ("MOST_ITEMS", TWO_ARRAYS, "key 'k'"),
        ("MOST_TEXT_BYTES", TWO_TEXTS, "key 'k'"),
        ("MOST_KEYS", Draft(keys=TWO_ARRAYS.keys * 2), "4"),
        ("MOST_TENSORS", Draft(tensor_count=4), "4"),
    ],
)
def test_what_a_file_may_take_in_memory_is_limited(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, limit: str, draft: Draft, found: str
) -> None:
    monkeypatch.setattr(f"recipes.models.gguf.reader.{limit}", 3)
    assert_refused(tmp_path, draft.encode(), "at most 3 ", found)


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
    assert_refused(tmp_path, draft.encode(), f"{size} bytes", "shorter")


def test_what_cannot_be_read_is_refused_and_never_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    for name, found in (
        ("pipe", "not a regular file"),
        (".", "a folder"),
        ("none", "No such file"),
    ):
        with pytest.raises(VerifyError) as caught:
            read_gguf(tmp_path / name)
        assert found in caught.value.found
