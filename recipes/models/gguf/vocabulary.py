"""Checks the vocabulary of a language model: lengths, kinds, ids, bytes, and what Qwen's must have. Pure.

llama.cpp's loader (src/llama-vocab.cpp) reads as many scores and kinds as there are tokens, ends the program where two
tokens are equal, and takes ids of its own where a file has none.
"""

from __future__ import annotations

import re
from collections import Counter
from typing import TYPE_CHECKING

from recipes.models.gguf.other_formats import shown
from recipes.models.gguf.reader import ValueType

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from recipes.models.gguf.findings import Look

TOKENIZER = "tokenizer.ggml."
TOKENS, KINDS, SCORES = (TOKENIZER + name for name in ("tokens", "token_type", "scores"))
NO_TOKENS = ("no_vocab", "none")  # tokenizer.ggml.model of a model that takes no text
# Unknown, control, user defined: the types of tokens that llama.cpp finds in a text before it splits the text.
SPECIAL_KINDS = (2, 3, 4)
BYTE_KIND = 6
MOST_KIND = 6  # LLAMA_TOKEN_TYPE_BYTE of llama.h, the last one
BYTE_TOKEN = re.compile(r"<0x[0-9A-Fa-f]{2}>")
BYTE_MODELS = ("llama", "plamo2")  # they read two digits out of each token that begins as a byte's does
LIKE_BYTE = re.compile(r"(?s)<0x..>")
IMAGE_MARKERS = ("<|vision_start|>", "<|vision_end|>")  # mtmd.cpp puts them around an image


def lint_vocabulary(look: Look, default_ids: Mapping[str, Mapping[str, int]]) -> int:
    """Check what any vocabulary must have; return the number of tokens, 0 if there are none.

    `default_ids` are the ids that llama.cpp takes where a key is missing, by tokenizer.ggml.model and key.
    """
    model = look.text(TOKENIZER + "model")
    if model in NO_TOKENS:
        return 0
    tokens = [str(token) for token in look.many(TOKENS, ValueType.STRING) or ()]
    if not tokens:
        look.error(TOKENS, "has no token")
        return 0
    kinds: Sequence[object] = ()
    if KINDS in look.file.metadata:
        kinds = look.many(KINDS, ValueType.INT32, length=len(tokens)) or ()
    if SCORES in look.file.metadata:
        look.many(SCORES, ValueType.FLOAT32, ValueType.INT32, length=len(tokens))
    wrong = [kind for kind in kinds if isinstance(kind, int) and not 0 <= kind <= MOST_KIND]
    if wrong:
        look.error(KINDS, f"has {wrong[0]}, which is no kind of token")
    _lint_repeated(look, tokens)
    _lint_ids(look, len(tokens), default_ids.get(model, {}))
    for at, token in enumerate(tokens):
        is_byte = at < len(kinds) and kinds[at] == BYTE_KIND
        if (is_byte or (model in BYTE_MODELS and LIKE_BYTE.fullmatch(token))) and not BYTE_TOKEN.fullmatch(
            token
        ):
            look.error(TOKENS, f"has {shown(token)}, which is not a byte as <0x0A> is")
            break
    return len(tokens)


def lint_qwen_vocabulary(look: Look, splitter: str) -> None:
    """Check what the vocabulary of a Qwen model with images has besides; `splitter` is how it splits texts."""
    model, pre = (look.one(TOKENIZER + name, ValueType.STRING) for name in ("model", "pre"))
    if isinstance(model, str) and model != "gpt2":
        look.error(TOKENIZER + "model", f"is {shown(model)}, not 'gpt2'")
    if isinstance(pre, str) and pre != splitter:
        look.warn(TOKENIZER + "pre", f"is {shown(pre)}, not {splitter!r}: texts are split differently")
    merges = look.many(TOKENIZER + "merges", ValueType.STRING) or ()
    unpaired = [merge for merge in map(str, merges) if " " not in merge[1:]]
    if unpaired:
        look.error(TOKENIZER + "merges", f"has {shown(unpaired[0])}, which is not a pair")
    for key in (KINDS, TOKENIZER + "eos_token_id"):
        if key not in look.file.metadata:
            look.error(key, "is missing")
    tokens, kinds = look.items(TOKENS), look.items(KINDS)
    for marker in IMAGE_MARKERS if tokens else ():
        if marker not in tokens:
            look.error(TOKENS, f"has no {marker!r}, which llama.cpp puts around an image")
        elif len(kinds) == len(tokens) and kinds[tokens.index(marker)] not in SPECIAL_KINDS:
            look.error(KINDS, f"makes {marker!r} ordinary text")


def _lint_repeated(look: Look, tokens: Sequence[str]) -> None:
    """Find tokens that are one to llama.cpp: it reads them up to a zero, and gives empty ones a name."""
    read = [token.partition("\0")[0] or f"[EMPTY_{at}]" for at, token in enumerate(tokens)]
    repeated = [token for token, count in Counter(read).items() if count > 1]
    if repeated:
        look.error(TOKENS, f"has {shown(repeated[0])} more than once")


def _lint_ids(look: Look, count: int, default_ids: Mapping[str, int]) -> None:
    for key in look.file.metadata:
        if key.startswith(TOKENIZER) and key.endswith("_token_id"):
            number = look.one(key, ValueType.UINT32)
            if isinstance(number, int) and number >= count:
                look.error(key, f"is {number}, and there are {count} tokens")
    for key, number in default_ids.items():
        if key not in look.file.metadata and number >= count:
            look.error(key, f"is missing, llama.cpp then takes {number}, and there are {count} tokens")
    ids = look.file.metadata.get(TOKENIZER + "suppress_tokens")
    if ids is not None and isinstance(ids.content, tuple):
        beyond = [one for one in ids.content if not isinstance(one, int) or not 0 <= one < count]
        if beyond:
            look.error(TOKENIZER + "suppress_tokens", f"has {beyond[0]}, and there are {count} tokens")
