"""Derives a loader's table from llama.cpp's source. Pure: it is given a way to read files.

The source is not compiled: the calls that read a key have few forms, and each is found by its text. What cannot be
resolved is refused by name, so that a new form is seen when the pins move, and never passed over.
"""

from __future__ import annotations

import re
from collections import defaultdict
from typing import TYPE_CHECKING

from msgspec.structs import replace

from recipes.models.loader.cpp import (
    Blocks,
    arguments,
    block_after,
    declared_type,
    named_strings,
    number_of,
    uncommented,
)
from recipes.models.loader.table import BLOCKS, ITEMS, KeyRead, LoaderTable

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

LOADER = "src/llama-model-loader.cpp"
MODEL = "src/llama-model.cpp"
VOCABULARY = "src/llama-vocab.cpp"
CLIP = "tools/mtmd/clip.cpp"
COMMON = "common/common.cpp"
MODELS_HEADER = "src/models/models.h"
HEADERS = (
    "src/llama-hparams.h",
    "src/llama-model-loader.h",
    "src/llama-model.h",
    "src/llama-vocab.h",
    MODELS_HEADER,
    VOCABULARY,
    MODEL,
)

# GGUFMeta::GKV_Base of llama-model-loader.cpp, and the enums that get_key reads through a uint32_t
C_TYPES = {
    "bool": "BOOL",
    "float": "FLOAT32",
    "std::string": "STRING",
    "uint16_t": "UINT16",
    "uint32_t": "UINT32",
    "int32_t": "INT32",
    "uint64_t": "UINT64",
    "char": "INT8 UINT8",
    "int8_t": "BOOL",  # of an array: gguf keeps a bool in a byte
    "llama_pooling_type": "UINT32",
}
ALIASES = {"int": "int32_t", "llama_token": "int32_t", "enum llama_pooling_type": "llama_pooling_type"}
GETTERS = {
    "u32": "UINT32",
    "i32": "INT32",
    "f32": "FLOAT32",
    "bool": "BOOL",
    "str": "STRING",
    "u16": "UINT16",
}
# docs/gguf.md, gguf_metadata_value_type, without arrays
NUMBERS = (
    *("UINT8", "INT8", "UINT16", "INT16", "UINT32", "INT32"),
    *("FLOAT32", "UINT64", "INT64", "FLOAT64"),
)
EVERY = (*NUMBERS, "BOOL", "STRING")
CALL = re.compile(r"(?<![\w:])(?:ml\.)?(get_key_or_arr|get_key|get_arr_n|get_arr)\(")
FOUND = re.compile(r"(\w+)\s*=\s*gguf_find_key\(\s*[\w.()>-]+?,\s*(.+?)\);")


class UnknownFormError(ValueError):
    """The source reads a key in a form that is not known here."""


def derive_table(read: Callable[[str], str], paths: Iterable[str], tree: str) -> LoaderTable:
    """Return the table of a source; `read` returns a file's text, `paths` are all files of it.

    Raises UnknownFormError where a key is read in a form that is not known here.
    """
    source = _Source(read, tuple(paths))
    hparams = source.text("src/llama-hparams.h")
    names = named_strings(source.text("src/llama-arch.cpp"), "LLM_ARCH_NAMES")
    projectors = named_strings(source.text("tools/mtmd/clip-impl.h"), "PROJECTOR_TYPE_NAMES")
    numbers = re.findall(r"GGML_TYPE_(?!COUNT)\w+\s*=\s*(\d+)", source.text("ggml/include/ggml.h"))
    return LoaderTable(
        tree=tree,
        max_layers=number_of("LLAMA_MAX_LAYERS", hparams),
        max_experts=number_of("LLAMA_MAX_EXPERTS", hparams),
        types=tuple(map(int, numbers)),
        architectures=tuple(sorted(set(names.values()) - {"(unknown)", "clip"})),
        projectors=tuple(sorted(projectors.values())),
        splitters=tuple(sorted(set(re.findall(r'tokenizer_pre == "([^"]+)"', source.text(VOCABULARY))))),
        default_ids=_default_ids(source),
        model=_merged(_ModelReads(source, names).rows()),
        projector=_merged(_clip_rows(source, projectors)),
    )


class _Source:
    def __init__(self, read: Callable[[str], str], paths: tuple[str, ...]) -> None:
        self._read = read
        self.paths = paths
        self._texts: dict[str, str] = {}
        self._blocks: dict[str, Blocks] = {}

    def text(self, path: str) -> str:
        if path not in self._texts:
            self._texts[path] = uncommented(self._read(path)) if path in self.paths else ""
        return self._texts[path]

    def blocks(self, path: str) -> Blocks:
        if path not in self._blocks:
            self._blocks[path] = Blocks(self.text(path))
        return self._blocks[path]


class _ModelReads:
    """The reads of a language model's keys, each with the architectures that do it."""

    def __init__(self, source: _Source, names: Mapping[str, str]) -> None:
        self.source = source
        self.names = names
        self.keys = named_strings(source.text("src/llama-arch.cpp"), "LLM_KV_NAMES")
        self.items = _item_types(source.text(LOADER))
        self.classes = _classes(source.text(MODEL), names)

    def rows(self) -> Iterator[KeyRead]:
        per_model = [path for path in self.source.paths if re.fullmatch(r"src/models/[\w-]+\.cpp", path)]
        for path in (LOADER, MODEL, VOCABULARY, *sorted(per_model)):
            text = self.source.text(path)
            for call in CALL.finditer(text):
                yield from self._call(path, text, call)
            for found in FOUND.finditer(text):
                yield from self._found(text, found)
        yield from self._sampling()

    def _call(self, path: str, text: str, call: re.Match[str]) -> Iterator[KeyRead]:
        words = arguments(text, call.end())
        kinds = re.findall(r"LLM_KV_\w+", words[0])
        if "std::get" in words[0]:  # a list of keys, read in a loop
            kinds = re.findall(r"{ *(LLM_KV_\w+), *special_", text[: call.start()])
        elif words[0] == "kv_split_no":
            kinds = ["LLM_KV_SPLIT_NO"]
        elif not kinds and (
            path == LOADER or words[0] == "kid"
        ):  # a definition, or a helper that is given the key
            return
        if not kinds:
            raise UnknownFormError(f"{path}: {call[1]}({', '.join(words)})")
        of = self._architectures(path, text, call.start())
        for kind in kinds:
            yield self._read(path, text, call, words, self.keys[kind], of)

    def _read(  # noqa: PLR0913, PLR0917 - what a call is made of
        self, path: str, text: str, call: re.Match[str], words: list[str], key: str, of: tuple[str, ...]
    ) -> KeyRead:
        if call[1] == "get_arr_n":  # only counted
            return KeyRead(key, many=EVERY, of=of)
        headers = "\n".join(map(self.source.text, HEADERS))
        declared = declared_type(words[1], text[: call.start()], headers)
        if declared is None:
            raise UnknownFormError(f"{path}: {call[1]}({', '.join(words)}): the type of {words[1]}")
        array = re.fullmatch(r"std::array<\s*([\w:]+)\s*,\s*(\w+)\s*>", declared)
        vector = re.fullmatch(r"std::vector<\s*([\w:]+)\s*>", declared)
        written = array[1] if array else vector[1] if vector else declared
        inner = ALIASES.get(written, written)
        if inner not in C_TYPES:
            raise UnknownFormError(f"{path}: {call[1]}({', '.join(words)}): {declared}")
        one = tuple(C_TYPES[inner].split()) if call[1] != "get_arr" else ()
        many: tuple[str, ...] = ()
        most, length = 0, ITEMS
        if array or vector:
            many = tuple(sorted(self.items["array" if array else "vector"][inner]))
            most = number_of(array[2], self.source.text("src/llama-hparams.h")) if array else 0
        if call[1] == "get_key_or_arr" and array:
            length = _length(words[2])
        return KeyRead(key, one=one, many=many, length=length, most=most, of=of)

    def _found(self, text: str, found: re.Match[str]) -> Iterator[KeyRead]:
        names = re.findall(r"LLM_KV_\w+", found[2])
        if not names and found[2] == "key.c_str()":  # named a line before
            names = re.findall(r"\bkey = [\w.]*llm_kv\((LLM_KV_\w+)\);\s*[\w ]*$", text[: found.start()])
        for name in names:
            yield _raw(self.keys[name], found[1], text[found.end() :])

    def _architectures(self, path: str, text: str, place: int) -> tuple[str, ...]:
        """Return the architectures whose code a place is in; none named: all."""
        if path in {LOADER, VOCABULARY}:
            return ()
        blocks = self.source.blocks(path)
        if path == MODEL:
            return tuple(sorted(self.names[label] for label in blocks.cases(place, r"case (LLM_ARCH_\w+):")))
        methods = [name for head in blocks.around(place) for name in re.findall(r"llama_model_(\w+)::", head)]
        owners = set(methods[:1]) or set(re.findall(r"llama_model_(\w+)::", text))
        found = {name for one in owners for name in self.classes.get(one, ())}
        heirs = re.findall(
            r"struct llama_model_(\w+)\s*:\s*public llama_model_(\w+)", self.source.text(MODELS_HEADER)
        )
        found |= {name for heir, parent in heirs if parent in owners for name in self.classes.get(heir, ())}
        if not found:
            raise UnknownFormError(f"{path}: no architecture has {sorted(owners)}")
        return tuple(sorted(found))

    def _sampling(self) -> Iterator[KeyRead]:
        text = self.source.text(COMMON)
        for kind in ("int32", "float"):
            for name in re.findall(
                rf"get_{kind}\(llama_model_meta_key_str\(LLAMA_MODEL_META_KEY_(\w+)\)", text
            ):
                yield KeyRead(self.keys[f"LLM_KV_GENERAL_{name}"], one=NUMBERS)
        if "LLAMA_MODEL_META_KEY_SAMPLING_SEQUENCE" in text:
            yield KeyRead(self.keys["LLM_KV_GENERAL_SAMPLING_SEQUENCE"], one=("STRING",))
        if "LLM_KV_TOKENIZER_CHAT_TEMPLATE" in self.source.text(MODEL):
            yield KeyRead(self.keys["LLM_KV_TOKENIZER_CHAT_TEMPLATE"], one=("STRING",))


def _item_types(text: str) -> dict[str, dict[str, set[str]]]:
    """Return the types of items that the two get_arr take, by the C++ type that they are read into."""
    found: dict[str, dict[str, set[str]]] = {}
    for name in ("vector", "array"):
        start = re.search(rf"bool llama_model_loader::get_arr\(const std::string & key, std::{name}<", text)
        if start is None:
            raise UnknownFormError(f"{LOADER}: get_arr of std::{name}")
        body = block_after(text, start.end())
        by_type: dict[str, set[str]] = defaultdict(set)
        for labels, checks in re.findall(r"((?:case GGUF_TYPE_\w+:\s*)+)(.*?)break;", body, re.DOTALL):
            for kind in re.findall(r"is_same<T,\s*([\w:]+)>", checks):
                by_type[kind] |= set(re.findall(r"GGUF_TYPE_(\w+)", labels))
        found[name] = by_type
    return found


def _classes(text: str, names: Mapping[str, str]) -> dict[str, set[str]]:
    """Return the architectures of each class of src/models."""
    found: dict[str, set[str]] = defaultdict(set)
    for labels, name in re.findall(r"((?:case LLM_ARCH_\w+:\s*)+)return new llama_model_(\w+)\(", text):
        found[name] |= {names[label] for label in re.findall(r"LLM_ARCH_\w+", labels)}
    return found


def _default_ids(source: _Source) -> dict[str, dict[str, int]]:
    """Return the special tokens that a vocabulary has where its file does not say them."""
    text, blocks = source.text(VOCABULARY), source.blocks(VOCABULARY)
    keys = named_strings(source.text("src/llama-arch.cpp"), "LLM_KV_NAMES")
    named = {
        name: keys[key]
        for key, name in re.findall(r"{ *(LLM_KV_\w+), *special_(\w+)_id *}", text)
        if key in keys
    }
    found: dict[str, dict[str, int]] = defaultdict(dict)
    for default in re.finditer(r"\bspecial_(\w+)_id\s*=\s*(\d+);", text):
        models = [re.findall(r'tokenizer_model == "(\w+)"', head) for head in blocks.around(default.start())]
        for model in models[0] if models else ():
            found[model][named[default[1]]] = int(default[2])
    return {model: dict(sorted(ids.items())) for model, ids in sorted(found.items())}


def _length(word: str) -> str:
    if word.isdecimal():
        return word
    return BLOCKS if "n_layer" in word else ITEMS


def _raw(key: str, index: str, text: str) -> KeyRead:
    """Return how a key is read whose place was looked up: by what the rest of the function does there."""
    end = re.search(r"\n}\n", text)
    text = text[: end.start()] if end else text
    one: set[str] = set()
    many: set[str] = set()
    if re.search(rf"gguf_get_arr_str\([^,]+,\s*{index}\b", text):
        many.add("STRING")
    for kind in re.findall(rf"\(const ([\w:]+)\s*\*\s*\)\s*gguf_get_arr_data\([^,]+,\s*{index}\b", text):
        many |= set(C_TYPES[ALIASES.get(kind, kind)].split())
    for kind in re.findall(rf"gguf_get_val_(\w+)\([^,]+,\s*{index}\b", text):
        one.add(GETTERS[kind])
    if not one and not many:
        raise UnknownFormError(f"{key} is looked up and not read")
    return KeyRead(key, one=tuple(sorted(one)), many=tuple(sorted(many)))


def _clip_rows(source: _Source, projectors: Mapping[str, str]) -> Iterator[KeyRead]:
    text = source.text(CLIP)
    head = source.text("tools/mtmd/clip-impl.h")
    keys = dict(re.findall(r'#define (KEY_\w+)\s+"([^"]+)"', head))
    getters = dict(_clip_getters(text))
    blocks = source.blocks(CLIP)
    for call in re.finditer(r"(?<![\w:])get_(\w+)\((?!const )", text):
        if call[1] not in getters:
            continue
        words = arguments(text, call.end())
        name = re.search(r"KEY_\w+", words[0])
        if name is None:
            raise UnknownFormError(f"{CLIP}: get_{call[1]}({', '.join(words)})")
        labels = blocks.cases(call.start(), r"case (PROJECTOR_TYPE_\w+):")
        of = tuple(sorted(projectors[label] for label in labels))
        one, many = getters[call[1]]
        yield KeyRead(keys[name[0]], one=one, many=many, of=of)
    for found in FOUND.finditer(text):
        if found[2] in keys:
            yield _raw(keys[found[2]], found[1], text[found.end() :])


def _clip_getters(text: str) -> Iterator[tuple[str, tuple[tuple[str, ...], tuple[str, ...]]]]:
    """Yield the type that each of clip.cpp's own getters reads: of one value, of an array's items."""
    for start in re.finditer(r"void get_(\w+)\(const std::string & key,", text):
        body = block_after(text, start.end())
        one = {GETTERS[kind] for kind in re.findall(r"gguf_get_val_(\w+)\(", body)}
        casts = re.findall(r"\(const ([\w:]+)\s*\*\s*\)\s*gguf_get_arr_data", body)
        many = {kind for cast in casts for kind in C_TYPES[ALIASES.get(cast, cast)].split()}
        if len(one) + len(many) != 1:
            raise UnknownFormError(f"{CLIP}: get_{start[1]} reads {sorted(one | many)}")
        yield start[1], (tuple(one), tuple(many))


def _merged(rows: Iterable[KeyRead]) -> tuple[KeyRead, ...]:
    """Return rows sorted by key; reads of the same kind become one, with the architectures of all."""
    found: dict[KeyRead, set[str] | None] = {}
    for row in rows:
        same = replace(row, of=())
        before = found.get(same, set())
        found[same] = None if before is None or not row.of else before | set(row.of)
    merged = [replace(same, of=tuple(sorted(of or ()))) for same, of in found.items()]
    read = {row.key for row in merged if row.many != EVERY}
    merged = [
        row for row in merged if row.many != EVERY or row.key not in read
    ]  # counting says less than reading
    return tuple(sorted(merged, key=lambda row: (row.key, row.one, row.many, row.length, row.most, row.of)))
