"""Model files and projectors that lie, made of the pocket model's: a key changed, a table that lies, no GGUF at all."""

from __future__ import annotations

import struct
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, TypeAlias

from recipes.models.gguf.reader import CODES, Value, ValueType, read_gguf

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from pathlib import Path

U8, I32, U32, F32, BOOL, TEXT, U64 = (
    ValueType.UINT8,
    ValueType.INT32,
    ValueType.UINT32,
    ValueType.FLOAT32,
    ValueType.BOOL,
    ValueType.STRING,
    ValueType.UINT64,
)
HUGE, MOST = (1 << 64) - 1, (1 << 32) - 1
NAN, INFINITY = float("nan"), float("inf")
ARCH = "qwen3vlmoe"


@dataclass(frozen=True)
class Row:
    """A row of the tensor table, as it is written."""

    name: bytes
    shape: tuple[int, ...]
    type: int
    offset: int


@dataclass(frozen=True)
class Draft:
    """A GGUF file that can be changed; counts are those of its lists where none are named."""

    keys: Mapping[str, Value]
    rows: tuple[Row, ...]
    data: bytes
    version: int = 3
    key_count: int | None = None
    row_count: int | None = None
    before: bytes = b""  # keys as they are written, before the others

    def encode(self) -> bytes:
        """Return the file."""
        rows = len(self.rows) if self.row_count is None else self.row_count
        keys = len(self.keys) if self.key_count is None else self.key_count
        head = b"GGUF" + struct.pack("<IQQ", self.version, rows, keys) + self.before
        head += b"".join(packed_text(name.encode()) + packed(value) for name, value in self.keys.items())
        for row in self.rows:
            sizes = struct.pack(f"<I{len(row.shape)}Q", len(row.shape), *row.shape)
            head += packed_text(row.name) + sizes + struct.pack("<IQ", row.type & MOST, row.offset & HUGE)
        return head + bytes(-len(head) % 32) + self.data


def packed_text(data: bytes) -> bytes:
    """Return a text with its length."""
    return struct.pack("<Q", len(data)) + data


def packed(value: Value) -> bytes:
    """Return a typed value as a file has it."""
    items = value.content if isinstance(value.content, tuple) else (value.content,)
    if value.type is TEXT:
        raw = b"".join(packed_text(str(item).encode("utf-8", "surrogateescape")) for item in items)
    else:
        raw = struct.pack(f"<{len(items)}{CODES[value.type]}", *items)
    if isinstance(value.content, tuple):
        return struct.pack("<IIQ", ValueType.ARRAY, value.type, len(items)) + raw
    return struct.pack("<I", value.type) + raw


def read_draft(path: Path) -> Draft:
    """Return a sound file as a draft."""
    file = read_gguf(path)
    rows = tuple(Row(t.name.encode(), t.shape, t.type.number, t.offset) for t in file.tensors)
    return Draft(file.metadata, rows, path.read_bytes()[file.data_offset :])


def with_keys(**changes: tuple[ValueType, object] | None) -> Callable[[Draft], bytes]:
    """Return what changes, adds or (None) leaves out keys; two underlines stand for a dot in a name."""

    def change(draft: Draft) -> bytes:
        keys = dict(draft.keys)
        for name, new in changes.items():
            key = name.replace("__", ".")
            if new is None:
                keys.pop(key, None)
            else:
                keys[key] = Value(new[0], new[1])  # type: ignore[arg-type]
        return replace(draft, keys=keys).encode()

    return change


def key(name: str, kind: ValueType, content: object) -> Callable[[Draft], bytes]:
    """Return what changes one key."""
    return with_keys(**{name.replace(".", "__"): (kind, content)})


def with_row(**fields: object) -> Callable[[Draft], bytes]:
    """Return what changes the third row of the tensor table."""

    def change(draft: Draft) -> bytes:
        rows = list(draft.rows)
        rows[2] = replace(rows[2], **fields)  # type: ignore[arg-type]
        return replace(draft, rows=tuple(rows)).encode()

    return change


def raw(start: bytes, zeros: int = 64) -> Callable[[Draft], bytes]:
    """Return a file that is no model."""
    return lambda _: start + bytes(zeros)


def tokens(index: int, text: str, **more: tuple[ValueType, object]) -> Callable[[Draft], bytes]:
    """Return what changes one token of the vocabulary, and other keys."""

    def change(draft: Draft) -> bytes:
        listed = list(draft.keys["tokenizer.ggml.tokens"].content)  # type: ignore[arg-type]
        listed[index] = text
        return with_keys(tokenizer__ggml__tokens=(TEXT, tuple(listed)), **more)(draft)

    return change


def template(text: str) -> Callable[[Draft], bytes]:
    """Return what changes the chat template."""
    return key("tokenizer.chat_template", TEXT, text)


TEMPLATES = {
    "a macro that calls itself": "{% macro f(a) %}{{ f(a) }}{% endmacro %}{{ f(1) }}",
    "two macros that call each other": "{% macro f() %}{{ g() }}{% endmacro %}"
    "{% macro g() %}{{ f() }}{% endmacro %}{{ f() }}",
    "loops in loops": "{% for a in range(9999) %}" * 4 + "x" + "{% endfor %}" * 4,
    "a loop of 2 to the 31st": "{% for a in range(2147483647) %}x{% endfor %}",
    "a text doubled 60 times": "{% set ns = namespace(a='x') %}"
    "{% for i in range(60) %}{% set ns.a = ns.a + ns.a %}{% endfor %}{{ ns.a }}",
    "a text times a thousand million": "{{ 'x' * 1000000000 }}",
    "a list doubled": "{% set ns = namespace(a=[1]) %}{% for i in range(60) %}{% set ns.a = ns.a + ns.a %}{% endfor %}",
    "20,000 parentheses": "{{ " + "(" * 20_000 + "1" + ")" * 20_000 + " }}",
    "5,000 conditions in each other": "{% if true %}" * 5000 + "x" + "{% endif %}" * 5000,
    "20,000 lists in each other": "{{ " + "[" * 20_000 + "]" * 20_000 + " }}",
    "20,000 signs": "{{ " + "not " * 20_000 + "1 }}",
    "a division by zero": "{{ 1 / 0 }}{{ 1 // 0 }}{{ 1 % 0 }}",
    "the least number divided by -1": "{{ (-9223372036854775807 - 1) // -1 }}{{ (-9223372036854775807 - 1) % -1 }}",
    "indices out of range": "{{ messages[99999999] }}{{ messages[-99999999] }}{{ 'abc'[5] }}{{ [][0] }}",
    "slices of nothing": "{{ messages[::0] }}{{ 'abc'[9999999999:-9999999999:-1] }}",
    "names that are not there": "{{ a.b.c.d() }}{{ none.x }}{{ messages.nothing(1)(2) }}",
    "never closed": "{% for a in messages %}{{ a",
    "5 MB": "x" * 5_000_000,
    "an error of its own": "{{ raise_exception('no') }}",
    "a range backwards": "{{ range(0, 9, 0) }}{{ range(9, -9223372036854775807, -1) }}",
    "a list that holds itself": "{% set a = [1] %}{{ a.append(a) }}{{ a }}{{ a | tojson }}",
    "a format": "{{ '%s%n%9999999999d' | format(1) }}{{ strftime_now('%' * 9999) }}",
}

Changes: TypeAlias = "dict[str, Callable[[Draft], bytes]]"


def _arch(name: str) -> str:
    return f"{ARCH}.{name}"


MODEL: Changes = {
    "scores of one byte": key("tokenizer.ggml.scores", U8, (1,)),
    "one score": key("tokenizer.ggml.scores", F32, (1.0,)),
    "scores that are texts": key("tokenizer.ggml.scores", TEXT, ("a",) * 512),
    "token types of bytes": key("tokenizer.ggml.token_type", U8, (1,) * 512),
    "one token type": key("tokenizer.ggml.token_type", I32, (1,)),
    "token types out of range": key("tokenizer.ggml.token_type", I32, (-(1 << 31), (1 << 31) - 1) * 256),
    "token types of texts": key("tokenizer.ggml.token_type", TEXT, ("a",) * 512),
    "tokens that are numbers": key("tokenizer.ggml.tokens", I32, (1,) * 512),
    "tokens that are bytes": key("tokenizer.ggml.tokens", U8, (1,) * 512),
    "one token": key("tokenizer.ggml.tokens", TEXT, ("a",)),
    "no tokens": key("tokenizer.ggml.tokens", TEXT, ()),
    "tokens in one text": key("tokenizer.ggml.tokens", TEXT, "a"),
    "equal tokens": key("tokenizer.ggml.tokens", TEXT, ("a",) * 512),
    "empty tokens": key("tokenizer.ggml.tokens", TEXT, ("",) * 512),
    "tokens of broken letters": key("tokenizer.ggml.tokens", TEXT, ("\udcff\udcfe",) * 512),
    "a token of 5 MB": tokens(5, "a" * 5_000_000),
    "a million tokens": key("tokenizer.ggml.tokens", TEXT, tuple(map(str, range(1_000_000)))),
    "merges of bytes": key("tokenizer.ggml.merges", U8, (1,) * 1000),
    "merges without a blank": key("tokenizer.ggml.merges", TEXT, ("ab", "", " ", "a  b")),
    "no merges": with_keys(tokenizer__ggml__merges=None),
    "eos out of range": key("tokenizer.ggml.eos_token_id", U32, MOST),
    "bos out of range": key("tokenizer.ggml.bos_token_id", U32, 512),
    "padding out of range": key("tokenizer.ggml.padding_token_id", U32, 1 << 31),
    "other control tokens out of range": with_keys(
        **{
            f"tokenizer__ggml__{name}_token_id": (U32, 1 << 30)
            for name in ("eot", "eom", "fim_pre", "fim_suf", "unknown", "mask")
        }
    ),
    "eos that is a text": key("tokenizer.ggml.eos_token_id", TEXT, "a"),
    "eos that is a list": key("tokenizer.ggml.eos_token_id", U32, (1, 2)),
    "add_bos that is a text": key("tokenizer.ggml.add_bos_token", TEXT, "yes"),
    "a tokenizer nobody knows": key("tokenizer.ggml.model", TEXT, "nothing"),
    "a tokenizer's name that is a list": key("tokenizer.ggml.model", TEXT, ("gpt2", "gpt2")),
    "no tokenizer": key("tokenizer.ggml.model", TEXT, "none"),
    "sentencepiece without scores": key("tokenizer.ggml.model", TEXT, "llama"),
    "sentencepiece with short scores": with_keys(
        tokenizer__ggml__model=(TEXT, "llama"), tokenizer__ggml__scores=(F32, (1.0,))
    ),
    "wordpiece": key("tokenizer.ggml.model", TEXT, "bert"),
    "unigrams with a map of 5 bytes": with_keys(
        tokenizer__ggml__model=(TEXT, "t5"), tokenizer__ggml__precompiled_charsmap=(U8, (255,) * 5)
    ),
    "unigrams with a map that points beyond it": with_keys(
        tokenizer__ggml__model=(TEXT, "t5"),
        tokenizer__ggml__precompiled_charsmap=(U8, (255, 255, 255, 127) + (7,) * 4000),
    ),
    "rwkv": key("tokenizer.ggml.model", TEXT, "rwkv"),
    "rwkv with broken escapes": tokens(5, "'\\x", tokenizer__ggml__model=(TEXT, "rwkv")),
    "plamo2 with a byte below 0": tokens(5, "<0x-1>", tokenizer__ggml__model=(TEXT, "plamo2")),
    "plamo2 with a byte above 255": tokens(5, "<0xFFFFFFF>", tokenizer__ggml__model=(TEXT, "plamo2")),
    "a splitter nobody knows": key("tokenizer.ggml.pre", TEXT, "nothing"),
    "385 experts": key(_arch("expert_count"), U32, 385),
    "513 experts": key(_arch("expert_count"), U32, 513),
    "no experts": key(_arch("expert_count"), U32, 0),
    "more experts used than there are": key(_arch("expert_used_count"), U32, 9),
    "2 to the 32nd experts": with_keys(
        **{f"{ARCH}__expert_count": (U32, MOST), f"{ARCH}__expert_used_count": (U32, MOST)}
    ),
    "no layers": key(_arch("block_count"), U32, 0),
    "513 layers": key(_arch("block_count"), U32, 513),
    "2 to the 32nd layers": key(_arch("block_count"), U32, MOST),
    "no heads": key(_arch("attention.head_count"), U32, 0),
    "2 to the 31st heads": key(_arch("attention.head_count"), U32, 1 << 31),
    "no heads of keys": key(_arch("attention.head_count_kv"), U32, 0),
    "heads in a short list": key(_arch("attention.head_count"), U32, (4,)),
    "heads in a long list": key(_arch("attention.head_count"), U32, (4,) * 10_000),
    "heads of texts": key(_arch("attention.head_count_kv"), TEXT, ("2", "2", "2")),
    "keys of length 0": key(_arch("attention.key_length"), U32, 0),
    "keys of 2 to the 31st": key(_arch("attention.key_length"), U32, 1 << 31),
    "a width of 0": key(_arch("embedding_length"), U32, 0),
    "a width of 2 to the 31st": key(_arch("embedding_length"), U32, 1 << 31),
    "a context of 0": key(_arch("context_length"), U32, 0),
    "a context of 2 to the 32nd": key(_arch("context_length"), U32, MOST),
    "one rope section": key(_arch("rope.dimension_sections"), I32, (14,)),
    "a hundred rope sections": key(_arch("rope.dimension_sections"), I32, (14,) * 100),
    "rope sections below 0": key(_arch("rope.dimension_sections"), I32, (-14, 10, 8, 0)),
    "rope sections of 0": key(_arch("rope.dimension_sections"), I32, (0, 0, 0, 0)),
    "rope sections of texts": key(_arch("rope.dimension_sections"), TEXT, ("a",) * 4),
    "rope dimensions that are odd": key(_arch("rope.dimension_count"), U32, 63),
    "rope dimensions of 2 to the 31st": key(_arch("rope.dimension_count"), U32, 1 << 31),
    "a frequency of 0": key(_arch("rope.freq_base"), F32, 0.0),
    "a frequency that is no number": key(_arch("rope.freq_base"), F32, NAN),
    "an epsilon below 0": key(_arch("attention.layer_norm_rms_epsilon"), F32, -1.0),
    "an epsilon that is no number": key(_arch("attention.layer_norm_rms_epsilon"), F32, NAN),
    "2 to the 32nd deepstack layers": key(_arch("n_deepstack_layers"), U32, MOST),
    "an architecture nobody knows": key("general.architecture", TEXT, "nothing"),
    "an architecture without a name": key("general.architecture", TEXT, ""),
    "an architecture's name of 1 MB": key("general.architecture", TEXT, "a" * 1_000_000),
    "an architecture that is a number": key("general.architecture", U32, 7),
    "the projector's architecture": key("general.architecture", TEXT, "clip"),
    "another architecture": key("general.architecture", TEXT, "llama"),
    "an alignment of 0": key("general.alignment", U32, 0),
    "an alignment of 3": key("general.alignment", U32, 3),
    "an alignment of 2 to the 31st": key("general.alignment", U32, 1 << 31),
    "an alignment that is a text": key("general.alignment", TEXT, "32"),
    "part 6 of 2": with_keys(
        split__count=(ValueType.UINT16, 2), split__no=(ValueType.UINT16, 5), split__tensors__count=(I32, 39)
    ),
    "65,535 parts": with_keys(
        split__count=(ValueType.UINT16, 65_535),
        split__no=(ValueType.UINT16, 0),
        split__tensors__count=(I32, -1),
    ),
    "an adapter": with_keys(
        general__type=(TEXT, "adapter"), adapter__type=(TEXT, "lora"), adapter__lora__alpha=(F32, 1.0)
    ),
    "a name of 10 MB": key("general.name", TEXT, "n" * 10_000_000),
    "50,000 more keys": with_keys(**{f"a{n}": (U8, 1) for n in range(50_000)}),
    "a list of a million": key("general.tags", U8, (1,) * 1_000_000),
    "a tensor of no size": with_row(shape=(0, 256)),
    "a tensor of 2 to the 63rd": with_row(shape=(1 << 63, 2)),
    "a tensor of sizes that overflow": with_row(shape=(1 << 32, 1 << 32, 2)),
    "a tensor below 0": with_row(shape=((-5) & HUGE, 256)),
    "a tensor of five sizes": with_row(shape=(2, 2, 2, 2, 2)),
    "a tensor of 2 to the 32nd sizes": with_row(shape=(2,) * 5000),
    "a tensor of a type nobody knows": with_row(type=99),
    "a tensor of a type that was withdrawn": with_row(type=4),
    "a tensor of type -1": with_row(type=-1),
    "a tensor of blocks that do not fit": with_row(type=12),
    "a tensor beyond the end": with_row(offset=1 << 40),
    "a tensor at 2 to the 64th": with_row(offset=HUGE - 31),
    "a tensor over another": with_row(offset=0),
    "a tensor that is not aligned": with_row(offset=33),
    "a tensor of another shape": with_row(shape=(64, 8)),
    "a tensor without a name": with_row(name=b""),
    "a tensor's name of 1 MB": with_row(name=b"n" * 1_000_000),
    "a tensor's name with a zero": with_row(name=b"blk.0\0attn_q.weight"),
    "a tensor missing": lambda draft: replace(draft, rows=draft.rows[:2] + draft.rows[3:]).encode(),
    "a tensor twice": lambda draft: replace(draft, rows=(*draft.rows, draft.rows[2])).encode(),
    "no tensors": lambda draft: replace(draft, rows=()).encode(),
    "2 to the 63rd tensors": lambda draft: replace(draft, row_count=1 << 63).encode(),
    "2 to the 64th keys": lambda draft: replace(draft, key_count=HUGE).encode(),
    "a key twice": lambda draft: replace(
        draft, key_count=len(draft.keys) + 1, before=packed_text(b"general.name") + packed(Value(U8, 1))
    ).encode(),
    "a key whose text has 8 GB": lambda draft: replace(
        draft, key_count=1, before=packed_text(b"a") + struct.pack("<IQ", 8, 8 << 30)
    ).encode()[:72],
    "a list of 2 to the 64th": lambda draft: replace(
        draft, key_count=1, before=packed_text(b"a") + struct.pack("<IIQ", 9, 0, HUGE)
    ).encode(),
    "lists in lists": lambda draft: replace(
        draft,
        key_count=len(draft.keys) + 1,
        before=packed_text(b"a") + struct.pack("<IIQ", 9, 9, 1) + struct.pack("<IQ", 9, 1) * 9,
    ).encode(),
    "a key of a type nobody knows": lambda draft: replace(
        draft, before=packed_text(b"a") + struct.pack("<IQ", 99, 1)
    ).encode(),
    "version 1": lambda draft: replace(draft, version=1).encode(),
    "version 99": lambda draft: replace(draft, version=99).encode(),
    "big-endian": lambda draft: replace(draft, version=3 << 24).encode(),
    "weights cut": lambda draft: draft.encode()[:-1_000_000],
    "weights of no numbers": lambda draft: replace(draft, data=b"\xff" * len(draft.data)).encode(),
    "weights of infinity": lambda draft: replace(draft, data=b"\x00\x7c" * (len(draft.data) // 2)).encode(),
    "the header alone": lambda draft: draft.encode()[:24],
    "nothing": lambda _: b"",
    "GGJT": raw(b"tjgg\x03\0\0\0"),
    "a web page": raw(b"<html>404</html>", 0),
    "a pickle": raw(b"\x80\x04\x95"),
    "a zip": raw(b"PK\x03\x04"),
} | {f"template: {name}": template(text) for name, text in TEMPLATES.items()}


def _clip(name: str) -> str:
    return f"clip.vision.{name}"


MMPROJ: Changes = {
    "a million layers of bytes": key(_clip("feature_layer"), U8, (1,) * 1_000_000),
    "layers of features below 0": key(_clip("feature_layer"), I32, (-1, -99, 1 << 30)),
    "features of texts": key(_clip("feature_layer"), TEXT, ("a",)),
    "one mean": key(_clip("image_mean"), F32, (0.5,)),
    "no means": key(_clip("image_mean"), F32, ()),
    "means of bytes": key(_clip("image_mean"), U8, (1, 1, 1)),
    "means that are a number": key(_clip("image_mean"), F32, 0.5),
    "deviations of 0": key(_clip("image_std"), F32, (0.0, 0.0, 0.0)),
    "deviations that are no numbers": key(_clip("image_std"), F32, (NAN, INFINITY, -INFINITY)),
    "patches of 0": key(_clip("patch_size"), U32, 0),
    "patches of 2 to the 31st": key(_clip("patch_size"), U32, 1 << 31),
    "images of 0": key(_clip("image_size"), U32, 0),
    "images of 2 to the 32nd": key(_clip("image_size"), U32, MOST),
    "pixels from most to least": with_keys(
        clip__vision__image_min_pixels=(U32, MOST), clip__vision__image_max_pixels=(U32, 1)
    ),
    "pixels without end": key(_clip("image_max_pixels"), U32, MOST),
    "no pixels": with_keys(clip__vision__image_min_pixels=(U32, 0), clip__vision__image_max_pixels=(U32, 0)),
    "cells of 0": key(_clip("spatial_merge_size"), U32, 0),
    "cells of 2 to the 31st": key(_clip("spatial_merge_size"), U32, 1 << 31),
    "cells of 3": key(_clip("spatial_merge_size"), U32, 3),
    "no layers": key(_clip("block_count"), U32, 0),
    "2 to the 32nd layers": key(_clip("block_count"), U32, MOST),
    "no heads": key(_clip("attention.head_count"), U32, 0),
    "2 to the 31st heads": key(_clip("attention.head_count"), U32, 1 << 31),
    "a width of 0": key(_clip("embedding_length"), U32, 0),
    "a width of 2 to the 32nd": key(_clip("embedding_length"), U32, MOST),
    "another width of the model": key(_clip("projection_dim"), U32, 7),
    "an epsilon below 0": key(_clip("attention.layer_norm_epsilon"), F32, -1.0),
    "one deepstack layer": key(_clip("is_deepstack_layers"), BOOL, (True,)),
    "all deepstack layers": key(_clip("is_deepstack_layers"), BOOL, (True,) * 6),
    "1,000 deepstack layers": key(_clip("is_deepstack_layers"), BOOL, (True,) * 1000),
    "deepstack layers of numbers": key(_clip("is_deepstack_layers"), I32, (7,) * 6),
    "no vision": with_keys(clip__has_vision_encoder=(BOOL, False)),
    "sound as well": with_keys(clip__has_audio_encoder=(BOOL, True)),
    "a vision that is a text": key("clip.has_vision_encoder", TEXT, "yes"),
    "the model's architecture": key("general.architecture", TEXT, ARCH),
    "windows of 0": with_keys(clip__vision__n_wa_pattern=(U32, 0), clip__vision__window_size=(U32, 0)),
    "grids that are odd": key(_clip("image_grid_pinpoints"), I32, (224, 448, 7)),
    "a hundred grids": key(_clip("image_grid_pinpoints"), I32, (224,) * 200),
    "a tensor of no size": with_row(shape=(0, 128)),
    "a tensor of another shape": with_row(shape=(3, 3)),
    "a tensor of a type nobody knows": with_row(type=99),
    "a tensor beyond the end": with_row(offset=1 << 40),
    "a tensor missing": lambda draft: replace(draft, rows=draft.rows[:2] + draft.rows[3:]).encode(),
    "weights cut": lambda draft: draft.encode()[:-1_000_000],
    "weights of no numbers": lambda draft: replace(draft, data=b"\xff" * len(draft.data)).encode(),
    "the header alone": lambda draft: draft.encode()[:24],
} | {
    f"a projector of type {name!r}": key("clip.projector_type", TEXT, name)
    for name in (
        "",
        "nothing",
        "ldp",
        "resampler",
        "gemma3",
        "qwen2vl_merger",
        "minicpmv",
        "granite_vision",
        "ultravox",
    )
}


def drafts(model: Path, mmproj: Path) -> Iterator[tuple[str, str, Callable[[Draft], bytes], Draft]]:
    """Give each attack by a file: its role, its name, what makes it, and of which draft."""
    for role, path, changes in (("model", model, MODEL), ("mmproj", mmproj, MMPROJ)):
        draft = read_draft(path)
        for name, change in changes.items():
            yield role, name, change, draft
