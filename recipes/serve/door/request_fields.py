"""What the fields of a request may be: a table of ranges, and of how long lists and texts may be. Pure.

Derived from what b6751, b7827 and b11312 read (tools/server: server.cpp and utils.hpp, server-task.cpp,
server-schema.cpp) and from OpenAI's API. A field that is not here is passed on as it is; so is null, which means the
server's default.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from recipes.serve.door.refusal import BAD_REQUEST, RefusedError

if TYPE_CHECKING:
    from collections.abc import Mapping

TOKENS = 1 << 20  # more than any context here
LONG = 1 << 63
DAY_MS = 86_400_000
MOST_ANSWERS = 8  # `n`
MOST_IMAGES = 32
MOST_PROBS = 100  # candidates for each token; OpenAI allows 20
MOST_GRAMMAR = 1 << 16  # characters
MOST_PARENTHESES = 64
MOST_NAME = 1000  # characters of a name or a word
MOST_TEXT = 1 << 22  # characters of all texts; with a long context, as many for each of its tokens as follow
TEXT_PER_TOKEN = 128
MEDIA = frozenset(
    ("url", "image_url", "video_url", "data", "frames", "multimodal_data")
)  # whose text is a file's


@dataclass(frozen=True)
class Number:
    """A number of a range, both ends included; whole ones may be written as 4.0."""

    least: float
    most: float
    whole: bool = False


@dataclass(frozen=True)
class Items:
    """A list of at most so many items, or an object of as many names."""

    most: int
    texts: bool = False  # each is a text of at most MOST_NAME characters
    or_text: bool = False  # or one text alone
    named: bool = False  # or an object


TOKEN_COUNT = Number(-1, TOKENS, whole=True)
SIZE = Number(0, TOKENS, whole=True)
SHARE = Number(0, 1)
WIDE = Number(0, 1000)
PENALTY = Number(-100, 100)
TIME_MS = Number(-1, DAY_MS, whole=True)

NUMBERS: Mapping[str, Number] = {
    **dict.fromkeys(("max_tokens", "max_completion_tokens", "max_output_tokens", "n_predict"), TOKEN_COUNT),
    **dict.fromkeys(("n_keep", "repeat_last_n", "dry_penalty_last_n"), TOKEN_COUNT),
    **dict.fromkeys(("reasoning_budget_tokens", "thinking_budget_tokens"), TOKEN_COUNT),
    **dict.fromkeys(("n_discard", "n_cache_reuse", "min_keep", "dry_allowed_length"), SIZE),
    **dict.fromkeys(("top_p", "min_p", "xtc_probability", "xtc_threshold", "typical_p", "typ_p"), SHARE),
    **dict.fromkeys(("dry_multiplier", "dry_base", "mirostat_tau", "mirostat_eta"), WIDE),
    **dict.fromkeys(("frequency_penalty", "presence_penalty"), PENALTY),
    **dict.fromkeys(("temperature", "dynatemp_range", "dynatemp_exponent", "repeat_penalty"), Number(0, 100)),
    **dict.fromkeys(("t_max_predict_ms", "t_max_prompt_ms"), TIME_MS),
    **dict.fromkeys(("n", "n_cmpl", "best_of"), Number(1, MOST_ANSWERS, whole=True)),
    **dict.fromkeys(("n_probs", "top_logprobs"), Number(0, MOST_PROBS, whole=True)),
    "top_k": TOKEN_COUNT,
    "top_n_sigma": PENALTY,
    "n_indent": Number(0, 1000, whole=True),
    "mirostat": Number(0, 2, whole=True),
    "adaptive_target": Number(-100, 1),
    "adaptive_decay": Number(0, 0.99),
    "seed": Number(-LONG, LONG, whole=True),
    "sse_ping_interval": Number(-1, 86_400, whole=True),
    "top_n": SIZE,
}
LISTS: Mapping[str, Items] = {
    "messages": Items(4096),
    "tools": Items(128),
    "functions": Items(128),
    "stop": Items(64, texts=True, or_text=True),
    "stop_sequences": Items(64, texts=True),
    "logit_bias": Items(4096, named=True),
    "samplers": Items(64, texts=True, or_text=True),
    "dry_sequence_breakers": Items(64, texts=True),
    "preserved_tokens": Items(1024, texts=True),
    "grammar_triggers": Items(64),
    "response_fields": Items(64, texts=True),
    "lora": Items(64),
    "reasoning_budget_end_tags": Items(64, texts=True),
    "input_extra": Items(1024),
    "documents": Items(4096),
    "stream_options": Items(16, named=True),
    "response_format": Items(16, named=True),
    "chat_template_kwargs": Items(64, named=True),
    "metadata": Items(64, named=True),
}
BOOLEANS = frozenset(
    (
        *("stream", "cache_prompt", "return_tokens", "ignore_eos", "timings_per_token", "return_progress"),
        *("post_sampling_probs", "parallel_tool_calls", "add_generation_prompt", "grammar_lazy", "verbose"),
        *("add_special", "parse_special", "with_pieces", "backend_sampling", "reasoning_control"),
        *("parse_tool_calls", "multi_answer"),
    )
)
TEXTS = frozenset(("model", "user", "reasoning_format", "reasoning_effort", "grammar_type"))


def judge_fields(request: Mapping[str, object], slots: int) -> None:
    """Raise a RefusedError that names the first field of a request that is out of its range; `slots` is how many."""
    for name, value in request.items():
        if value is None:
            continue
        if name in NUMBERS:
            _number(name, value, NUMBERS[name])
        elif name == "id_slot":
            _number(name, value, Number(-1, slots - 1, whole=True))
        elif name == "logprobs" and not isinstance(value, bool):
            _number(name, value, NUMBERS["n_probs"])
        elif name in LISTS:
            _items(name, value, LISTS[name])
        elif name in BOOLEANS and not isinstance(value, bool):
            raise _refused(name, "true or false", value)
        elif name in TEXTS:
            _text(name, value)
        elif name == "grammar":
            _grammar(value)
    _triggers(request.get("grammar_triggers"))


def judge_text(request: Mapping[str, object], context: int) -> None:
    """Raise a RefusedError for texts that no context of so many tokens can hold, before more is made of them."""
    most = max(MOST_TEXT, context * TEXT_PER_TOKEN)
    if (found := text_length(request)) > most:
        message = f"the request has {found:,} characters of text; at most {most:,} for {context:,} tokens of context"
        raise RefusedError(BAD_REQUEST, message)


def text_length(value: object) -> int:
    """Return how many characters all texts in a value of JSON have, files that it holds apart.

    >>> text_length({"a": ["bc", {"url": "data:,"}]})
    2
    """
    if isinstance(value, str):
        return len(value)
    if isinstance(value, dict):
        return sum(text_length(item) for name, item in value.items() if name not in MEDIA)
    return sum(map(text_length, value)) if isinstance(value, list) else 0


def _number(name: str, value: object, allowed: Number) -> None:
    if (
        isinstance(value, int | float)
        and not isinstance(value, bool)
        and allowed.least <= value <= allowed.most
        and (not allowed.whole or value == int(value))
    ):
        return
    kind = "a whole number" if allowed.whole else "a number"
    raise _refused(name, f"{kind} from {allowed.least:g} to {allowed.most:g}", value)


def _items(name: str, value: object, allowed: Items) -> None:
    if isinstance(value, str) and allowed.or_text:
        _text(name, value)
        return
    if not (isinstance(value, list) or (allowed.named and isinstance(value, dict))):
        raise _refused(name, "an object" if allowed.named else "a list", value)
    if len(value) > allowed.most:
        raise RefusedError(BAD_REQUEST, f"'{name}' has {len(value)} items; at most {allowed.most}", name)
    if allowed.texts:
        for item in value:
            _text(name, item)


def _text(name: str, value: object) -> None:
    if not isinstance(value, str) or len(value) > MOST_NAME:
        raise _refused(name, f"text of at most {MOST_NAME} characters", value)


def _grammar(value: object) -> None:
    if not isinstance(value, str) or len(value) > MOST_GRAMMAR:
        raise _refused("grammar", f"text of at most {MOST_GRAMMAR} characters", value)
    if value.lstrip().startswith("%llguidance"):
        raise RefusedError(BAD_REQUEST, "'grammar': %llguidance is not built in", "grammar")
    level = 0
    for letter in value:
        level += {"(": 1, ")": -1}.get(letter, 0)
        if level > MOST_PARENTHESES:
            raise RefusedError(
                BAD_REQUEST, f"'grammar' is nested more than {MOST_PARENTHESES} deep", "grammar"
            )


def _triggers(value: object) -> None:
    """Refuse patterns: the server compiles them, and nothing here knows which of them it survives."""
    for item in value if isinstance(value, list) else ():
        is_fit = (
            isinstance(item, dict)
            and item.get("type") in (0, 1)
            and isinstance(item.get("value"), str)
            and len(item["value"]) <= MOST_NAME
        )
        if not is_fit:
            raise _refused("grammar_triggers", "words (type 1) or tokens (type 0), each with a value", item)


def _refused(name: str, expected: str, found: object) -> RefusedError:
    shown = repr(found)
    shown = shown if len(shown) <= 60 else f"{shown[:60]}..."  # noqa: PLR2004 - a line of a terminal
    return RefusedError(BAD_REQUEST, f"'{name}' must be {expected}, not {shown}", name)
