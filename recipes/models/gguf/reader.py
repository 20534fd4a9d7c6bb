"""Reads the header of a GGUF file: keys and tensor table. A malformed file is refused before anything loads it.

The format is that of ggml's docs/gguf.md. Where llama.cpp's own reader (ggml/src/gguf.cpp) is narrower, or aborts,
its limits are demanded here. No count in the file is trusted: each is compared with the bytes that remain before
memory is reserved for it, and no tensor data is read.
"""

from __future__ import annotations

import itertools
import math
import stat
import struct
from dataclasses import dataclass
from enum import IntEnum
from types import MappingProxyType
from typing import TYPE_CHECKING, TypeAlias

from recipes.core.errors import VerifyError
from recipes.models.gguf.other_formats import AGAIN, SHOWN_CHARACTERS, fix_of_cut, name_format, shown

if TYPE_CHECKING:
    from collections.abc import Mapping
    from io import BufferedReader
    from pathlib import Path

MAGIC = b"GGUF"
VERSIONS = (2, 3)
DEFAULT_ALIGNMENT = 32  # docs/gguf.md, general.alignment
LARGEST_ALIGNMENT = 1 << 20
LONGEST_KEY_BYTES = (1 << 16) - 1  # docs/gguf.md, gguf_metadata_kv_t
LONGEST_NAME_BYTES = 63  # GGML_MAX_NAME of ggml.h is 64, its ending zero included
MOST_DIMENSIONS = 4  # GGML_MAX_DIMS of ggml.h
LARGEST_SIZE = (1 << 63) - 1  # ggml counts elements as int64_t

# Our own limits: several times what the largest published models have; a file at all limits takes about 300 MiB.
MOST_KEYS = MOST_TENSORS = 1 << 16
MOST_ITEMS = 1 << 21  # of all arrays together
MOST_TEXT_BYTES = 32 << 20  # of all strings together

LEAST_KEY_BYTES = 8 + 1 + 4 + 1  # length, a letter, type, the shortest value
LEAST_TENSOR_BYTES = 8 + 1 + 4 + 4 + 8  # length, a letter, no dimensions, type, offset
PEEK_BYTES = 512
TWO_IN_ONE = "split them there; parts of a model are merged by llama-gguf-split --merge, not by joining files"
REMAKE = "do not load it: convert the model again, or ask who made the file"

U32, U64 = struct.Struct("<I"), struct.Struct("<Q")

Scalar: TypeAlias = bool | int | float | str


class ValueType(IntEnum):
    """The type of a key's value, by its number in the file."""

    UINT8 = 0
    INT8 = 1
    UINT16 = 2
    INT16 = 3
    UINT32 = 4
    INT32 = 5
    FLOAT32 = 6
    BOOL = 7
    STRING = 8
    ARRAY = 9
    UINT64 = 10
    INT64 = 11
    FLOAT64 = 12


# struct's letters; for a string and an array, of the length
CODES = dict(zip(ValueType, "BbHhIif?QQQqd", strict=True))


@dataclass(frozen=True, slots=True)
class Value:
    """The value of a key; for an array, the type of its items and a tuple of them."""

    type: ValueType
    content: Scalar | tuple[Scalar, ...]


@dataclass(frozen=True, slots=True)
class TensorType:
    """How ggml stores numbers: blocks of `block_values` numbers, each block of `block_bytes`."""

    number: int
    name: str
    block_values: int
    block_bytes: int


# ggml.h, enum ggml_type; the figures are those of gguf-py's GGML_QUANT_SIZES. Numbers left out were withdrawn.
_ROWS = (
    *((0, "F32", 1, 4), (1, "F16", 1, 2), (30, "BF16", 1, 2), (28, "F64", 1, 8)),
    *((24, "I8", 1, 1), (25, "I16", 1, 2), (26, "I32", 1, 4), (27, "I64", 1, 8)),
    *((2, "Q4_0", 32, 18), (3, "Q4_1", 32, 20), (6, "Q5_0", 32, 22), (7, "Q5_1", 32, 24)),
    *((8, "Q8_0", 32, 34), (9, "Q8_1", 32, 40), (20, "IQ4_NL", 32, 18), (39, "MXFP4", 32, 17)),
    *((10, "Q2_K", 256, 84), (11, "Q3_K", 256, 110), (12, "Q4_K", 256, 144), (13, "Q5_K", 256, 176)),
    *((14, "Q6_K", 256, 210), (15, "Q8_K", 256, 292), (34, "TQ1_0", 256, 54), (35, "TQ2_0", 256, 66)),
    *((16, "IQ2_XXS", 256, 66), (17, "IQ2_XS", 256, 74), (22, "IQ2_S", 256, 82), (18, "IQ3_XXS", 256, 98)),
    *((40, "NVFP4", 64, 36), (41, "Q1_0", 128, 18), (42, "Q2_0", 64, 18)),  # since b11312
    *((21, "IQ3_S", 256, 110), (19, "IQ1_S", 256, 50), (29, "IQ1_M", 256, 56), (23, "IQ4_XS", 256, 136)),
)
TENSOR_TYPES: Mapping[int, TensorType] = MappingProxyType({row[0]: TensorType(*row) for row in _ROWS})


@dataclass(frozen=True, slots=True)
class Tensor:
    """One row of the tensor table; the size is without the padding after it.

    The shape has the fastest running dimension first, as in ggml; the reverse of numpy's and torch's. The offset is
    in bytes, from the start of the tensor data.
    """

    name: str
    shape: tuple[int, ...]
    type: TensorType
    offset: int
    size_bytes: int


@dataclass(frozen=True)
class GgufFile:
    """The header of a well-formed GGUF file; keys, typed values and tensors are in the file's order.

    Each tensor's offset is a multiple of the alignment; it lies within the file, and no two share a byte. The tensor
    data starts at `data_offset`, in bytes.
    """

    version: int
    alignment: int
    metadata: Mapping[str, Value]
    tensors: tuple[Tensor, ...]
    data_offset: int
    file_size: int


def read_gguf(path: Path) -> GgufFile:
    """Read the keys and the tensor table of an untrusted GGUF file; links are followed.

    A VerifyError is raised if the file cannot be read, is not GGUF, or is malformed.
    """
    try:
        status = path.stat()
        if stat.S_ISDIR(status.st_mode):
            raise _refusal(path, "a GGUF file", "a folder", _name_one(path))
        if not stat.S_ISREG(status.st_mode):  # asked first: opening a pipe would wait for ever
            raise _refusal(path, "a GGUF file", "not a regular file", "name the file itself")
        with path.open("rb") as file:
            return _read(_Cursor(file, path, status.st_size))
    except OSError as error:
        found = error.strerror or type(error).__name__
        raise _refusal(path, "a readable file", found, "check its name and permissions") from error


def _name_one(folder: Path) -> str:
    files = sorted(file.name for file in folder.iterdir() if file.suffix.lower() == ".gguf")
    return f"name a file in it: {shown(', '.join(files))}" if files else "name the .gguf file itself"


def _refusal(path: Path, expected: str, found: str, fix: str) -> VerifyError:
    return VerifyError(where=str(path), expected=expected, found=found, fix=fix)


def escaped(text: str) -> str:
    r"""Return a text of the file, safe to print, without quotes: a terminal would obey some characters.

    >>> escaped("\x1b[2J")
    '\\x1b[2J'
    """
    return repr(text[:SHOWN_CHARACTERS])[1:-1] + "..." * (len(text) > SHOWN_CHARACTERS)


class _Cursor:
    """A position in the file; counts the bytes that remain and what may still be kept in memory."""

    def __init__(self, file: BufferedReader, path: Path, size: int) -> None:
        self.path = path
        self.size = size
        self.left = size
        self._file = file
        self._items_left = MOST_ITEMS
        self._text_left = MOST_TEXT_BYTES

    def refusal(self, expected: str, found: str, fix: str = REMAKE) -> VerifyError:
        return _refusal(self.path, expected, found, fix)

    def peek(self) -> bytes:
        """Return the next bytes without consuming them."""
        return self._file.peek(PEEK_BYTES)[:PEEK_BYTES]

    def at(self, place: int, size_bytes: int) -> bytes:
        """Return bytes of another place of the file; fewer, or none, if it ends before."""
        self._file.seek(place)
        return self._file.read(size_bytes)

    def demand(self, size_bytes: int, what: str) -> None:
        """Refuse the file if fewer bytes remain."""
        if size_bytes > self.left:
            raise self.refusal(
                f"{size_bytes} bytes for {what}, at byte {self.size - self.left}",
                f"{self.left} bytes, then the end of the file: {size_bytes - self.left} are missing",
                fix_of_cut(self.path.name),
            )

    def take(self, size_bytes: int, what: str) -> bytes:
        self.demand(size_bytes, what)
        data = self._file.read(size_bytes)
        if len(data) != size_bytes:
            raise self.refusal(f"{self.size} bytes, as before", "a file that got shorter meanwhile", AGAIN)
        self.left -= size_bytes
        return data

    def number(self, layout: struct.Struct, what: str) -> int:
        return int(layout.unpack(self.take(layout.size, what))[0])

    def text(self, what: str) -> str:
        size_bytes = self.number(U64, what)
        self.demand(size_bytes, what)
        self._text_left -= size_bytes
        if self._text_left < 0:
            raise self.refusal(f"at most {MOST_TEXT_BYTES} bytes of text", f"more of it, with {what}")
        data = self.take(size_bytes, what)
        try:
            return data.decode()
        except UnicodeDecodeError as error:
            raise self.refusal(f"UTF-8 in {what}", shown(data[error.start :])) from error

    def name(self, what: str, longest_bytes: int) -> str:
        """Read a name of a key or tensor: not empty, and the same for C's string functions."""
        name = self.text(what)
        size_bytes = len(name.encode())
        if not 0 < size_bytes <= longest_bytes:
            raise self.refusal(f"1 to {longest_bytes} bytes in {what}", f"{size_bytes}: {shown(name)}")
        if "\0" in name:
            raise self.refusal(f"no zero byte in {what}", shown(name))
        return name

    def kind(self, what: str) -> ValueType:
        number = self.number(U32, what)
        if number not in CODES:
            raise self.refusal(f"a type of {what} that the format has", f"type {number}")
        return ValueType(number)

    def items(self, kind: ValueType, count: int, what: str) -> tuple[Scalar, ...]:
        """Read `count` values of one type."""
        self.demand(count * struct.calcsize("<" + CODES[kind]), what)
        self._items_left -= count
        if self._items_left < 0:
            raise self.refusal(f"at most {MOST_ITEMS} values in all keys", f"more of them, with {what}")
        if kind is ValueType.STRING:
            return tuple(self.text(what) for _ in range(count))
        layout = struct.Struct(f"<{count}{CODES[kind]}")
        data = self.take(layout.size, what)
        if kind is ValueType.BOOL and max(data, default=0) > 1:
            raise self.refusal(f"0 or 1 in {what}", str(max(data)))
        return layout.unpack(data)


def _read(cursor: _Cursor) -> GgufFile:
    version, tensor_count, key_count = _read_start(cursor)
    metadata: dict[str, Value] = {}
    for index in range(key_count):
        name = cursor.name(f"the name of key {index}", LONGEST_KEY_BYTES)
        if name in metadata:
            raise cursor.refusal("each key once", f"{shown(name)} twice")
        metadata[name] = _read_value(cursor, f"key {shown(name)}")
    alignment = _alignment(cursor, metadata)
    tensors = {}
    for index in range(tensor_count):
        tensor = _read_tensor(cursor, index, alignment)
        if tensor.name in tensors:
            raise cursor.refusal("each tensor's name once", f"{shown(tensor.name)} twice")
        tensors[tensor.name] = tensor
    end = cursor.size - cursor.left
    file = GgufFile(
        version=version,
        alignment=alignment,
        metadata=MappingProxyType(metadata),
        tensors=tuple(tensors.values()),
        data_offset=end + -end % alignment,
        file_size=cursor.size,
    )
    _check_layout(cursor, file)
    return file


def _read_start(cursor: _Cursor) -> tuple[int, int, int]:
    start = cursor.peek()
    if not start.startswith(MAGIC):
        raise cursor.refusal(f"the bytes {MAGIC!r} at the start", *name_format(start))
    cursor.take(len(MAGIC), "the magic")
    version = cursor.number(U32, "the version")
    if version not in VERSIONS:
        swapped = int.from_bytes(version.to_bytes(4, "little"), "big")
        if swapped in VERSIONS:
            found, fix = f"a big-endian file of version {swapped}", "convert it with gguf-convert-endian"
        else:
            found, fix = f"version {version}", "convert the model again with the pinned llama.cpp's converter"
        raise cursor.refusal("version 2 or 3, little-endian", found, fix)
    counts = []
    for what, most, least_bytes in (
        ("tensors", MOST_TENSORS, LEAST_TENSOR_BYTES),
        ("keys", MOST_KEYS, LEAST_KEY_BYTES),
    ):
        count = cursor.number(U64, f"the number of {what}")
        if count > most:
            raise cursor.refusal(f"at most {most} {what}", str(count))
        cursor.demand(count * least_bytes, f"{count} {what}")
        counts.append(count)
    return version, counts[0], counts[1]


def _read_value(cursor: _Cursor, what: str) -> Value:
    kind = cursor.kind(what)
    if kind is not ValueType.ARRAY:
        return Value(kind, cursor.items(kind, 1, what)[0])
    kind = cursor.kind(what)
    if kind is ValueType.ARRAY:  # the format allows it; nothing writes it, and llama.cpp refuses it
        raise cursor.refusal(f"no array of arrays in {what}", "one")
    return Value(kind, cursor.items(kind, cursor.number(U64, what), what))


def _alignment(cursor: _Cursor, metadata: Mapping[str, Value]) -> int:
    key = "general.alignment"
    value = metadata.get(key, Value(ValueType.UINT32, DEFAULT_ALIGNMENT))
    size = value.content
    if value.type is not ValueType.UINT32 or not isinstance(size, int):  # llama.cpp would end in an abort
        array = "an array of " if isinstance(size, tuple) else ""
        raise cursor.refusal(f"{key} to be a UINT32", array + value.type.name)
    if not 8 <= size <= LARGEST_ALIGNMENT or size.bit_count() != 1:  # noqa: PLR2004 - docs/gguf.md: a multiple of 8
        raise cursor.refusal(f"{key} to be a power of two from 8 to {LARGEST_ALIGNMENT}", str(size))
    return size


def _read_tensor(cursor: _Cursor, index: int, alignment: int) -> Tensor:
    name = cursor.name(f"the name of tensor {index}", LONGEST_NAME_BYTES)
    what = f"tensor {shown(name)}"
    dimensions = cursor.number(U32, what)
    if dimensions > MOST_DIMENSIONS:
        raise cursor.refusal(f"at most {MOST_DIMENSIONS} dimensions of {what}", str(dimensions))
    shape = struct.unpack(f"<{dimensions}q", cursor.take(8 * dimensions, what))
    number = cursor.number(U32, what)
    offset = cursor.number(U64, what)
    # gguf.cpp divides by dimensions: a zero would end the program
    if min(shape, default=1) < 1:
        raise cursor.refusal(f"dimensions of {what} from 1 on", str(list(shape)))
    if number not in TENSOR_TYPES:
        raise cursor.refusal(f"a type of {what} that ggml has", f"type {number}")
    kind = TENSOR_TYPES[number]
    row = shape[0] if shape else 1
    if row % kind.block_values:
        blocks = f"blocks of {kind.block_values}, as {kind.name} has them"
        raise cursor.refusal(f"rows of {what} made of {blocks}", f"rows of {row}")
    size_bytes = math.prod(shape) // kind.block_values * kind.block_bytes
    if max(math.prod(shape), size_bytes) > LARGEST_SIZE:
        raise cursor.refusal(f"at most {LARGEST_SIZE} values and bytes in {what}", str(list(shape)))
    if offset % alignment:
        raise cursor.refusal(f"an offset of {what} that is a multiple of {alignment}", str(offset))
    return Tensor(name, shape, kind, offset, size_bytes)


def _check_layout(cursor: _Cursor, file: GgufFile) -> None:
    ordered = sorted(file.tensors, key=lambda tensor: tensor.offset)
    for one, other in itertools.pairwise(ordered):
        if one.offset + one.size_bytes > other.offset:
            raise cursor.refusal(
                "tensors that share no byte",
                f"{shown(one.name)} at {one.offset}, {one.size_bytes} bytes,"
                f" and {shown(other.name)} at {other.offset}",
            )
    ends = [file.data_offset + tensor.offset + tensor.size_bytes for tensor in ordered]
    for tensor, end in zip(ordered, ends, strict=True):
        if end > file.file_size:
            raise cursor.refusal(
                f"{ends[-1]} bytes, as the tensor table states",
                f"{file.file_size} bytes: {ends[-1] - file.file_size} are missing,"
                f" from tensor {shown(tensor.name)} on",
                fix_of_cut(cursor.path.name),
            )
    end = max(ends, default=file.data_offset)
    for start in (end, end + -end % file.alignment):
        if cursor.at(start, len(MAGIC)) == MAGIC:
            raise cursor.refusal("one GGUF file", f"two: another one starts at byte {start}", TWO_IN_ONE)
